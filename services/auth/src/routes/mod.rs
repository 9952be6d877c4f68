//! The service over HTTP: what it takes, what it answers, and the document that says so.

mod accounts;
mod keys;
mod sessions;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use shop_common::auth::KeySource;
use shop_common::openapi::{AccessTokenScheme, openapi_route};
use shop_common::problem::{Problem, ProblemKind};
use shop_common::telemetry::observe;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::keys::PublishedKeys;
use crate::service::Auth;

/// The largest body that any route needs, many times over.
const LARGEST_BODY: usize = 16 * 1024;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) auth: Auth,
    pub(crate) keys: KeySource,
    pub(crate) published: PublishedKeys,
}

impl FromRef<App> for KeySource {
    fn from_ref(app: &App) -> Self {
        app.keys.clone()
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Shop: accounts",
        description = "Accounts, logins, refresh tokens that are good for one use, and the keys that verify access tokens."
    ),
    modifiers(&AccessTokenScheme)
)]
struct Document;

/// All routes, observed, with their document at `/openapi.json`.
pub(crate) fn router(app: App, limit: Duration) -> Result<Router, serde_json::Error> {
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
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(move |request, next| {
            within(limit, request, next)
        }));
    Ok(observe(routes))
}

/// A request that takes longer is given up: Postgres itself ends no statement while it hangs.
async fn within(limit: Duration, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        tracing::warn!(limit = ?limit, "a request took longer than it may");
        Problem::new(ProblemKind::Timeout).into_response()
    })
}
