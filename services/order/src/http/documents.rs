//! What goes over the wire.

use serde::{Deserialize, Serialize};
use shop_common::problem::{Problem, ProblemKind};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::order::{Order, Refusal, RefusalReason};

/// The body of `POST /api/orders`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct OrderBody {
    /// What to order.
    pub(super) product_id: Uuid,
    /// How many pieces.
    #[schema(minimum = 1)]
    pub(super) quantity: u32,
}

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MoneyDocument {
    /// In the currency's minor unit, such as cents.
    amount_minor: i64,
    /// ISO 4217 code.
    currency: String,
}

/// Where an order stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OrderStatus {
    /// Committed, with its stock.
    Confirmed,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderDocument {
    /// The order's id.
    id: Uuid,
    /// What was ordered.
    product_id: Uuid,
    /// How many pieces.
    quantity: i32,
    /// The price of a piece when the order was decided.
    unit_price: MoneyDocument,
    /// The price of all of them.
    total: MoneyDocument,
    /// Where it stands.
    status: OrderStatus,
    /// The key it was placed with.
    idempotency_key: String,
    /// When it was decided.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl From<Order> for OrderDocument {
    fn from(order: Order) -> Self {
        let money = |amount_minor| MoneyDocument {
            amount_minor,
            currency: order.currency.clone(),
        };
        Self {
            id: order.id,
            product_id: order.product_id,
            quantity: order.quantity,
            unit_price: money(order.unit_price_minor),
            // The table bounds the total, so it never saturates.
            total: money(
                order
                    .unit_price_minor
                    .saturating_mul(i64::from(order.quantity)),
            ),
            status: OrderStatus::Confirmed,
            idempotency_key: order.key.to_string(),
            created_at: order.created_at,
        }
    }
}

/// A page of the caller's orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderPage {
    /// The orders.
    pub(super) items: Vec<OrderDocument>,
    /// Asks for the next page; null on the last one.
    pub(super) next_cursor: Option<String>,
}

/// The problem that a refusal is answered with, the first time and every time its key comes again.
pub(super) fn refusal_problem(refusal: &Refusal) -> Problem {
    let (kind, detail) = match refusal.reason {
        RefusalReason::SoldOut => (ProblemKind::SoldOut, "less is left than was asked for"),
        RefusalReason::LimitReached => (
            ProblemKind::LimitReached,
            "the sale does not allow a customer as many",
        ),
    };
    Problem::new(kind)
        .with_detail(detail)
        .with("productId", refusal.product_id.to_string())
        .with("quantity", refusal.quantity)
}
