//! Stock: read, and taken in.

use uuid::Uuid;

use super::Store;
use crate::model::{Delivery, Stock};

/// What telling of a delivery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryVerdict {
    /// Taken in now, or when it was told before.
    Received,
    /// Told before with another amount.
    Conflict,
    /// No such product.
    NotFound,
}

impl Store {
    pub(crate) async fn stock(&self, product_id: Uuid) -> sqlx::Result<Option<Stock>> {
        sqlx::query_as!(
            Stock,
            "SELECT received, free, held, sold FROM product.stock WHERE product_id = $1",
            product_id
        )
        .fetch_optional(&self.pool)
        .await
    }

    pub(crate) async fn receive(
        &self,
        product_id: Uuid,
        delivery: &Delivery,
    ) -> sqlx::Result<DeliveryVerdict> {
        let verdict = sqlx::query_scalar!(
            r#"SELECT product.receive_stock($1, $2, $3) AS "verdict!""#,
            product_id,
            delivery.add,
            delivery.reference
        )
        .fetch_one(&self.pool)
        .await?;
        match verdict.as_str() {
            "received" | "repeated" => Ok(DeliveryVerdict::Received),
            "conflict" => Ok(DeliveryVerdict::Conflict),
            "not_found" => Ok(DeliveryVerdict::NotFound),
            other => Err(super::holds::unknown_verdict(other)),
        }
    }
}
