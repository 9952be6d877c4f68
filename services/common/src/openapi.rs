//! What the services' OpenAPI documents have in common.
//!
//! A route declares what is its own. What every route can answer because of what it takes (a body, a token) and how
//! problems look is added here, so that all documents say it, and say it alike.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::{Map, Value as Json, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, PartialSchema as _};

use crate::problem::{PROBLEM_JSON, ProblemDocument, ProblemKind};

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

/// What every document says about errors.
const ABOUT_PROBLEMS: &str = "Every error is a problem document (RFC 9457, `application/problem+json`): clients match on \
    `type`, people read `detail`, and `requestId` finds the request in the logs. 429 and 503 say with `Retry-After` when \
    to come back.";

/// Serves the document at `/openapi.json`. It is completed and written out once, when the service starts.
pub fn openapi_route(api: &OpenApi) -> Result<Router, serde_json::Error> {
    let mut document = serde_json::to_value(api)?;
    complete(&mut document)?;
    let document = bytes::Bytes::from(serde_json::to_vec(&document)?);
    let json = [(CONTENT_TYPE, "application/json")];
    Ok(Router::new().route(
        "/openapi.json",
        get(move || std::future::ready((json, document))),
    ))
}

/// Adds what all services say alike.
fn complete(document: &mut Json) -> Result<(), serde_json::Error> {
    let about = document["info"]["description"].as_str().unwrap_or_default();
    document["info"]["description"] = json!(format!("{about}\n\n{ABOUT_PROBLEMS}").trim_start());
    document["components"]["schemas"]["ProblemDocument"] =
        serde_json::to_value(ProblemDocument::schema())?;
    let operations = document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Json::as_object_mut)
        .flat_map(Map::values_mut);
    for operation in operations.filter(|operation| operation["responses"].is_object()) {
        complete_operation(operation);
    }
    Ok(())
}

fn complete_operation(operation: &mut Json) {
    let mut kinds = Vec::new();
    if operation["requestBody"].is_object() {
        kinds.extend([
            ProblemKind::Validation,
            ProblemKind::TooLarge,
            ProblemKind::UnsupportedMediaType,
        ]);
    }
    if operation["security"]
        .as_array()
        .is_some_and(|schemes| !schemes.is_empty())
    {
        kinds.push(ProblemKind::Unauthorized);
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for kind in kinds {
        responses
            .entry(kind.status().as_str())
            .or_insert_with(|| json!({ "description": described(kind) }));
    }
    responses.entry("default").or_insert_with(|| {
        json!({ "description": "Any other problem, such as `rate-limited`, `busy`, `unavailable`, `timeout` or `internal`" })
    });
    for (status, response) in responses {
        let status = status.parse::<u16>().ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        if status.is_some_and(|status| status.as_u16() < 400) {
            continue;
        }
        let described_already = response["description"]
            .as_str()
            .is_some_and(|it| !it.is_empty());
        if let Some(status) = status.filter(|_| !described_already) {
            response["description"] = json!(described(ProblemKind::of_status(status)));
        }
        response["content"] = json!({
            PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/ProblemDocument" } }
        });
    }
}

fn described(kind: ProblemKind) -> String {
    format!("`{}`: {}", kind.slug(), kind.title())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_routes_can_answer_is_added_and_what_they_say_themselves_stays() {
        let mut document = json!({
            "info": { "title": "Shop: orders", "description": "Takes orders." },
            "paths": { "/api/orders": {
                "post": {
                    "requestBody": {},
                    "security": [{ "accessToken": [] }],
                    "responses": {
                        "201": { "description": "committed", "content": { "application/json": {} } },
                        "400": { "description": "`validation`, `idempotency-key-missing`" },
                        "401": { "description": "" },
                    },
                },
                "get": { "responses": { "200": { "description": "all" } } },
            } },
        });
        complete(&mut document).unwrap();
        let post = &document["paths"]["/api/orders"]["post"]["responses"];
        let statuses: Vec<_> = post.as_object().unwrap().keys().cloned().collect();
        assert_eq!(statuses, ["201", "400", "401", "413", "415", "default"]);
        assert_eq!(
            post["400"]["description"],
            "`validation`, `idempotency-key-missing`"
        );
        assert_eq!(
            post["401"]["description"],
            "`unauthorized`: Not authenticated"
        );
        for status in ["400", "401", "413", "415", "default"] {
            let schema = &post[status]["content"][PROBLEM_JSON]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/ProblemDocument", "{status}");
        }
        assert!(post["201"]["content"]["application/json"].is_object());
        let get = &document["paths"]["/api/orders"]["get"]["responses"];
        let statuses: Vec<_> = get.as_object().unwrap().keys().cloned().collect();
        assert_eq!(statuses, ["200", "default"]);
        assert!(
            document["components"]["schemas"]["ProblemDocument"]["properties"]["type"].is_object()
        );
        let about = document["info"]["description"].as_str().unwrap();
        assert!(
            about.starts_with("Takes orders.") && about.contains("RFC 9457"),
            "{about}"
        );
    }
}
