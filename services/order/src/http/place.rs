//! `POST /api/orders`.

use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use shop_common::auth::Customer;
use shop_common::extract::Json;
use shop_common::problem::{Problem, ProblemDocument, ProblemKind, Result};
use uuid::Uuid;

use super::documents::{OrderBody, OrderDocument, refusal_problem};
use super::routes::Shop;
use crate::batcher::Undecided;
use crate::order::{Decision, IdempotencyKey, OrderRequest, Outcome, RefusalReason};
use crate::sale_lock::{HeldLock, LockOutcome, LockTarget};

const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");

/// When a caller may come back who met a full queue, a database that is away, or an order of their own.
const COME_BACK: Duration = Duration::from_secs(1);

/// The request's one `Idempotency-Key`.
pub(super) struct RequestedKey(IdempotencyKey);

impl<S: Send + Sync> FromRequestParts<S> for RequestedKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let mut values = parts.headers.get_all(KEY_HEADER).iter();
        let Some(value) = values.next() else {
            return Err(Problem::new(ProblemKind::IdempotencyKeyMissing)
                .with_detail("send an `Idempotency-Key`, a new one for each order"));
        };
        if values.next().is_some() {
            return Err(Problem::validation("send one `Idempotency-Key` only"));
        }
        let text = value.to_str().unwrap_or_default();
        let key = text
            .parse()
            .map_err(|error| Problem::validation(format!("`Idempotency-Key`: {error}")))?;
        Ok(Self(key))
    }
}

/// Places an order. It is committed with its stock before it is answered.
#[utoipa::path(
    post,
    path = "/api/orders",
    tag = "orders",
    security(("accessToken" = [])),
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 128,
        pattern = r"^(?!\.{1,2}$)[!-.0-\[\]-~]+$",
        description = "the client's own name for this order: sent again, it gets the same answer for 24 hours")),
    request_body = OrderBody,
    responses(
        (status = 201, body = OrderDocument, description = "committed",
            headers(("Location" = String), ("Idempotent-Replayed" = bool))),
        (status = 400, body = ProblemDocument, description = "`validation`, `idempotency-key-missing`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 404, body = ProblemDocument, description = "`not-found`: no such product; the key stays free"),
        (status = 409, body = ProblemDocument, description = "`sold-out`, `limit-reached`: stored and repeated"),
        (status = 422, body = ProblemDocument, description = "`idempotency-key-reused` with another body"),
        (status = 429, body = ProblemDocument, description = "`rate-limited`: another order of the customer in this sale is being decided"),
        (status = 503, body = ProblemDocument, description = "`busy`, `unavailable`: come back with the same key"),
    ),
)]
pub(super) async fn place(
    State(shop): State<Shop>,
    customer: Customer,
    RequestedKey(key): RequestedKey,
    Json(body): Json<OrderBody>,
) -> Result<Response> {
    let request = OrderRequest {
        decision_id: Uuid::now_v7(),
        customer_id: customer.id,
        key,
        product_id: body.product_id,
        quantity: quantity(body.quantity, shop.maximum_quantity)?,
        tag: customer.test,
    };
    let lock = lock(&shop, &request)
        .await
        .inspect_err(|_| count("locked"))?;
    match shop.batcher.decide(request, lock).await {
        Ok(decision) => {
            count(label(&decision));
            answer(decision)
        }
        Err(undecided) => Err(problem_of(undecided)),
    }
}

fn quantity(asked: u32, maximum: u32) -> Result<i32> {
    i32::try_from(asked)
        .ok()
        .filter(|_| (1..=maximum).contains(&asked))
        .ok_or_else(|| Problem::validation(format!("`quantity` must be between 1 and {maximum}")))
}

/// In a sale, one order of a customer for a product at a time.
async fn lock(shop: &Shop, request: &OrderRequest) -> Result<Option<HeldLock>> {
    let Some(sale_id) = shop.sales.running(request.product_id).await else {
        return Ok(None);
    };
    let target = LockTarget {
        sale_id,
        product_id: request.product_id,
        customer_id: request.customer_id,
    };
    match shop.locks.acquire(target, &request.key).await {
        LockOutcome::Held(lock) => Ok(Some(lock)),
        LockOutcome::SameKey | LockOutcome::Unlocked => Ok(None),
        LockOutcome::OtherKey => Err(Problem::rate_limited(COME_BACK)
            .with_detail("another order of yours for this product is being decided")),
    }
}

fn answer(decision: Decision) -> Result<Response> {
    let mut response = match decision.outcome {
        Outcome::Confirmed(order) => {
            let location = format!("/api/orders/{}", order.id);
            (
                StatusCode::CREATED,
                [(LOCATION, location)],
                Json(OrderDocument::from(order)),
            )
                .into_response()
        }
        Outcome::Refused(refusal) => refusal_problem(&refusal).into_response(),
        Outcome::NotFound => {
            return Err(Problem::not_found().with_detail("there is no such product"));
        }
        Outcome::KeyReused => {
            return Err(Problem::new(ProblemKind::IdempotencyKeyReused)
                .with_detail("this `Idempotency-Key` came with another body before"));
        }
    };
    if decision.replayed {
        response
            .headers_mut()
            .insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn problem_of(undecided: Undecided) -> Problem {
    match undecided {
        Undecided::Busy => {
            count("busy");
            Problem::busy(COME_BACK)
        }
        Undecided::Unavailable => {
            count("unavailable");
            Problem::unavailable(COME_BACK)
                .with_detail("the order was not decided in time; the same `Idempotency-Key` tells what became of it")
        }
        Undecided::Failed => {
            count("failed");
            Problem::new(ProblemKind::Internal)
        }
    }
}

fn label(decision: &Decision) -> &'static str {
    match &decision.outcome {
        Outcome::NotFound => "not_found",
        Outcome::KeyReused => "key_reused",
        _ if decision.replayed => "replayed",
        Outcome::Confirmed(_) => "confirmed",
        Outcome::Refused(refusal) => match refusal.reason {
            RefusalReason::SoldOut => "sold_out",
            RefusalReason::LimitReached => "limit_reached",
        },
    }
}

fn count(verdict: &'static str) {
    metrics::counter!("shop_orders_total", "verdict" => verdict).increment(1);
}
