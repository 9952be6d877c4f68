//! What the gateway answers itself on its public port: where things are.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use shop_common::openapi::openapi_route;
use shop_common::problem::{Problem, ProblemKind};
use utoipa::{OpenApi, ToSchema};

use crate::route::Routes;

/// The answer of `/`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    /// Always `shop-gateway`.
    service: String,
    /// The replica that answered.
    instance: String,
    /// Its version.
    version: String,
    /// Where requests can be sent.
    routes: Vec<IndexRoute>,
}

/// A route in the answer of `/`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexRoute {
    /// Paths that equal this, or go on from it with a slash.
    prefix: String,
    /// The service that answers them.
    service: String,
    /// Where that service's OpenAPI document is.
    openapi: String,
}

/// The document of the gateway's own paths. Each service has a document of its own.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Shop: gateway",
        description = "The shop's front door. Each service describes its paths at /openapi/{service}.json."
    ),
    paths(index, service_document)
)]
struct Api;

/// The router for `/` and `/openapi.json`.
pub(crate) fn router(
    instance: &str,
    routes: &Routes,
    upstreams: &[&str],
) -> Result<Router, serde_json::Error> {
    let routes = routes.all().iter().map(|route| {
        let service = upstreams.get(route.upstream).copied().unwrap_or_default();
        IndexRoute {
            prefix: route.prefix.clone(),
            service: service.to_owned(),
            openapi: format!("/openapi/{service}.json"),
        }
    });
    let mut routes: Vec<IndexRoute> = routes.collect();
    routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
    let state = Arc::new(Index {
        service: "shop-gateway".to_owned(),
        instance: instance.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        routes,
    });
    Ok(Router::new()
        .route("/", get(index))
        .with_state(state)
        .merge(openapi_route(&Api::openapi())?)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::new(ProblemKind::MethodNotAllowed)))
}

/// Where requests can be sent.
#[utoipa::path(get, path = "/", responses((status = OK, body = Index)))]
async fn index(State(index): State<Arc<Index>>) -> Json<Index> {
    Json(Index::clone(&index))
}

/// The OpenAPI document of a service, from the service.
#[utoipa::path(
    get,
    path = "/openapi/{service}.json",
    params(("service" = String, Path, description = "A service that `/` lists")),
    responses((status = OK, description = "An OpenAPI document", content_type = "application/json"), (status = NOT_FOUND))
)]
#[expect(dead_code, reason = "it only describes what the data path does")]
fn service_document() {}
