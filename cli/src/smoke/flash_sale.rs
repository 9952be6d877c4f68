//! A flash sale: many customers at once, few pieces, and an outcome that is exact.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::catalogue::{make_product, put_on_sale, stock};
use super::report::FlashSale;
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

/// What a request was answered with in the end.
#[derive(Debug)]
enum Got {
    Order(Uuid),
    SoldOut,
}

/// A request that was answered.
#[derive(Debug)]
struct Answered {
    key: String,
    got: Got,
    /// How often it was asked to come back before.
    came_back: usize,
}

/// The sale. Gives the product and how every request was answered.
pub(super) async fn sale(session: &Session<'_>) -> Found<(String, (Uuid, FlashSale))> {
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
    let answered = outcomes.into_iter().collect::<Found<Vec<Answered>>>()?;
    let sale = account(&answered, took)?;
    Ok((describe(&sale), (product, sale)))
}

/// Accounts for every request: the first answer of a key is what its customer got, and any other must be the same.
fn account(answered: &[Answered], took: Duration) -> Found<FlashSale> {
    let mut first: BTreeMap<&str, Option<Uuid>> = BTreeMap::new();
    let mut sale = FlashSale {
        pieces: PIECES as usize,
        customers: CUSTOMERS,
        requests: answered.len(),
        orders: 0,
        orders_repeated: 0,
        sold_out: 0,
        sold_out_repeated: 0,
        asked_to_come_back: answered.iter().map(|answer| answer.came_back).sum(),
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    for Answered { key, got, .. } in answered {
        let order = match got {
            Got::Order(id) => Some(*id),
            Got::SoldOut => None,
        };
        let before = first.insert(key, order);
        expect(before.is_none_or(|before| before == order), || {
            format!("the key {key} was answered in two ways")
        })?;
        let count = match (before, got) {
            (None, Got::Order(_)) => &mut sale.orders,
            (Some(_), Got::Order(_)) => &mut sale.orders_repeated,
            (None, Got::SoldOut) => &mut sale.sold_out,
            (Some(_), Got::SoldOut) => &mut sale.sold_out_repeated,
        };
        *count += 1;
    }
    let orders: BTreeSet<Uuid> = first.values().copied().flatten().collect();
    expect(sale.orders == sale.pieces, || {
        format!(
            "{} orders were acknowledged instead of {PIECES}",
            sale.orders
        )
    })?;
    expect(orders.len() == sale.orders, || {
        format!("{} keys have {} orders", sale.orders, orders.len())
    })?;
    expect(sale.orders + sale.sold_out == CUSTOMERS, || {
        format!(
            "{} customers were answered instead of {CUSTOMERS}",
            sale.orders + sale.sold_out
        )
    })?;
    let repeated = sale.orders_repeated + sale.sold_out_repeated;
    expect(CUSTOMERS + repeated == sale.requests, || {
        format!(
            "{} of {} requests are accounted for",
            CUSTOMERS + repeated,
            sale.requests
        )
    })?;
    Ok(sale)
}

fn describe(sale: &FlashSale) -> String {
    let came_back = match sale.asked_to_come_back {
        0 => String::new(),
        times => format!("; {times} times somebody was asked to come back"),
    };
    format!(
        "{} requests of {} customers in {} ms: {} orders, {} sold out, and the same again to {} and {} repeats{came_back}",
        sale.requests,
        sale.customers,
        sale.milliseconds,
        sale.orders,
        sale.sold_out,
        sale.orders_repeated,
        sale.sold_out_repeated,
    )
}

/// One customer's try. Who is told to come back does, with the same key.
async fn buy(session: &Session<'_>, product: Uuid, token: String, key: String) -> Found<Answered> {
    let deadline = Instant::now() + PATIENCE;
    let mut came_back = 0;
    let got = loop {
        let request = Request::post("/api/orders", json!({"productId": product, "quantity": 1}))
            .token(&token)
            .key(&key);
        let answer = session.ask(&request).await?;
        match answer.status {
            StatusCode::CREATED => break Got::Order(identifier(&answer, "/id")?),
            StatusCode::CONFLICT if text(&answer, "/type")?.ends_with("/sold-out") => {
                break Got::SoldOut;
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                if Instant::now() < deadline =>
            {
                came_back += 1;
                tokio::time::sleep(COME_BACK).await;
            }
            // The limit of one piece cannot be reached under one key: that would be wrong as well.
            _ => {
                return Err(Finding::Wrong(format!(
                    "an order was answered with {}",
                    answer.summary()
                )));
            }
        }
    };
    Ok(Answered {
        key,
        got,
        came_back,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A sale that ended as it must: every third customer asked twice, the first customers were the quick ones.
    fn answers() -> Vec<Answered> {
        let mut answers = Vec::new();
        for number in 0..CUSTOMERS {
            let order = Uuid::from_u128(number as u128);
            for _ in 0..if number % TWICE == 0 { 2 } else { 1 } {
                answers.push(Answered {
                    key: format!("key-{number}"),
                    got: if number < PIECES as usize {
                        Got::Order(order)
                    } else {
                        Got::SoldOut
                    },
                    came_back: usize::from(number == 7),
                });
            }
        }
        answers
    }

    fn account_of(answers: &[Answered]) -> Found<FlashSale> {
        account(answers, Duration::from_millis(130))
    }

    #[test]
    fn every_request_is_accounted_for() {
        let sale = account_of(&answers()).unwrap();
        assert_eq!(
            (
                sale.orders,
                sale.orders_repeated,
                sale.sold_out,
                sale.sold_out_repeated
            ),
            (100, 34, 200, 66)
        );
        assert_eq!(sale.requests, 100 + 34 + 200 + 66);
        assert_eq!(
            describe(&sale),
            "400 requests of 300 customers in 130 ms: 100 orders, 200 sold out, and the same again to 34 and 66 \
             repeats; 1 times somebody was asked to come back"
        );
    }

    #[test]
    fn a_sale_that_is_not_exact_is_found() {
        let wrong = |change: fn(&mut Vec<Answered>)| {
            let mut answers = answers();
            change(&mut answers);
            account_of(&answers).unwrap_err().to_string()
        };
        assert_eq!(
            wrong(|answers| answers[399].got = Got::Order(Uuid::from_u128(1000))),
            "101 orders were acknowledged instead of 100"
        );
        assert_eq!(
            wrong(|answers| answers[1].got = Got::SoldOut),
            "the key key-0 was answered in two ways"
        );
        assert_eq!(
            wrong(|answers| answers[2].got = Got::Order(Uuid::from_u128(0))),
            "100 keys have 99 orders"
        );
        assert_eq!(
            wrong(|answers| answers.truncate(399)),
            "299 customers were answered instead of 300"
        );
    }
}
