//! The service over HTTP: what it takes, what it answers, and the documents that say so.
//!
//! Two routers for two listeners: the catalogue and its administration, which the gateway routes to, and the
//! reserved-stock API for other services, which has a credential of its own.

mod administration;
mod catalogue;
mod credential;
mod cursor;
mod holds;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::{Router, middleware};
use shop_common::auth::KeySource;
use shop_common::openapi::{AccessTokenScheme, openapi_route};
use shop_common::tasks::Tasks;
use shop_common::telemetry::observe;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::store::Store;
pub(crate) use credential::InternalCredential;

/// A product's texts are the largest thing that the public routes take.
const LARGEST_BODY: usize = 64 * 1024;
/// A full batch of holds with the longest keys.
const LARGEST_BATCH_BODY: usize = 1024 * 1024;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) keys: KeySource,
    pub(crate) tasks: Tasks,
}

impl FromRef<App> for KeySource {
    fn from_ref(app: &App) -> Self {
        app.keys.clone()
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Shop: catalogue", description = "The products for everybody, and their administration with stock and sales."),
    modifiers(&AccessTokenScheme)
)]
struct PublicDocument;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Shop: reserved stock", description = "Stock that is held for a while, for other services. The gateway does not lead here."),
    modifiers(&AccessTokenScheme)
)]
struct InternalDocument;

/// What the gateway routes to, observed, with its document at `/openapi.json`.
pub(crate) fn public_router(app: App) -> Result<Router, serde_json::Error> {
    let (routes, document) = OpenApiRouter::with_openapi(PublicDocument::openapi())
        .routes(routes!(catalogue::list, administration::create))
        .routes(routes!(catalogue::one, administration::change))
        .routes(routes!(administration::by_sku))
        .routes(routes!(administration::stock, administration::receive))
        .routes(routes!(administration::sales, administration::create_sale))
        .routes(routes!(administration::remove_test_data))
        .split_for_parts();
    let routes = routes
        .with_state(app)
        .merge(openapi_route(&document)?)
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    Ok(observe(routes))
}

/// The reserved-stock API, observed. Nothing of it answers without the credential.
pub(crate) fn internal_router(
    app: App,
    credential: InternalCredential,
) -> Result<Router, serde_json::Error> {
    let (routes, document) = OpenApiRouter::with_openapi(InternalDocument::openapi())
        .routes(routes!(holds::hold))
        .routes(routes!(holds::confirm))
        .routes(routes!(holds::release))
        .split_for_parts();
    let routes = routes
        .with_state(app)
        .merge(openapi_route(&document)?)
        .layer(DefaultBodyLimit::max(LARGEST_BATCH_BODY))
        .layer(middleware::from_fn_with_state(
            credential,
            credential::require,
        ));
    Ok(observe(routes))
}
