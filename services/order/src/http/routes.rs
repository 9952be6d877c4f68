//! The routes and what their handlers share.

use axum::Router;
use axum::extract::FromRef;
use shop_common::auth::KeySource;
use shop_common::openapi::{AccessTokenScheme, openapi_route};
use shop_common::problem::ProblemDocument;
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{place, read, remove};
use crate::batcher::Batcher;
use crate::sale_lock::SaleLocks;
use crate::sales::Sales;

/// What the handlers work with. Clones share it.
#[derive(Clone)]
pub struct Shop {
    /// Tells who calls.
    pub keys: KeySource,
    /// Decides orders.
    pub batcher: Batcher,
    /// Reads them.
    pub pool: PgPool,
    /// Knows which products are in a sale.
    pub sales: Sales,
    /// Locks customers in a sale.
    pub locks: SaleLocks,
    /// The most pieces in one order.
    pub maximum_quantity: u32,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Shop: orders", description = "Places orders, each exactly once by its `Idempotency-Key`, and reads them."),
    modifiers(&AccessTokenScheme),
    components(schemas(ProblemDocument)),
)]
struct Description;

/// The public routes, not yet observed.
pub fn router(shop: Shop) -> Result<Router, serde_json::Error> {
    let (routes, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(place::place, read::mine))
        .routes(routes!(read::one))
        .routes(routes!(read::by_key))
        .routes(routes!(remove::test_data))
        .with_state(shop)
        .split_for_parts();
    Ok(routes.merge(openapi_route(&description)?))
}

impl FromRef<Shop> for KeySource {
    fn from_ref(shop: &Shop) -> Self {
        shop.keys.clone()
    }
}
