//! The pieces of a service's OpenAPI document that all services have in common.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// The name under which routes refer to the access token: `security(("accessToken" = []))`.
pub const ACCESS_TOKEN: &str = "accessToken";

/// Declares the access token as a security scheme: `modifiers(&AccessTokenScheme)`.
#[derive(Debug, Clone, Copy)]
pub struct AccessTokenScheme;

impl Modify for AccessTokenScheme {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        api.components
            .get_or_insert_default()
            .add_security_scheme(ACCESS_TOKEN, SecurityScheme::Http(scheme));
    }
}

/// Serves the document at `/openapi.json`. It is written out once, when the service starts.
pub fn openapi_route(api: &OpenApi) -> Result<Router, serde_json::Error> {
    let document = bytes::Bytes::from(api.to_json()?);
    let json = [(CONTENT_TYPE, "application/json")];
    Ok(Router::new().route(
        "/openapi.json",
        get(move || std::future::ready((json, document))),
    ))
}
