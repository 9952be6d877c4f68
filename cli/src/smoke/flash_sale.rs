//! A flash sale: many customers at once, few pieces, and an outcome that is exact.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::catalogue::{make_product, put_on_sale, stock};
use super::session::{Finding, Found, Session, expect, identifier, text};
use crate::shop::{ProductBooks, Request};

/// Pieces on sale.
const PIECES: u32 = 100;
/// Customers who want one each, all at the same moment.
const CUSTOMERS: usize = 300;
/// Every so many customers ask twice at once under the same key, as impatient ones do.
const TWICE: usize = 3;
/// How long a customer who is asked to come back keeps coming back.
const PATIENCE: Duration = Duration::from_secs(15);
const COME_BACK: Duration = Duration::from_millis(100);

/// What a customer got.
enum Got {
    Order(Uuid),
    SoldOut,
}

/// The sale. Gives the product and how long the storm took.
pub(super) async fn sale(session: &Session<'_>) -> Found<(String, Uuid)> {
    let product = make_product(session, "flash-sale", PIECES).await?;
    put_on_sale(session, product, 1).await?;
    let began = Instant::now();
    let requests = (0..CUSTOMERS).flat_map(|number| {
        let token = session.customer();
        let key = format!("smoke-{}", Uuid::now_v7());
        let times = if number % TWICE == 0 { 2 } else { 1 };
        (0..times).map(move |_| buy(session, product, token.clone(), key.clone()))
    });
    let outcomes = join_all(requests).await;
    let took = began.elapsed();

    let answered = outcomes.len();
    let mut orders: BTreeMap<Uuid, String> = BTreeMap::new();
    let mut by_key: BTreeMap<String, Uuid> = BTreeMap::new();
    let mut refused = 0;
    for outcome in outcomes {
        let (key, got) = outcome?;
        match got {
            Got::SoldOut => refused += 1,
            Got::Order(id) => {
                let before = by_key.insert(key.clone(), id);
                expect(before.is_none_or(|before| before == id), || {
                    format!("the key {key} has two orders")
                })?;
                orders.insert(id, key);
            }
        }
    }
    expect(orders.len() == PIECES as usize, || {
        format!(
            "{} orders were acknowledged instead of {PIECES}",
            orders.len()
        )
    })?;
    expect(by_key.len() == orders.len(), || {
        format!("{} orders have {} keys", orders.len(), by_key.len())
    })?;
    Ok((
        format!(
            "{CUSTOMERS} customers, {answered} requests at once in {} ms: {} orders, {refused} refusals",
            took.as_millis(),
            orders.len()
        ),
        product,
    ))
}

/// One customer's try. Who is told to come back does, with the same key.
async fn buy(
    session: &Session<'_>,
    product: Uuid,
    token: String,
    key: String,
) -> Found<(String, Got)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = Request::post("/api/orders", json!({"productId": product, "quantity": 1}))
            .token(&token)
            .key(&key);
        let answer = session.ask(&request).await?;
        match answer.status {
            StatusCode::CREATED => {
                let id = identifier(&answer, "/id")?;
                return Ok((key, Got::Order(id)));
            }
            StatusCode::CONFLICT if text(&answer, "/type")?.ends_with("/sold-out") => {
                return Ok((key, Got::SoldOut));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(COME_BACK).await;
            }
            _ => {
                return Err(Finding::Wrong(format!(
                    "an order was answered with {}",
                    answer.summary()
                )));
            }
        }
    }
}

/// The outcome by the shop's word and by the books.
pub(super) async fn books(session: &Session<'_>, product: Uuid) -> Found {
    let pieces = i64::from(PIECES);
    let told = stock(session, product).await?;
    expect(told == [pieces, 0, 0, pieces], || {
        format!("the shop says that received, free, held and sold are {told:?}")
    })?;
    let books = session.auditor.product(product).await?;
    let exact = ProductBooks {
        received: pieces,
        free: 0,
        held: 0,
        sold: pieces,
        orders: pieces,
        pieces,
        keys: pieces,
    };
    expect(books == exact, || format!("the books say {books:?}"))?;
    Ok(format!(
        "{PIECES} orders, {PIECES} keys, stock 0: in the shop and in Postgres"
    ))
}
