//! Registering, logging in, and who one is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use harness::{Auth, CHEAP, PASSWORD};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shop_common::config::TokenConfig;
use shop_testkit::{Postgres, Role};
use shop_token::{Jwks, Verifier};

#[tokio::test]
async fn who_registers_can_log_in_and_is_who_they_are() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;

    let registered = auth.register(" Ada@Example.ORG ").await;
    assert_eq!(
        registered.status,
        StatusCode::CREATED,
        "{}",
        registered.body
    );
    assert_eq!(registered.body["email"], "ada@example.org");

    let login = auth.login("ADA@example.org").await.ok();
    assert_eq!(login.header("cache-control"), "no-store");
    assert_eq!(login.body["tokenType"], "Bearer");
    assert_eq!(login.body["expiresIn"], 900);
    assert_eq!(login.body["refreshExpiresIn"], 604_800);

    let me = auth.me(&login.text("accessToken")).await.ok();
    assert_eq!(me.body["customerId"], registered.body["customerId"]);
    assert_eq!(me.body["email"], "ada@example.org");
    assert_eq!(me.body["role"], "customer");
    assert!(me.body.get("test").is_none(), "{}", me.body);
}

#[tokio::test]
async fn an_access_token_verifies_with_the_published_keys() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let registered = auth.register("ada@example.org").await;
    let token = auth.login("ada@example.org").await.ok().text("accessToken");
    for path in ["/.well-known/jwks.json", "/api/auth/.well-known/jwks.json"] {
        let published = auth.get(path, None).await.ok();
        assert_eq!(published.header("content-type"), "application/jwk-set+json");
        assert_eq!(published.header("cache-control"), "public, max-age=60");
        let keys = Jwks::from_json(&published.body.to_string()).unwrap();
        let TokenConfig {
            issuer, audience, ..
        } = TokenConfig::default();
        let claims = Verifier::new(&keys, issuer, audience)
            .verify(&token)
            .unwrap();
        assert_eq!(claims.sub.to_string(), registered.text("customerId"));
        assert_eq!(claims.role, shop_token::Role::Customer);
        assert_eq!(claims.exp - claims.iat, 900);
        assert_eq!(claims.test, None);
    }
}

#[tokio::test]
async fn a_taken_email_is_a_conflict_however_it_is_written() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    assert_eq!(
        auth.register("ada@example.org").await.status,
        StatusCode::CREATED
    );
    for spelling in ["ada@example.org", "ADA@EXAMPLE.ORG", " ada@example.org"] {
        auth.register(spelling)
            .await
            .assert_problem(409, "conflict");
    }
}

#[tokio::test]
async fn of_many_registrations_of_one_email_at_once_one_wins() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let registrations = (0..20).map(|_| auth.register("ada@example.org"));
    let answers = futures_util::future::join_all(registrations).await;
    let made = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(made.count(), 1);
    for answer in answers
        .iter()
        .filter(|answer| answer.status != StatusCode::CREATED)
    {
        answer.assert_problem(409, "conflict");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_email_are_answered_alike() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    auth.register("ada@example.org").await;
    let wrong = json!({"email": "ada@example.org", "password": "not her password"});
    let mut wrong = auth.post("/api/auth/login", &wrong).await;
    let mut unknown = auth.login("nobody@example.org").await;
    for answer in [&mut wrong, &mut unknown] {
        answer.assert_problem(401, "unauthorized");
        answer.body.as_object_mut().unwrap().remove("requestId");
    }
    assert_eq!(wrong.body, unknown.body);
}

#[tokio::test]
async fn an_unknown_email_takes_as_long_as_a_wrong_password() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start_with(
        &database,
        "[auth]\nhashMemoryKib = 32768\nattemptsBurst = 1000\n",
    )
    .await;
    auth.register("ada@example.org").await;
    // The shortest of some: nothing makes a hash faster than it is, but other work makes it slower.
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..7 {
        for (shortest, email) in shortest
            .iter_mut()
            .zip(["ada@example.org", "nobody@example.org"])
        {
            let body = json!({"email": email, "password": "not the password"});
            let begun = Instant::now();
            auth.post("/api/auth/login", &body)
                .await
                .assert_problem(401, "unauthorized");
            *shortest = begun.elapsed().min(*shortest);
        }
    }
    let [wrong, unknown] = shortest;
    assert!(unknown > wrong / 2, "unknown {unknown:?}, wrong {wrong:?}");
}

#[tokio::test]
async fn one_email_is_limited_and_others_are_not() {
    let database = Postgres::shared().database().await;
    let settings = "[auth]\nhashMemoryKib = 64\nattemptsBurst = 3\nattemptsPerMinute = 1\n";
    let auth = Auth::start_with(&database, settings).await;
    for _ in 0..3 {
        auth.login("ada@example.org")
            .await
            .assert_problem(401, "unauthorized");
    }
    let limited = auth.login("ada@example.org").await;
    limited.assert_problem(429, "rate-limited");
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    auth.register("Ada@example.org")
        .await
        .assert_problem(429, "rate-limited");
    assert_eq!(
        auth.register("grace@example.org").await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn who_comes_when_the_queue_is_full_is_told_to_come_back() {
    let database = Postgres::shared().database().await;
    let settings =
        "[auth]\nhashMemoryKib = 65536\nhashIterations = 4\nhashConcurrency = 1\nhashQueue = 1\n";
    let auth = Auth::start_with(&database, settings).await;
    let emails: Vec<_> = (0..12).map(|at| format!("{at}@example.org")).collect();
    let answers =
        futures_util::future::join_all(emails.iter().map(|email| auth.login(email))).await;
    let (busy, served): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE);
    assert!(busy.len() >= 2 && served.len() >= 2, "{} busy", busy.len());
    let refused = busy.len();
    for answer in busy {
        answer.assert_problem(503, "busy");
        assert_eq!(answer.header("retry-after"), "1");
    }
    for answer in served {
        answer.assert_problem(401, "unauthorized");
    }
    // Places come back.
    auth.login("later@example.org")
        .await
        .assert_problem(401, "unauthorized");
    // Other tests of this process count there, too.
    let metrics = auth.metrics().await;
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("auth_hash_queue_full_total "));
    assert!(counted.unwrap().parse::<usize>().unwrap() >= refused);
}

#[tokio::test]
async fn a_hash_of_older_settings_is_renewed_at_the_next_login() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    auth.register("ada@example.org").await;
    auth.stop().await;
    let mut connection = database.connect(Role::Superuser).await;
    let before = stored_hash(&mut connection).await;
    assert!(
        before.starts_with("$argon2id$v=19$m=64,t=1,p=1$"),
        "{before}"
    );

    let auth = Auth::start_with(&database, "[auth]\nhashMemoryKib = 128\n").await;
    auth.login("ada@example.org").await.ok();
    let after = stored_hash(&mut connection).await;
    assert!(
        after.starts_with("$argon2id$v=19$m=128,t=2,p=1$"),
        "{after}"
    );
    auth.login("ada@example.org").await.ok();
    assert_eq!(stored_hash(&mut connection).await, after);
}

async fn stored_hash(connection: &mut sqlx::PgConnection) -> String {
    sqlx::query_scalar("SELECT password_hash FROM auth.accounts")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn neither_passwords_nor_refresh_tokens_are_stored() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    auth.register("ada@example.org").await;
    let tokens = auth.login("ada@example.org").await.ok();
    let mut connection = database.connect(Role::Superuser).await;
    let all: String = sqlx::query_scalar(
        "SELECT concat((SELECT json_agg(a) FROM auth.accounts a), (SELECT json_agg(s) FROM auth.sessions s),
                (SELECT json_agg(t) FROM auth.refresh_tokens t))",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(all.contains("ada@example.org"), "{all}");
    for secret in [
        PASSWORD.to_owned(),
        tokens.text("refreshToken"),
        tokens.text("accessToken"),
    ] {
        assert!(!all.contains(&secret), "{all}");
    }
}

#[tokio::test]
async fn a_bad_token_does_not_register_anybody() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let body = json!({"email": "ada@example.org", "password": PASSWORD});
    let answer = auth
        .send(
            Method::POST,
            "/api/auth/register",
            Some("nonsense"),
            Some(&body),
        )
        .await;
    answer.assert_problem(401, "unauthorized");
    auth.login("ada@example.org")
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_the_reason() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    for (body, reason) in [
        (json!({"email": "ada", "password": PASSWORD}), "`email`"),
        (
            json!({"email": "ada@example.org", "password": "short"}),
            "`password`",
        ),
        (
            json!({"email": "ada@example.org", "password": "x".repeat(201)}),
            "`password`",
        ),
        (json!({"email": "ada@example.org"}), "password"),
        (
            json!({"email": "ada@example.org", "password": PASSWORD, "role": "admin"}),
            "role",
        ),
        (json!({"email": 7, "password": PASSWORD}), "email"),
        (json!([]), "must be an object, not a list"),
    ] {
        let answer = auth.post("/api/auth/register", &body).await;
        answer.assert_problem(400, "validation");
        assert!(answer.text("detail").contains(reason), "{}", answer.body);
    }
}

#[tokio::test]
async fn requests_that_no_route_understands_are_problems_too() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let login = auth.url("/api/auth/login");
    let raw = async |body: String, content_type: &str| {
        let request = auth
            .client
            .post(&login)
            .header("content-type", content_type)
            .body(body);
        harness::Answer::of(request.send().await.unwrap()).await
    };
    raw("{".into(), "application/json")
        .await
        .assert_problem(400, "validation");
    raw("email=ada".into(), "application/x-www-form-urlencoded")
        .await
        .assert_problem(415, "unsupported-media-type");
    let large = json!({"email": "ada@example.org", "password": "x".repeat(64 * 1024)}).to_string();
    raw(large, "application/json")
        .await
        .assert_problem(413, "too-large");
    auth.get("/api/auth/nowhere", None)
        .await
        .assert_problem(404, "not-found");
    let wrong_method = auth.get("/api/auth/login", None).await;
    wrong_method.assert_problem(405, "method-not-allowed");
    assert_eq!(wrong_method.header("allow"), "POST");
}

#[tokio::test]
async fn every_route_is_documented() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start_with(&database, CHEAP).await;
    let document = auth.get("/openapi.json", None).await.ok().body;
    let operations: HashSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "post /api/auth/register",
        "post /api/auth/login",
        "post /api/auth/refresh",
        "post /api/auth/logout",
        "get /api/auth/me",
        "delete /api/auth/test-data/{tag}",
        "get /.well-known/jwks.json",
        "get /api/auth/.well-known/jwks.json",
    ];
    assert_eq!(operations, expected.map(str::to_owned).into());
    assert_eq!(
        document["components"]["securitySchemes"]["accessToken"]["scheme"],
        "bearer"
    );
}
