//! Reads a customer's own orders.

use shop_common::problem::is_outage;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::decide::refusal_reason;
use crate::order::{IdempotencyKey, Order, Outcome, Refusal};

struct Row {
    id: Uuid,
    key: String,
    product_id: Uuid,
    quantity: i32,
    unit_price_minor: i64,
    currency: String,
    created_at: OffsetDateTime,
}

impl From<Row> for Order {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            key: IdempotencyKey::stored(row.key),
            product_id: row.product_id,
            quantity: row.quantity,
            unit_price_minor: row.unit_price_minor,
            currency: row.currency,
            created_at: row.created_at,
        }
    }
}

/// Reads, and reads once more if the connection has died since it was used last: a restart of Postgres or a cut in the
/// network should not be a reader's problem once it is over.
pub async fn patiently<T, F>(read: impl Fn() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    match read().await {
        // There is nothing to be had from waiting for the pool a second time.
        Err(error) if is_outage(&error) && !matches!(error, sqlx::Error::PoolTimedOut) => {
            read().await
        }
        result => result,
    }
}

/// An order, if it is this customer's.
pub async fn find(
    pool: &PgPool,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Order>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        "SELECT id, key, product_id, quantity, unit_price_minor, currency, created_at
           FROM orders.orders WHERE id = $1 AND customer_id = $2",
        id,
        customer_id,
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.map(Order::from))
}

/// What became of the request with this key. Refusals are known for as long as keys are kept, orders for ever;
/// if a key was used again after its time, the newest use counts.
pub async fn find_by_key(
    pool: &PgPool,
    customer_id: Uuid,
    key: &IdempotencyKey,
) -> Result<Option<Outcome>, sqlx::Error> {
    let refused = sqlx::query!(
        "SELECT refusal.verdict, refusal.product_id, refusal.quantity
           FROM orders.claims AS claim
           JOIN orders.refusals AS refusal ON refusal.decision_id = claim.decision_id
          WHERE claim.customer_id = $1 AND claim.key = $2",
        customer_id,
        key.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = refused {
        return Ok(Some(Outcome::Refused(Refusal {
            reason: refusal_reason(&row.verdict)?,
            product_id: row.product_id,
            quantity: row.quantity,
        })));
    }
    // By the index of the customer's orders: a customer has few.
    let placed = sqlx::query_as!(
        Row,
        "SELECT id, key, product_id, quantity, unit_price_minor, currency, created_at
           FROM orders.orders WHERE customer_id = $1 AND key = $2 ORDER BY id DESC LIMIT 1",
        customer_id,
        key.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    Ok(placed.map(|row| Outcome::Confirmed(row.into())))
}

/// Orders of one customer, newest first.
#[derive(Debug)]
pub struct Page {
    /// The orders.
    pub orders: Vec<Order>,
    /// Where the next page begins, if there is one: after this order.
    pub next: Option<Uuid>,
}

/// At most `limit` orders of a customer, older than the order `after`.
pub async fn page(
    pool: &PgPool,
    customer_id: Uuid,
    after: Option<Uuid>,
    limit: u16,
) -> Result<Page, sqlx::Error> {
    let one_more = i64::from(limit) + 1;
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, key, product_id, quantity, unit_price_minor, currency, created_at
           FROM orders.orders WHERE customer_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        customer_id,
        after.unwrap_or(Uuid::max()),
        one_more,
    )
    .fetch_all(pool)
    .await?;
    let mut orders: Vec<Order> = rows.into_iter().map(Order::from).collect();
    let more = orders.len() > usize::from(limit);
    orders.truncate(usize::from(limit));
    let next = orders.last().filter(|_| more).map(|order| order.id);
    Ok(Page { orders, next })
}
