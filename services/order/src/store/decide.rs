//! Decides batches on a connection of its own.

use shop_common::postgres::Logins;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::batcher::{Attempt, Decide, Verdict};
use crate::order::{Decision, Order, OrderRequest, Outcome, Refusal, RefusalReason};

/// Decides in Postgres, one batch at a time.
#[derive(Debug)]
pub struct PostgresDecider {
    logins: Logins,
    connection: Option<PgConnection>,
}

struct Row {
    ord: i32,
    verdict: String,
    decision_id: Option<Uuid>,
    replayed: bool,
    unit_price_minor: Option<i64>,
    currency: Option<String>,
    decided_at: Option<OffsetDateTime>,
}

impl PostgresDecider {
    /// Connects when the first batch comes.
    pub fn new(logins: impl Into<Logins>) -> Self {
        Self {
            logins: logins.into(),
            connection: None,
        }
    }
}

impl Decide for PostgresDecider {
    async fn decide(&mut self, requests: &[&OrderRequest]) -> Result<Vec<Verdict>, Attempt> {
        // Taken out, so that a decision that is given up takes its connection with it.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.logins.connect().await.map_err(Attempt::Interrupted)?,
        };
        let decided = ask(&mut connection, requests).await;
        match decided {
            Ok(rows) => {
                self.connection = Some(connection);
                verdicts(requests, rows).map_err(Attempt::Rejected)
            }
            Err(error) if shop_common::problem::is_outage(&error) => {
                Err(Attempt::Interrupted(error))
            }
            Err(error) => {
                // The server answered, so the connection is sound.
                self.connection = Some(connection);
                Err(if may_pass(&error) {
                    Attempt::Interrupted(error)
                } else {
                    Attempt::Rejected(error)
                })
            }
        }
    }
}

/// One statement is one transaction: when its rows have come, it is committed.
async fn ask(
    connection: &mut PgConnection,
    requests: &[&OrderRequest],
) -> Result<Vec<Row>, sqlx::Error> {
    fn column<'a, T>(requests: &[&'a OrderRequest], of: impl Fn(&'a OrderRequest) -> T) -> Vec<T> {
        requests.iter().map(|request| of(request)).collect()
    }
    let customers = column(requests, |request| request.customer_id);
    let keys = column(requests, |request| request.key.as_str());
    let hashes = column(requests, OrderRequest::body_hash);
    let products = column(requests, |request| request.product_id);
    let quantities = column(requests, |request| request.quantity);
    let tags = column(requests, |request| request.tag.as_deref());
    let ids = column(requests, |request| request.decision_id);
    sqlx::query_as!(
        Row,
        r#"SELECT ord AS "ord!", verdict AS "verdict!", decision_id, replayed AS "replayed!",
                  unit_price_minor, currency, decided_at
             FROM orders.decide($1, $2, $3, $4, $5, $6, $7)"#,
        &customers,
        &keys as &[&str],
        &hashes as &[[u8; 32]],
        &products,
        &quantities,
        &tags as &[Option<&str>],
        &ids,
    )
    .fetch_all(connection)
    .await
}

/// Whether the same batch may well be decided the next time: Postgres stepped back from a conflict, ran out of
/// something or of time, or does not yet have what a migration will bring. Nothing was stored.
fn may_pass(error: &sqlx::Error) -> bool {
    let Some(state) = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
    else {
        return false;
    };
    let class = state.get(..2).unwrap_or_default();
    matches!(class, "40" | "42" | "53" | "55" | "57") || state == "3F000"
}

fn verdicts(requests: &[&OrderRequest], rows: Vec<Row>) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut verdicts: Vec<Option<Verdict>> = vec![None; requests.len()];
    for row in rows {
        let place = usize::try_from(row.ord)
            .ok()
            .and_then(|ord| ord.checked_sub(1));
        let place = place.filter(|place| *place < requests.len());
        let place = place.ok_or_else(|| unexpected("a verdict for an item that was not asked"))?;
        verdicts[place] = Some(verdict(requests[place], row)?);
    }
    let all: Option<Vec<Verdict>> = verdicts.into_iter().collect();
    all.ok_or_else(|| unexpected("no verdict for an item that was asked"))
}

fn verdict(request: &OrderRequest, row: Row) -> Result<Verdict, sqlx::Error> {
    let missing = || unexpected("a confirmed order without its price");
    let outcome = match row.verdict.as_str() {
        "confirmed" => Outcome::Confirmed(Order {
            id: row.decision_id.ok_or_else(missing)?,
            key: request.key.clone(),
            product_id: request.product_id,
            quantity: request.quantity,
            unit_price_minor: row.unit_price_minor.ok_or_else(missing)?,
            currency: row.currency.ok_or_else(missing)?,
            created_at: row.decided_at.ok_or_else(missing)?,
        }),
        "reused" => Outcome::KeyReused,
        "not_found" => Outcome::NotFound,
        "unsettled" => return Ok(None),
        refused => Outcome::Refused(Refusal {
            reason: refusal_reason(refused)?,
            product_id: request.product_id,
            quantity: request.quantity,
        }),
    };
    Ok(Some(Decision {
        outcome,
        replayed: row.replayed,
    }))
}

/// What the tables and functions call a reason.
pub(super) fn refusal_reason(verdict: &str) -> Result<RefusalReason, sqlx::Error> {
    match verdict {
        "sold_out" => Ok(RefusalReason::SoldOut),
        "limit_reached" => Ok(RefusalReason::LimitReached),
        other => Err(unexpected(&format!("the verdict `{other}`"))),
    }
}

fn unexpected(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("orders.decide gave {what}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> OrderRequest {
        OrderRequest {
            decision_id: Uuid::from_u128(7),
            customer_id: Uuid::from_u128(1),
            key: "a".parse().unwrap(),
            product_id: Uuid::from_u128(2),
            quantity: 3,
            tag: None,
        }
    }

    fn row(ord: i32, verdict: &str) -> Row {
        Row {
            ord,
            verdict: verdict.to_owned(),
            decision_id: Some(Uuid::from_u128(7)),
            replayed: false,
            unit_price_minor: None,
            currency: None,
            decided_at: None,
        }
    }

    #[test]
    fn verdicts_find_their_items_in_whatever_order_they_come() {
        let (first, second) = (
            request(),
            OrderRequest {
                quantity: 4,
                ..request()
            },
        );
        let rows = vec![row(2, "sold_out"), row(1, "not_found")];
        let verdicts = verdicts(&[&first, &second], rows).unwrap();
        assert_eq!(verdicts[0].as_ref().unwrap().outcome, Outcome::NotFound);
        let refusal = Refusal {
            reason: RefusalReason::SoldOut,
            product_id: second.product_id,
            quantity: 4,
        };
        assert_eq!(
            verdicts[1].as_ref().unwrap().outcome,
            Outcome::Refused(refusal)
        );
    }

    #[test]
    fn an_answer_that_lacks_something_is_an_error_and_never_an_order() {
        let request = request();
        for rows in [
            vec![],
            vec![row(2, "not_found")],
            vec![row(0, "not_found")],
            vec![row(1, "confirmed")],
            vec![row(1, "perhaps")],
        ] {
            assert!(verdicts(&[&request], rows).is_err());
        }
    }
}
