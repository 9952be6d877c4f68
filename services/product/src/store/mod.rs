//! Postgres: the schema `product`, read and changed.
//!
//! Every query is checked against the migrations when the crate is built (`.sqlx/` holds what it is checked against).
//! What changes stock are the functions of the migrations; here they are only called.

mod catalogue;
mod holds;
mod sales;
mod stock;

use std::time::Duration;

use shop_common::problem::{ConstraintProblem, Problem};
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

pub(crate) use catalogue::ChangeVerdict;
pub(crate) use holds::{HoldRequest, HoldVerdict, KeyVerdict, Verdict};
pub(crate) use stock::DeliveryVerdict;

/// What a violated constraint means to the caller. Handlers check first; this is for what only the database knows.
pub(crate) const CONSTRAINTS: &[ConstraintProblem] = &[
    ("products_sku_key", || {
        Problem::conflict("there is another product with this sku")
    }),
    ("sales_product_id_fkey", Problem::not_found),
    ("sales_do_not_overlap", || {
        Problem::conflict("the product has another sale in this window")
    }),
];

/// The service's tables.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

impl Store {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Removes the products of a test run and all that belongs to them; says how many there were.
    pub(crate) async fn remove_test_data(&self, tag: &str) -> sqlx::Result<i32> {
        sqlx::query_scalar!(r#"SELECT product.remove_test_data($1) AS "removed!""#, tag)
            .fetch_one(&self.pool)
            .await
    }

    /// Returns at most so many expired holds to the free stock; says how many.
    pub(crate) async fn expire_holds(&self, at_most: u16) -> sqlx::Result<i32> {
        sqlx::query_scalar!(
            r#"SELECT product.expire_holds($1) AS "expired!""#,
            i32::from(at_most)
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Forgets at most so many holds that were decided long ago; says how many.
    pub(crate) async fn forget_holds(&self, age: Duration, at_most: u16) -> sqlx::Result<i32> {
        let age = PgInterval {
            months: 0,
            days: 0,
            microseconds: i64::try_from(age.as_micros()).unwrap_or(i64::MAX),
        };
        sqlx::query_scalar!(
            r#"SELECT product.forget_holds($1, $2) AS "forgotten!""#,
            age,
            i32::from(at_most)
        )
        .fetch_one(&self.pool)
        .await
    }
}
