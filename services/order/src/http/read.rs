//! Reading one's own orders: one, by key, and all of them in pages.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use shop_common::auth::Customer;
use shop_common::extract::{Json, Path, Query};
use shop_common::problem::{DatabaseProblem, Problem, ProblemDocument, Result};
use utoipa::IntoParams;
use uuid::Uuid;

use super::documents::{OrderDocument, OrderPage, refusal_problem};
use super::routes::Shop;
use crate::order::Outcome;
use crate::store;

const DEFAULT_LIMIT: u16 = 20;
const LARGEST_LIMIT: u16 = 100;

/// Which page to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Orders in a page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// One of the caller's orders.
#[utoipa::path(
    get,
    path = "/api/orders/{id}",
    tag = "orders",
    security(("accessToken" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = OrderDocument),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 404, body = ProblemDocument, description = "`not-found`: none, or another customer's"),
    ),
)]
pub(super) async fn one(
    State(shop): State<Shop>,
    customer: Customer,
    Path(id): Path<Uuid>,
) -> Result<Json<OrderDocument>> {
    let order = store::patiently(|| store::find(&shop.pool, customer.id, id)).await;
    let order = order.map_err(|error| error.into_problem(&[]))?;
    order
        .map(|order| Json(order.into()))
        .ok_or_else(Problem::not_found)
}

/// What became of the caller's request with this key: the order, or the refusal as it was answered.
#[utoipa::path(
    get,
    path = "/api/orders/by-key/{key}",
    tag = "orders",
    security(("accessToken" = [])),
    params(("key" = String, Path, description = "the `Idempotency-Key`, percent-encoded")),
    responses(
        (status = 200, body = OrderDocument),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 404, body = ProblemDocument, description = "`not-found`: nothing was decided for this key"),
        (status = 409, body = ProblemDocument, description = "`sold-out`, `limit-reached`"),
    ),
)]
pub(super) async fn by_key(
    State(shop): State<Shop>,
    customer: Customer,
    Path(key): Path<String>,
) -> Result<Response> {
    // What is no key was never one.
    let key = key.parse().map_err(|_| Problem::not_found())?;
    let outcome = store::patiently(|| store::find_by_key(&shop.pool, customer.id, &key)).await;
    match outcome.map_err(|error| error.into_problem(&[]))? {
        Some(Outcome::Confirmed(order)) => Ok(Json(OrderDocument::from(order)).into_response()),
        Some(Outcome::Refused(refusal)) => Err(refusal_problem(&refusal)),
        _ => Err(Problem::not_found()),
    }
}

/// The caller's orders, newest first.
#[utoipa::path(
    get,
    path = "/api/orders",
    tag = "orders",
    security(("accessToken" = [])),
    params(PageQuery),
    responses(
        (status = 200, body = OrderPage),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
    ),
)]
pub(super) async fn mine(
    State(shop): State<Shop>,
    customer: Customer,
    Query(query): Query<PageQuery>,
) -> Result<Json<OrderPage>> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        return Err(Problem::validation(format!(
            "`limit` must be between 1 and {LARGEST_LIMIT}"
        )));
    }
    let after = query.cursor.as_deref().map(decode_cursor).transpose()?;
    let page = store::patiently(|| store::page(&shop.pool, customer.id, after, limit)).await;
    let page = page.map_err(|error| error.into_problem(&[]))?;
    Ok(Json(OrderPage {
        items: page.orders.into_iter().map(OrderDocument::from).collect(),
        next_cursor: page.next.map(encode_cursor),
    }))
}

fn encode_cursor(after: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(after.as_bytes())
}

fn decode_cursor(cursor: &str) -> Result<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| Problem::validation("`cursor` is not one that was given out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let id = Uuid::now_v7();
        assert_eq!(decode_cursor(&encode_cursor(id)), Ok(id));
    }

    #[test]
    fn what_was_not_given_out_is_no_cursor() {
        for cursor in ["", "x", "AAAA", "ä", &encode_cursor(Uuid::nil())[1..]] {
            assert!(decode_cursor(cursor).is_err(), "{cursor}");
        }
    }
}
