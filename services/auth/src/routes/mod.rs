//! The service over HTTP: what it takes, what it answers, and the document that says so.

mod accounts;
mod keys;
mod sessions;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use shop_common::auth::KeySource;
use shop_common::openapi::{AccessTokenScheme, openapi_route};
use shop_common::telemetry::observe;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Auth;

/// The largest body that any route needs, many times over.
const LARGEST_BODY: usize = 16 * 1024;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) auth: Auth,
    pub(crate) keys: KeySource,
    pub(crate) published: keys::PublishedKeys,
}

pub(crate) use keys::PublishedKeys;

impl FromRef<App> for KeySource {
    fn from_ref(app: &App) -> Self {
        app.keys.clone()
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Auth",
        description = "Accounts, logins, rotating refresh tokens, and the keys that verify access tokens"
    ),
    modifiers(&AccessTokenScheme)
)]
struct Document;

/// All routes, observed, with their document at `/openapi.json`.
pub(crate) fn router(app: App) -> Result<Router, serde_json::Error> {
    let (routes, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::me))
        .routes(routes!(accounts::remove_test_data))
        .routes(routes!(sessions::login))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::logout))
        .routes(routes!(keys::well_known))
        .routes(routes!(keys::through_the_gateway))
        .split_for_parts();
    let routes = routes
        .with_state(app)
        .merge(openapi_route(&document)?)
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    Ok(observe(routes))
}
