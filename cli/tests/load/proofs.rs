//! What a load test shows: a shop that holds, one that lost an order, one that is slow, and one that was not measured.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::run::{PATIENCE, Running, load, reports, write_easy_environment, write_environment};
use super::shop::TestShop;

/// The shop is brought up once for all of them: an `up` for each would take longer than they do.
#[test]
fn a_load_is_judged_by_its_latencies_and_by_the_books() {
    let shop = TestShop::new();
    write_easy_environment(&shop);
    shop.succeed(&["up", "--no-smoke"]);

    a_shop_that_holds_passes(&shop);
    a_flash_sale_sells_exactly_its_stock(&shop);
    an_order_that_is_gone_fails_the_test(&shop);
    a_slow_service_fails_the_test_and_loses_nothing(&shop);
    an_interrupted_test_leaves_a_report_and_is_unknown(&shop);
    a_script_of_ones_own_is_run(&shop);
    a_script_with_an_error_is_refused_in_the_words_of_k6(&shop);
    a_folder_that_cannot_be_written_is_told_before_anything_is_done(&shop);
    a_protected_environment_wants_its_name_twice(&shop);
    a_k6_that_is_not_there_or_too_old_is_told_with_what_installs_it(&shop);
    nothing_is_left(&shop);
    a_shop_that_is_down_is_told(&shop);
}

fn a_shop_that_holds_passes(shop: &TestShop) {
    let ended = load(shop, &["--quiet"]).with(0);
    assert_eq!(ended.report["verdict"], "pass");
    assert_eq!(
        ended.report["accounting"]["checks"]
            .as_array()
            .unwrap()
            .len(),
        8
    );
    assert!(ended.disagreeing().is_empty(), "{:?}", ended.disagreeing());
    assert!(ended.number("/totals/orders") > 0.0);
    assert_eq!(ended.report["totals"]["failedRequests"], 0);
    assert_eq!(ended.stderr, "", "it was asked to be quiet");
    let components: Vec<&str> = ended.report["instances"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|instance| instance["component"].as_str())
        .collect();
    for component in ["gateway", "order", "postgres", "redis"] {
        assert!(components.contains(&component), "{components:?}");
    }
    for route in [
        "GET /api/echo",
        "GET /api/products",
        "GET /api/products/{id}",
        "POST /api/auth/login",
        "POST /api/orders",
    ] {
        assert!(
            ended.report["routes"]
                .as_array()
                .unwrap()
                .iter()
                .any(|seen| seen["name"] == route && seen["latency"]["p99"].as_f64() > Some(0.0)),
            "{route} is not among {}",
            ended.report["routes"]
        );
    }
    let kept = reports(shop);
    assert_eq!(kept.len(), 1);
    shop.succeed(&["report", "verify"]);
    for file in [
        "report.json",
        "report.html",
        "report.md",
        "samples.jsonl.zst",
        "k6-summary.json",
    ] {
        assert!(kept[0].join(file).is_file(), "there is no {file}");
    }
}

fn a_flash_sale_sells_exactly_its_stock(shop: &TestShop) {
    let ended = load(shop, &["--profile", "flash-sale"]).with(0);
    assert_eq!(ended.report["totals"]["orders"], 20);
    assert!(ended.disagreeing().is_empty(), "{:?}", ended.disagreeing());
    assert!(
        ended.number("/totals/statuses/409") >= 40.0,
        "whoever went without was refused"
    );
}

/// Somebody who may do everything in Postgres.
fn superuser(shop: &TestShop, statement: &str) -> String {
    let output = Command::new("psql")
        .args(["-qtA", "-h", "127.0.0.1", "-U", "postgres", "-d", "shop"])
        .args(["-p", &shop.port(0).to_string(), "-c", statement])
        .env("PGPASSWORD", shop.secret("postgres-superuser"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn an_order_that_is_gone_fails_the_test(shop: &TestShop) {
    let running = Running::begin(shop, &[]);
    let deadline = Instant::now() + PATIENCE;
    let gone = loop {
        let gone = superuser(
            shop,
            "DELETE FROM orders.orders WHERE id = (SELECT id FROM orders.orders WHERE tag LIKE 'load-%' \
             ORDER BY id LIMIT 1) RETURNING id",
        );
        if !gone.is_empty() {
            break gone;
        }
        assert!(Instant::now() < deadline, "nobody ordered anything");
        std::thread::sleep(Duration::from_millis(50));
    };
    let ended = running.ended().with(1);
    assert_eq!(ended.report["verdict"], "fail");
    assert!(
        ended.reasons().contains(&format!("order {gone}"))
            && ended.reasons().contains("is missing"),
        "{}",
        ended.reasons()
    );
    assert!(
        ended.report["objectives"]
            .as_array()
            .unwrap()
            .iter()
            .all(|objective| objective["verdict"] == "pass"),
        "the latencies have nothing to do with it: {}",
        ended.report["objectives"]
    );
}

fn a_slow_service_fails_the_test_and_loses_nothing(shop: &TestShop) {
    write_environment(
        shop,
        "minimumRequestsPerSecond: 10, p50: 50ms, p95: 60ms, p99: 20s",
    );
    let pids: Vec<Pid> = shop
        .pids(Some("product"))
        .into_iter()
        .map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()))
        .collect();
    assert_eq!(pids.len(), 2);
    let all = |signal: Signal| {
        for pid in &pids {
            kill(*pid, signal).unwrap();
        }
    };
    let mut running = Running::begin(shop, &[]);
    running.until_it_says("orders");
    while !running.has_ended() {
        all(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(180));
        all(Signal::SIGCONT);
        std::thread::sleep(Duration::from_millis(60));
    }
    let ended = running.ended().with(1);
    assert!(ended.reasons().contains("p95 is"), "{}", ended.reasons());
    assert!(ended.disagreeing().is_empty(), "{:?}", ended.disagreeing());
    write_easy_environment(shop);
}

fn an_interrupted_test_leaves_a_report_and_is_unknown(shop: &TestShop) {
    let before = reports(shop).len();
    let running = Running::begin(shop, &["--duration", "5m"]);
    running.until_it_says("orders");
    running.signal(Signal::SIGINT);
    let ended = running.ended().with(5);
    assert_eq!(ended.report["verdict"], "unknown");
    assert_eq!(ended.report["interrupted"], true);
    assert_eq!(ended.report["totals"]["failedRequests"], 0);
    assert!(ended.disagreeing().is_empty(), "{:?}", ended.disagreeing());
    let kept = reports(shop);
    assert_eq!(kept.len(), before + 1);
    assert!(kept.last().unwrap().join("report.html").is_file());
}

fn a_script_of_ones_own_is_run(shop: &TestShop) {
    let script = "\
        import http from 'k6/http';\n\
        import { check, sleep } from 'k6';\n\
        const data = JSON.parse(open(__ENV.SHOP_DATA));\n\
        export const options = { vus: 2, duration: '2s' };\n\
        export default function () {\n\
          const answer = http.get(`${__ENV.SHOP_URL}/api/products/${data.products[0]}`, {\n\
            headers: { authorization: `Bearer ${data.tokens[0]}` },\n\
          });\n\
          check(answer, { 'it is there': (answer) => answer.status === 200 });\n\
          sleep(0.1);\n\
        }\n";
    std::fs::write(shop.project().join("own.js"), script).unwrap();
    let ended = load(shop, &["--script", "own.js"]).with(0);
    assert_eq!(ended.report["profile"]["script"], "own.js");
    // It is no profile, and no profile's figures are told as its own.
    assert_eq!(ended.report["profile"]["name"], "script-own");
    assert_eq!(ended.report["profile"]["vus"], 2);
    assert_eq!(ended.report["routes"][0]["name"], "GET /api/products/{…}");
    assert!(ended.number("/totals/checks/passed") > 10.0);
}

fn a_script_with_an_error_is_refused_in_the_words_of_k6(shop: &TestShop) {
    let before = reports(shop).len();
    std::fs::write(
        shop.project().join("bad.js"),
        "export default function () { x( }",
    )
    .unwrap();
    let ended = load(shop, &["--script", "bad.js"]).with(2);
    assert!(
        ended.stderr.contains("k6 refuses it") && ended.stderr.contains("Unexpected token"),
        "{}",
        ended.stderr
    );
    // Nothing was made for it that would have to be removed.
    assert!(!ended.stderr.contains("make customers"), "{}", ended.stderr);
    let ended = load(shop, &["--script", "nowhere.js"]).with(2);
    assert!(ended.stderr.contains("nowhere.js"), "{}", ended.stderr);
    assert_eq!(reports(shop).len(), before, "nothing was measured");
}

fn a_folder_that_cannot_be_written_is_told_before_anything_is_done(shop: &TestShop) {
    std::fs::write(shop.project().join("a-file"), "").unwrap();
    let ended = load(shop, &["--reports-dir", "a-file"]).with(2);
    assert!(
        ended.stderr.contains("a-file") && ended.stderr.contains("--reports-dir"),
        "{}",
        ended.stderr
    );
    // A file system without a single free byte.
    let ended = load(shop, &["--reports-dir", "/proc/self"]).with(2);
    assert!(ended.stderr.contains("/proc/self"), "{}", ended.stderr);
}

fn a_protected_environment_wants_its_name_twice(shop: &TestShop) {
    let text = std::fs::read_to_string(shop.environment()).unwrap();
    std::fs::write(shop.environment(), format!("protected: true\n{text}")).unwrap();
    let ended = load(shop, &[]).with(2);
    assert!(ended.stderr.contains("--i-mean test"), "{}", ended.stderr);
    let ended = load(shop, &["--i-mean", "other"]).with(2);
    assert!(ended.stderr.contains("`other`"), "{}", ended.stderr);
    let ended = load(
        shop,
        &[
            "--i-mean",
            "test",
            "--profile",
            "null",
            "--duration",
            "1s",
            "--vus",
            "5",
        ],
    )
    .with(0);
    assert_eq!(ended.report["accounting"], serde_json::Value::Null);
    write_easy_environment(shop);
}

fn a_k6_that_is_not_there_or_too_old_is_told_with_what_installs_it(shop: &TestShop) {
    declare(shop.project(), "k6-that-nobody-has", "1.1.0");
    let ended = load(shop, &[]).with(3);
    assert!(
        ended.stderr.contains("is not installed") && ended.stderr.contains("doctor --install"),
        "{}",
        ended.stderr
    );
    declare(shop.project(), "k6", "99.0.0");
    let ended = load(shop, &[]).with(3);
    assert!(
        ended.stderr.contains("99.0.0 or newer is needed"),
        "{}",
        ended.stderr
    );
    std::fs::remove_dir_all(shop.project().join("templates")).unwrap();
}

/// Declares another program in place of k6, as a project may.
fn declare(folder: &Path, program: &str, minimum: &str) {
    let folder = folder.join("templates/loadtest");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "name: loadtest\nabout: a test\nkind: tool\nprograms:\n  \
           - {{ name: {program}, minimum: \"{minimum}\", versionArguments: [version], versionAfter: \"k6 v\" }}\n"
    );
    std::fs::write(folder.join("component.yaml"), text).unwrap();
}

fn nothing_is_left(shop: &TestShop) {
    let left = superuser(
        shop,
        "SELECT (SELECT count(*) FROM orders.orders WHERE tag LIKE 'load-%')
              + (SELECT count(*) FROM orders.claims WHERE tag LIKE 'load-%')
              + (SELECT count(*) FROM product.products WHERE tag LIKE 'load-%')
              + (SELECT count(*) FROM auth.accounts WHERE test_tag LIKE 'load-%')",
    );
    assert_eq!(left, "0");
    assert!(!shop.state().join("loadtest").exists(), "tokens are left");
}

fn a_shop_that_is_down_is_told(shop: &TestShop) {
    shop.succeed(&["down"]);
    let ended = load(shop, &[]).with(1);
    assert!(
        ended.stderr.contains("failed to reach the shop") && ended.stderr.contains("shopctl up"),
        "{}",
        ended.stderr
    );
}
