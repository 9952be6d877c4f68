//! The catalogue, its administration and its sales.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::session::{Found, Session, expect, identifier};
use crate::shop::Request;
use crate::shop::test_data::{NewProduct, sale_body};

/// Longer than any smoke test.
const SALE: Duration = Duration::from_mins(5);

/// Makes a product of this test.
pub(super) async fn make_product(session: &Session<'_>, name: &str, stock: u32) -> Found<Uuid> {
    let product = NewProduct {
        sku: format!("{}-{name}", session.tag),
        name: format!("Smoke test: {name}"),
        stock,
    };
    let request = Request::post("/api/products", product.body()).token(session.admin());
    let answer = session.expect(StatusCode::CREATED, &request).await?;
    identifier(&answer, "/id")
}

/// Puts a product on sale from a moment ago for a few minutes.
pub(super) async fn put_on_sale(session: &Session<'_>, product: Uuid, limit: u32) -> Found<()> {
    let path = format!("/api/products/{product}/sales");
    let request = Request::post(&path, sale_body(limit, SALE)).token(session.admin());
    session.expect(StatusCode::CREATED, &request).await?;
    let listed = session
        .expect(StatusCode::OK, &Request::get(&path).token(session.admin()))
        .await?;
    expect(
        listed.body.to_string().contains("\"limitPerCustomer\""),
        || format!("the sale is not listed: {}", listed.body),
    )
}

/// The stock of a product as the shop tells it: received, free, held and sold.
pub(super) async fn stock(session: &Session<'_>, product: Uuid) -> Found<[i64; 4]> {
    let path = format!("/api/products/{product}/stock");
    let answer = session
        .expect(StatusCode::OK, &Request::get(&path).token(session.admin()))
        .await?;
    Ok(["received", "free", "held", "sold"].map(|field| answer.body[field].as_i64().unwrap_or(-1)))
}

/// Anybody can read the catalogue page by page, and finds no test data in it.
pub(super) async fn browse(session: &Session<'_>) -> Found {
    let hidden = make_product(session, "hidden", 1).await?;
    let mut cursor = String::new();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let path = format!("/api/products?limit=5{cursor}");
        let page = session.expect(StatusCode::OK, &Request::get(&path)).await?;
        let items = page.body["items"].as_array().cloned().unwrap_or_default();
        seen.extend(
            items
                .iter()
                .filter_map(|item| item["id"].as_str())
                .map(ToOwned::to_owned),
        );
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    expect(!seen.contains(&hidden.to_string()), || {
        "test data is listed".to_owned()
    })?;
    if let Some(first) = seen.first() {
        let path = format!("/api/products/{first}");
        session.expect(StatusCode::OK, &Request::get(&path)).await?;
    }
    let path = format!("/api/products/{hidden}");
    session
        .expect(StatusCode::NOT_FOUND, &Request::get(&path))
        .await?;
    let own = session.customer();
    session
        .expect(StatusCode::OK, &Request::get(&path).token(&own))
        .await?;
    Ok(format!("{} products listed, test data hidden", seen.len()))
}

/// An administrator finds, changes and restocks a product; nobody else may.
pub(super) async fn administer(session: &Session<'_>) -> Found {
    let product = make_product(session, "administered", 3).await?;
    let by_sku = format!("/api/products/by-sku/{}-administered", session.tag);
    let found = session
        .expect(
            StatusCode::OK,
            &Request::get(&by_sku).token(session.admin()),
        )
        .await?;
    expect(identifier(&found, "/id")? == product, || {
        "another product was found by the sku".to_owned()
    })?;
    let path = format!("/api/products/{product}");
    let change = json!({"name": "Changed", "description": "", "price": {"amountMinor": 5, "currency": "EUR"}});
    let customer = session.customer();
    let forbidden = Request::new(Method::PUT, &path)
        .token(&customer)
        .body(change.clone());
    session.expect(StatusCode::FORBIDDEN, &forbidden).await?;
    let allowed = Request::new(Method::PUT, &path)
        .token(session.admin())
        .body(change);
    let changed = session.expect(StatusCode::OK, &allowed).await?;
    expect(changed.body["name"] == "Changed", || {
        format!("the change did not come through: {}", changed.body)
    })?;
    // The same delivery told twice counts once.
    let path = format!("/api/products/{product}/stock");
    for _ in 0..2 {
        let delivery = json!({"add": 4, "reference": "smoke-delivery"});
        let request = Request::post(&path, delivery).token(session.admin());
        session.expect(StatusCode::OK, &request).await?;
    }
    let stock = stock(session, product).await?;
    expect(stock == [7, 7, 0, 0], || {
        format!("received, free, held and sold are {stock:?} instead of 7, 7, 0 and 0")
    })?;
    Ok("found by sku, changed and restocked; a customer may not".to_owned())
}
