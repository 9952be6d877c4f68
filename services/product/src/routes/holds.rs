//! The reserved-stock API: hold, confirm, release, in batches.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shop_common::extract::Json;
use shop_common::problem::{DatabaseProblem, Problem, ProblemDocument, Result};
use shop_common::segment::{MalformedTag, TestTag};
use utoipa::ToSchema;

use super::App;
use crate::model::{Faults, is_key};
use crate::store::{HoldRequest, HoldVerdict, KeyVerdict, Store, Verdict};

/// The most items in one batch: they are decided in one transaction, which locks what they name.
const LARGEST_BATCH: usize = 1024;
/// The longest that anything is held: a day.
const LONGEST_HOLD_SECONDS: i32 = 86_400;

/// What to hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct HoldBatch {
    /// 1 to 1024 requests, decided in this order.
    items: Vec<HoldRequest>,
}

/// What became of a batch of requests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HoldVerdicts {
    /// In the order of the requests.
    items: Vec<HoldVerdict>,
}

/// Which holds to decide.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct KeyBatch {
    /// 1 to 1024 keys.
    keys: Vec<String>,
}

/// What became of a batch of keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyVerdicts {
    /// In the order of the keys.
    items: Vec<KeyVerdict>,
}

/// Holds stock for customers. The same request told twice holds once; a refused one may be told again.
#[utoipa::path(
    post,
    path = "/internal/holds",
    tag = "holds",
    request_body = HoldBatch,
    responses(
        (status = 200, body = HoldVerdicts),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
    ),
)]
pub(super) async fn hold(
    State(app): State<App>,
    Json(batch): Json<HoldBatch>,
) -> Result<Json<HoldVerdicts>> {
    check_requests(&batch.items).map_err(Problem::validation)?;
    let store = app.store.clone();
    // Decided to the end even if the caller goes away: it will ask again with the same keys.
    let held = app
        .tasks
        .run(async move { store.hold(&batch.items).await })
        .await?;
    let items = held.map_err(|error| error.into_problem(&[]))?;
    count("hold", items.iter().map(|item| item.verdict));
    Ok(Json(HoldVerdicts { items }))
}

/// Sells what is held. What has expired cannot be sold any more.
#[utoipa::path(
    post,
    path = "/internal/holds/confirm",
    tag = "holds",
    request_body = KeyBatch,
    responses(
        (status = 200, body = KeyVerdicts),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
    ),
)]
pub(super) async fn confirm(
    State(app): State<App>,
    Json(batch): Json<KeyBatch>,
) -> Result<Json<KeyVerdicts>> {
    decide(&app, "confirm", batch, async |store: Store, keys| {
        store.confirm(keys).await
    })
    .await
}

/// Gives back what is held.
#[utoipa::path(
    post,
    path = "/internal/holds/release",
    tag = "holds",
    request_body = KeyBatch,
    responses(
        (status = 200, body = KeyVerdicts),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
    ),
)]
pub(super) async fn release(
    State(app): State<App>,
    Json(batch): Json<KeyBatch>,
) -> Result<Json<KeyVerdicts>> {
    decide(&app, "release", batch, async |store: Store, keys| {
        store.release(keys).await
    })
    .await
}

async fn decide<F>(
    app: &App,
    operation: &'static str,
    batch: KeyBatch,
    decide: impl FnOnce(Store, Vec<String>) -> F,
) -> Result<Json<KeyVerdicts>>
where
    F: Future<Output = sqlx::Result<Vec<KeyVerdict>>> + Send + 'static,
{
    check_keys(&batch.keys).map_err(Problem::validation)?;
    let decided = app.tasks.run(decide(app.store.clone(), batch.keys)).await?;
    let items = decided.map_err(|error| error.into_problem(&[]))?;
    count(operation, items.iter().map(|item| item.verdict));
    Ok(Json(KeyVerdicts { items }))
}

fn count(operation: &'static str, verdicts: impl Iterator<Item = Verdict>) {
    for verdict in verdicts {
        metrics::counter!("shop_holds_total", "operation" => operation, "verdict" => verdict.label())
            .increment(1);
    }
}

fn check_requests(items: &[HoldRequest]) -> Result<(), String> {
    check_size(items.len(), "items")?;
    let mut faults = Faults::default();
    for (index, item) in items.iter().enumerate() {
        faults.expect(
            is_key(&item.key),
            format!("`items[{index}].key` must be 1 to 128 visible ASCII characters"),
        );
        faults.expect(
            item.quantity > 0,
            format!("`items[{index}].quantity` must be at least 1"),
        );
        faults.expect(
            (1..=LONGEST_HOLD_SECONDS).contains(&item.ttl_seconds),
            format!("`items[{index}].ttlSeconds` must be between 1 and {LONGEST_HOLD_SECONDS}"),
        );
        faults.expect(
            item.test.as_deref().is_none_or(TestTag::fits),
            format!("`items[{index}].test`: {MalformedTag}"),
        );
    }
    faults.none()
}

fn check_keys(keys: &[String]) -> Result<(), String> {
    check_size(keys.len(), "keys")?;
    let mut faults = Faults::default();
    for (index, key) in keys.iter().enumerate() {
        faults.expect(
            is_key(key),
            format!("`keys[{index}]` must be 1 to 128 visible ASCII characters"),
        );
    }
    faults.none()
}

fn check_size(size: usize, field: &str) -> Result<(), String> {
    if (1..=LARGEST_BATCH).contains(&size) {
        Ok(())
    } else {
        Err(format!(
            "`{field}` must have between 1 and {LARGEST_BATCH} elements"
        ))
    }
}
