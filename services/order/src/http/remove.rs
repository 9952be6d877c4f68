//! `DELETE /api/orders/test-data/{tag}`.

use axum::extract::State;
use shop_common::auth::Admin;
use shop_common::extract::{Json, Path};
use shop_common::problem::{DatabaseProblem, ProblemDocument, Result};
use shop_common::segment::TestTag;

use super::routes::Shop;
use crate::store::{self, RemovedTestData};

/// Removes the orders and keys of a test.
#[utoipa::path(
    delete,
    path = "/api/orders/test-data/{tag}",
    tag = "administration",
    security(("accessToken" = [])),
    params(("tag" = String, Path, description = "the `test` claim of the test's tokens")),
    responses(
        (status = 200, body = RemovedTestData),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
    ),
)]
pub(super) async fn test_data(
    State(shop): State<Shop>,
    _admin: Admin,
    Path(tag): Path<TestTag>,
) -> Result<Json<RemovedTestData>> {
    let removed = store::remove_test_data(&shop.pool, tag.as_str()).await;
    let removed = removed.map_err(|error| error.into_problem(&[]))?;
    tracing::info!(
        %tag,
        orders = removed.orders,
        keys = removed.keys,
        "test data removed"
    );
    Ok(Json(removed))
}
