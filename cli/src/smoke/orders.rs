//! Single orders and their keys.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::make_product;
use super::session::{Found, Session, expect, identifier, text};
use crate::shop::Request;

/// An order is placed once however often it is asked for, read in every way, and seen by nobody else.
pub(super) async fn order(session: &Session<'_>) -> Found {
    let product = make_product(session, "ordered", 5).await?;
    let customer = session.customer();
    let body = json!({"productId": product, "quantity": 2});
    let key = format!("smoke-{}", Uuid::now_v7());
    let place = |body: &Value| Request::post("/api/orders", body.clone()).token(&customer);

    session
        .expect(StatusCode::BAD_REQUEST, &place(&body))
        .await?;
    let placed = session
        .expect(StatusCode::CREATED, &place(&body).key(&key))
        .await?;
    let id = identifier(&placed, "/id")?;
    expect(placed.body["total"]["amountMinor"] == json!(3998), || {
        format!("two pieces at 19.99 cost {}", placed.body["total"])
    })?;
    let replayed = session
        .expect(StatusCode::CREATED, &place(&body).key(&key))
        .await?;
    expect(identifier(&replayed, "/id")? == id, || {
        "the key made a second order".to_owned()
    })?;
    expect(replayed.headers.contains_key("idempotent-replayed"), || {
        "the second answer does not say that it is a replay".to_owned()
    })?;
    let other = json!({"productId": product, "quantity": 1});
    session
        .expect(StatusCode::UNPROCESSABLE_ENTITY, &place(&other).key(&key))
        .await?;
    read(session, &customer, id, &key).await?;
    Ok("placed once, replayed, read by id, by key and in the list; refused to others".to_owned())
}

async fn read(session: &Session<'_>, customer: &str, id: Uuid, key: &str) -> Found<()> {
    let by_id = format!("/api/orders/{id}");
    let by_key = format!("/api/orders/by-key/{key}");
    for path in [&by_id, &by_key] {
        let found = session
            .expect(StatusCode::OK, &Request::get(path).token(customer))
            .await?;
        expect(identifier(&found, "/id")? == id, || {
            format!("{path} is another order")
        })?;
    }
    let list = session
        .expect(
            StatusCode::OK,
            &Request::get("/api/orders?limit=10").token(customer),
        )
        .await?;
    let listed = list.body["items"].as_array().map_or(0, Vec::len);
    expect(listed == 1, || {
        format!("the customer has {listed} orders instead of 1")
    })?;
    let stranger = session.customer();
    session
        .expect(
            StatusCode::NOT_FOUND,
            &Request::get(&by_id).token(&stranger),
        )
        .await?;
    session
        .expect(StatusCode::UNAUTHORIZED, &Request::get(&by_id))
        .await?;
    Ok(())
}

/// What is not there is refused, and the refusal is kept under its key.
pub(super) async fn sold_out(session: &Session<'_>) -> Found {
    let product = make_product(session, "sold-out", 1).await?;
    let customer = session.customer();
    let key = format!("smoke-{}", Uuid::now_v7());
    let request = Request::post("/api/orders", json!({"productId": product, "quantity": 2}))
        .token(&customer)
        .key(&key);
    for _ in 0..2 {
        let refused = session.expect(StatusCode::CONFLICT, &request).await?;
        let kind = text(&refused, "/type")?;
        expect(kind.ends_with("/sold-out"), || {
            format!("it was refused as {kind}")
        })?;
    }
    let by_key = format!("/api/orders/by-key/{key}");
    session
        .expect(
            StatusCode::CONFLICT,
            &Request::get(&by_key).token(&customer),
        )
        .await?;
    Ok("refused as sold out, each time the same".to_owned())
}
