//! Removes what has had its time: keys after a day, test data when the test is over.
//!
//! A row at most is locked that another removal has not, so removals never wait for each other, and decisions wait
//! for them as long as one small batch takes.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;

/// Rows removed in one transaction.
const CHUNK: i64 = 5_000;

/// Removes keys older than `retention`, with the refusals they led to; orders stay. Gives the number of keys.
pub async fn sweep(pool: &PgPool, retention: Duration) -> Result<u64, sqlx::Error> {
    let mut swept = 0;
    loop {
        let chunk = sqlx::query_scalar!(
            r#"WITH expired AS (
                   SELECT customer_id, key, decision_id FROM orders.claims
                    WHERE created_at < now() - make_interval(secs => $1)
                    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED),
               refusals AS (
                   DELETE FROM orders.refusals USING expired WHERE refusals.decision_id = expired.decision_id),
               claims AS (
                   DELETE FROM orders.claims AS claim USING expired
                    WHERE claim.customer_id = expired.customer_id AND claim.key = expired.key
                   RETURNING 1)
               SELECT count(*) AS "count!" FROM claims"#,
            retention.as_secs_f64(),
            CHUNK,
        )
        .fetch_one(pool)
        .await?;
        swept += chunk.unsigned_abs();
        if chunk < CHUNK {
            return Ok(swept);
        }
    }
}

/// How much of a test has been removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedTestData {
    /// Orders.
    pub orders: u64,
    /// Idempotency keys.
    pub keys: u64,
}

/// Removes all that a test has left: keys first, so that no key ever points to an order that is gone.
pub async fn remove_test_data(pool: &PgPool, tag: &str) -> Result<RemovedTestData, sqlx::Error> {
    let mut removed = RemovedTestData { orders: 0, keys: 0 };
    loop {
        let chunk = sqlx::query_scalar!(
            r#"WITH tagged AS (
                   SELECT customer_id, key, decision_id FROM orders.claims
                    WHERE tag = $1 LIMIT $2 FOR UPDATE SKIP LOCKED),
               refusals AS (
                   DELETE FROM orders.refusals USING tagged WHERE refusals.decision_id = tagged.decision_id),
               claims AS (
                   DELETE FROM orders.claims AS claim USING tagged
                    WHERE claim.customer_id = tagged.customer_id AND claim.key = tagged.key
                   RETURNING 1)
               SELECT count(*) AS "count!" FROM claims"#,
            tag,
            CHUNK,
        )
        .fetch_one(pool)
        .await?;
        removed.keys += chunk.unsigned_abs();
        if chunk < CHUNK {
            break;
        }
    }
    loop {
        let chunk = sqlx::query!(
            "DELETE FROM orders.orders WHERE id IN (
                 SELECT id FROM orders.orders WHERE tag = $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
            tag,
            CHUNK,
        )
        .execute(pool)
        .await?
        .rows_affected();
        removed.orders += chunk;
        if chunk < CHUNK.unsigned_abs() {
            return Ok(removed);
        }
    }
}
