//! The public keys that verify access tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use shop_token::Jwks;

use super::App;

/// The document, written out once.
#[derive(Clone, Debug)]
pub(crate) struct PublishedKeys(Arc<str>);

impl PublishedKeys {
    pub(crate) fn new(keys: &Jwks) -> Self {
        Self(keys.to_json().into())
    }
}

/// A key must be known everywhere before it signs, which is why caches may not keep the document for long.
const HEADERS: [(HeaderName, &str); 2] = [
    (CONTENT_TYPE, "application/jwk-set+json"),
    (CACHE_CONTROL, "public, max-age=60"),
];

type KeysResponse = ([(HeaderName, &'static str); 2], String);

/// The keys that verify access tokens
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517)", content_type = "application/jwk-set+json")),
)]
pub(super) async fn well_known(State(app): State<App>) -> KeysResponse {
    (HEADERS, app.published.0.to_string())
}

/// The keys that verify access tokens, where the gateway routes to
#[utoipa::path(
    get,
    path = "/api/auth/.well-known/jwks.json",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517)", content_type = "application/jwk-set+json")),
)]
pub(super) async fn through_the_gateway(State(app): State<App>) -> KeysResponse {
    (HEADERS, app.published.0.to_string())
}
