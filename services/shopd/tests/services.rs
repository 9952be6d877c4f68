//! What all services have in common, seen from outside: what they log, measure, describe and answer when something
//! is wrong, and how they end.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are for who runs the test")]

mod harness;

use std::time::{Duration, Instant};

use harness::{PATIENCE, Shop};
use nix::sys::signal::Signal;
use shop_token::Role;
use uuid::Uuid;

#[test]
fn all_services_tell_about_themselves_in_the_same_way() {
    let mut shop = Shop::start();
    every_service_answers_problems(&shop);
    every_service_describes_itself(&shop);
    every_service_measures_itself(&shop);
    tokens_of_auth_are_accepted_by_all_and_logged_by_none(&shop);
    what_a_name_may_be_is_found_by_path_through_the_gateway(&shop);
    every_service_logs_json_with_the_request_s_id(&shop);
    memory_is_shown(&shop);
    every_service_drains_and_ends_on_sigterm(&mut shop);
}

fn every_service_answers_problems(shop: &Shop) {
    for service in &shop.services {
        let url = format!("{}/no/such/path?password=hunter2", service.url);
        let request = shop
            .client
            .get(&url)
            .header("x-request-id", "lost-1")
            .send();
        let answer = shop.runtime.block_on(request).expect("an answer");
        assert_eq!(answer.status(), 404, "{}", service.name);
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{}",
            service.name
        );
        assert_eq!(
            answer.headers()["x-request-id"],
            "lost-1",
            "{}",
            service.name
        );
        let body = shop.runtime.block_on(answer.text()).expect("a body");
        let document: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            document["type"], "https://shopctl.dev/problems/not-found",
            "{}",
            service.name
        );
        assert_eq!(document["instance"], "/no/such/path", "{}", service.name);
        assert_eq!(document["requestId"], "lost-1", "{}", service.name);
    }
}

fn every_service_describes_itself(shop: &Shop) {
    for service in &shop.services {
        let document = shop.json(&format!("{}/openapi.json", service.url));
        let paths = document["paths"]
            .as_object()
            .unwrap_or_else(|| panic!("{document}"));
        let version = document["openapi"].as_str().unwrap_or_default();
        assert!(version.starts_with("3."), "{}: {version:?}", service.name);
        assert!(!paths.is_empty(), "{}", service.name);
        for path in paths.keys() {
            // What is for administrators or other services only is no part of the public API.
            let public = !["/internal", "/metrics", "/readyz", "/healthz"]
                .iter()
                .any(|hidden| path.starts_with(hidden));
            assert!(public, "{} publishes {path}", service.name);
        }
    }
}

fn every_service_measures_itself(shop: &Shop) {
    for service in &shop.services {
        let text = shop.text(&format!("{}/metrics", service.admin_url));
        for name in [
            "http_requests_total",
            "http_request_duration_seconds_bucket",
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
        ] {
            assert!(
                text.lines().any(|line| line.starts_with(name)),
                "{} lacks {name}",
                service.name
            );
        }
        let unmatched = r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#;
        assert!(text.contains(unmatched), "{}: {text}", service.name);
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let mut words = line.split_whitespace().skip(2);
            let (name, kind) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            assert_eq!(
                kind == "counter",
                name.ends_with("_total"),
                "{}: {line}",
                service.name
            );
        }
    }
}

fn tokens_of_auth_are_accepted_by_all_and_logged_by_none(shop: &Shop) {
    let admin = Uuid::from_u128(1);
    let token = shop
        .issuer
        .issue(admin, Role::Admin, Duration::from_mins(5), Some("smoke-1"));
    for (service, path) in [
        ("order", "/api/orders"),
        ("product", "/api/products/by-sku/none"),
    ] {
        let url = format!("{}{path}", shop.service(service).url);
        let status = |token: &str| {
            let request = shop.client.get(&url).bearer_auth(token).send();
            shop.runtime
                .block_on(request)
                .expect("an answer")
                .status()
                .as_u16()
        };
        assert_ne!(status(&token), 401, "{service}");
        assert_eq!(status(&format!("{token}x")), 401, "{service}");
    }
    let mut secrets = shop.secrets();
    secrets.extend(["hunter2".to_owned(), token]);
    for service in &shop.services {
        let log = std::fs::read_to_string(&service.log).expect("a log");
        for secret in &secrets {
            assert!(
                !log.contains(secret),
                "{} logs a secret: {secret}",
                service.name
            );
        }
    }
}

/// A name that one of the services takes is never one that the gateway would not let through.
fn what_a_name_may_be_is_found_by_path_through_the_gateway(shop: &Shop) {
    let gateway = &shop.service("gateway").url;
    let token = |role, tag| {
        let subject = Uuid::from_u128(1);
        shop.issuer
            .issue(subject, role, Duration::from_mins(5), Some(tag))
    };
    let answer = |request: reqwest::RequestBuilder| {
        let request = request.header("idempotency-key", "none");
        shop.runtime
            .block_on(request.send())
            .expect("an answer")
            .status()
            .as_u16()
    };
    let make = |sku: &str, tag: &str| {
        let body = serde_json::json!({
            "sku": sku, "name": "Mug", "price": {"amountMinor": 1, "currency": "EUR"}, "tag": tag,
        });
        let request = shop.client.post(format!("{gateway}/api/products"));
        answer(request.bearer_auth(token(Role::Admin, "t")).json(&body))
    };
    for bad in ["a/b", "a\\b", ".", "..", "a b", ""] {
        assert_eq!(make(bad, "t"), 400, "sku {bad:?}");
        assert_eq!(make("sku", bad), 400, "tag {bad:?}");
    }
    // Every visible character but slash and backslash, encoded as a client does it.
    let all: Vec<u8> = (b'!'..=b'~')
        .filter(|byte| !b"/\\".contains(byte))
        .collect();
    for name in all.chunks(50).map(|half| String::from_utf8_lossy(half)) {
        assert_eq!(make(&name, &name), 201, "{name}");
        let admin = token(Role::Admin, "t");
        for (method, path, expected) in [
            (reqwest::Method::GET, "products/by-sku", 200),
            (reqwest::Method::DELETE, "products/test-data", 200),
            (reqwest::Method::DELETE, "orders/test-data", 200),
            (reqwest::Method::DELETE, "auth/test-data", 200),
            (reqwest::Method::GET, "products/by-sku", 404),
            (reqwest::Method::GET, "orders/by-key", 404),
        ] {
            let mut url: reqwest::Url =
                format!("{gateway}/api/{path}").parse().expect("an address");
            url.path_segments_mut().expect("a path").push(&name);
            let request = shop.client.request(method.clone(), url).bearer_auth(&admin);
            assert_eq!(answer(request), expected, "{method} {path}: {name}");
        }
    }
    let admin = token(Role::Admin, "t");
    for service in ["products", "orders", "auth"] {
        let path = format!("/api/{service}/test-data/{}", "x".repeat(65));
        let request = shop.client.delete(format!("{gateway}{path}"));
        assert_eq!(answer(request.bearer_auth(&admin)), 404, "{path}");
    }
}

fn every_service_logs_json_with_the_request_s_id(shop: &Shop) {
    for service in &shop.services {
        let lines = service.log_lines();
        for line in &lines {
            for member in ["timestamp", "level", "service", "instance", "target"] {
                assert!(
                    line[member].is_string(),
                    "{} lacks {member}: {line}",
                    service.name
                );
            }
            assert_eq!(line["service"], service.name, "{line}");
            assert_eq!(line["instance"], format!("{}-0", service.name), "{line}");
        }
        let answered = lines
            .iter()
            .find(|line| line["request_id"] == "lost-1")
            .unwrap_or_else(|| panic!("{} did not log the request's id", service.name));
        assert_eq!(
            answered["trace_id"].as_str().map(str::len),
            Some(32),
            "{answered}"
        );
    }
}

/// Only shown: what is bounded is the release build's memory, and this is not that.
fn memory_is_shown(shop: &Shop) {
    let line = |name: &str, own: u64, files: u64| {
        let [all, own, files] = [own + files, own, files].map(|bytes| bytes as f64 / 1e6);
        println!("{name:8} {all:6.1} MB resident, {own:6.1} of its own and {files:6.1} of files");
    };
    let (mut all_own, mut all_files) = (0, 0);
    for service in &shop.services {
        let (own, files) = service.resident();
        line(service.name, own, files);
        all_own += own;
        all_files += files;
    }
    line("together", all_own, all_files);
}

fn every_service_drains_and_ends_on_sigterm(shop: &mut Shop) {
    for service in &mut shop.services {
        let started = Instant::now();
        let status = service.process.stop(Signal::SIGTERM, PATIENCE);
        assert_eq!(status.code(), Some(0), "{}", service.name);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{}: {:?}",
            service.name,
            started.elapsed()
        );
        let lines = service.log_lines();
        let messages: Vec<_> = lines
            .iter()
            .filter_map(|line| line["message"].as_str())
            .collect();
        assert!(
            messages.contains(&"asked to end"),
            "{}: {messages:?}",
            service.name
        );
    }
}
