//! The reserved-stock API on its own listener.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use shop_testkit::eventually;
use uuid::Uuid;

use crate::service::{Caller, Service, empty};

fn item(key: &str, product: &str, quantity: i32, ttl_seconds: i32) -> Value {
    json!({
        "key": key,
        "productId": product,
        "customerId": Uuid::now_v7(),
        "quantity": quantity,
        "ttlSeconds": ttl_seconds,
    })
}

async fn stock(service: &Service, product: &str) -> Value {
    service
        .get(Caller::Admin, &format!("/api/products/{product}/stock"))
        .await
        .body
}

#[tokio::test]
async fn stock_is_held_confirmed_and_released_in_batches_with_a_verdict_an_item() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let mug = service.product("MUG-1", 5).await;
    let items = [
        item("a", &mug, 3, 60),
        item("b", &mug, 3, 60),
        item("c", &mug, 2, 60),
        item("d", &Uuid::now_v7().to_string(), 1, 60),
    ];
    let body = json!({"items": items});
    let held = service
        .internal(Caller::Internal, "/internal/holds", body.clone())
        .await;
    assert_eq!(held.status, StatusCode::OK, "{}", held.body);
    let verdicts: Vec<(&str, &str, bool)> = held.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["key"].as_str().unwrap(),
                item["verdict"].as_str().unwrap(),
                item.get("expiresAt").is_some(),
            )
        })
        .collect();
    let expected = [
        ("a", "held", true),
        ("b", "sold_out", false),
        ("c", "held", true),
        ("d", "not_found", false),
    ];
    assert_eq!(verdicts, expected);
    // Told again, the answer is the same.
    let again = service
        .internal(Caller::Internal, "/internal/holds", body)
        .await;
    assert_eq!(again.body, held.body);
    assert_eq!(
        stock(&service, &mug).await,
        json!({"received": 5, "free": 0, "held": 5, "sold": 0})
    );
    let confirmed = service
        .internal(
            Caller::Internal,
            "/internal/holds/confirm",
            json!({"keys": ["a", "nobody"]}),
        )
        .await;
    let expected = json!({"items": [{"key": "a", "verdict": "confirmed"}, {"key": "nobody", "verdict": "not_found"}]});
    assert_eq!(confirmed.body, expected);
    let released = service
        .internal(
            Caller::Internal,
            "/internal/holds/release",
            json!({"keys": ["c"]}),
        )
        .await;
    assert_eq!(
        released.body,
        json!({"items": [{"key": "c", "verdict": "released"}]})
    );
    assert_eq!(
        stock(&service, &mug).await,
        json!({"received": 5, "free": 2, "held": 0, "sold": 3})
    );
    let metrics = service.metrics().await;
    let counted = metrics.lines().any(|line| {
        line.starts_with("shop_holds_total{")
            && line.contains("operation=\"confirm\"")
            && line.contains("verdict=\"confirmed\"")
    });
    assert!(counted, "{metrics}");
}

#[tokio::test]
async fn nobody_but_a_service_with_the_credential_gets_in() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let body = json!({"keys": ["a"]});
    for caller in [Caller::Nobody, Caller::Customer, Caller::Admin] {
        for path in [
            "/internal/holds",
            "/internal/holds/confirm",
            "/internal/holds/release",
        ] {
            let answer = service.internal(caller, path, body.clone()).await;
            answer.problem(401, "unauthorized");
        }
        let document = service.internal_document(caller).await;
        document.problem(401, "unauthorized");
    }
    let document = service.internal_document(Caller::Internal).await;
    assert_eq!(document.body["paths"].as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_is_refused_as_a_whole() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let mug = service.product("MUG-1", 5).await;
    let wrong = json!({"items": [item("a", &mug, 1, 60), item("", &mug, 0, 100_000)]});
    let detail = service
        .internal(Caller::Internal, "/internal/holds", wrong)
        .await
        .problem(400, "validation");
    for field in ["items[1].key", "items[1].quantity", "items[1].ttlSeconds"] {
        assert!(detail.contains(field), "{field} is missing in: {detail}");
    }
    let many: Vec<String> = (0..1025).map(|number| number.to_string()).collect();
    for body in [
        json!({"keys": []}),
        json!({"keys": many}),
        json!({"keys": [""]}),
        json!({"key": "a"}),
    ] {
        let answer = service
            .internal(Caller::Internal, "/internal/holds/confirm", body)
            .await;
        answer.problem(400, "validation");
    }
    assert_eq!(stock(&service, &mug).await["free"], 5);
}

#[tokio::test]
async fn the_sweeper_returns_what_has_expired_and_a_restarted_service_goes_on_with_it() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let mug = service.product("MUG-1", 5).await;
    let body = json!({"items": [item("a", &mug, 2, 1), item("b", &mug, 1, 60)]});
    let held = service
        .internal(Caller::Internal, "/internal/holds", body)
        .await;
    assert_eq!(held.body["items"][0]["verdict"], "held");
    // Nobody sweeps while the service is away.
    service.stop().await;
    let service = Service::start(&database).await;
    eventually(
        "the expired hold to be returned",
        Duration::from_secs(15),
        async || {
            let stock = stock(&service, &mug).await;
            match stock["held"].as_i64() {
                Some(1) => Ok(()),
                _ => Err(stock.to_string()),
            }
        },
    )
    .await;
    assert_eq!(
        stock(&service, &mug).await,
        json!({"received": 5, "free": 4, "held": 1, "sold": 0})
    );
    let confirmed = service
        .internal(
            Caller::Internal,
            "/internal/holds/confirm",
            json!({"keys": ["a", "b"]}),
        )
        .await;
    assert_eq!(confirmed.body["items"][0]["verdict"], "expired");
    assert_eq!(confirmed.body["items"][1]["verdict"], "confirmed");
}
