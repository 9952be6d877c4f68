//! echo's routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use shop_common::extract::Json;
use shop_common::openapi::openapi_route;
use shop_common::problem::{Problem, ProblemDocument, ProblemKind, Result};
use utoipa::{OpenApi, ToSchema};

use crate::Config;

/// Headers whose values are somebody's secret.
const MASKED: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
const MASK: &str = "(masked)";

/// What came in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EchoAnswer {
    /// The request's method.
    pub method: String,
    /// The path as it arrived.
    pub path: String,
    /// The query as it arrived, without the `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Each header with its values in their order. Credentials are masked.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body in base64, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// Which replica answered.
    pub instance: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Shop: echo",
        description = "Returns what it got, to see what arrives behind the gateway; and nothing at all, for measuring."
    ),
    paths(echo, nothing),
    components(schemas(ProblemDocument))
)]
struct Api;

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// The routes, not yet observed.
pub fn router(config: &Config) -> std::result::Result<Router, serde_json::Error> {
    let state = Arc::new(config.clone());
    Ok(Router::new()
        .route("/api/echo", any(echo))
        .route("/api/echo/{*rest}", any(echo))
        .route("/api/echo/null", get(nothing))
        .route("/null", get(nothing))
        // The handler counts the body itself, with the bound of the configuration.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
        .merge(openapi_route(&openapi())?))
}

/// Returns the request.
#[utoipa::path(
    get,
    path = "/api/echo",
    responses(
        (status = 200, description = "What came in; any method, and any path below", body = EchoAnswer),
        (status = 413, description = "The body is longer than is returned", body = ProblemDocument)
    )
)]
async fn echo(State(config): State<Arc<Config>>, request: Request) -> Result<Json<EchoAnswer>> {
    let (parts, body) = request.into_parts();
    let bytes = Limited::new(body, config.echo.maximum_body_bytes)
        .collect()
        .await
        .map_err(|error| body_problem(&*error, config.echo.maximum_body_bytes))?
        .to_bytes();
    let (body, body_base64) = match std::str::from_utf8(&bytes) {
        Ok("") => (None, None),
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&bytes))),
    };
    Ok(Json(EchoAnswer {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: shown(&parts.headers),
        body,
        body_base64,
        instance: config.instance.as_str().to_owned(),
    }))
}

/// Answers with nothing: what is left is the way here and back.
#[utoipa::path(
    get,
    path = "/api/echo/null",
    responses((status = 204, description = "Nothing"))
)]
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn body_problem(error: &(dyn std::error::Error + 'static), bound: usize) -> Problem {
    if error.is::<LengthLimitError>() {
        return Problem::new(ProblemKind::TooLarge)
            .with_detail(format!("at most {bound} bytes are returned"));
    }
    Problem::validation("the body could not be read to its end")
}

fn shown(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let text = if MASKED.contains(&name.as_str()) {
            MASK.to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        shown
            .entry(name.as_str().to_owned())
            .or_default()
            .push(text);
    }
    shown
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use serde_json::{Value, json};
    use shop_common::config::parse;
    use shop_common::telemetry::observe;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(request: Request) -> (StatusCode, Value) {
        let text = "instance = 'echo-7'\n[http]\nlisten = '127.0.0.1:0'\nadminListen = '127.0.0.1:0'\n\
                    [echo]\nmaximumBodyBytes = 16\n";
        let config: Config = parse("echo.toml".as_ref(), text).unwrap();
        let response = observe(router(&config).unwrap())
            .oneshot(request)
            .await
            .unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn request(method: &str, uri: &str, body: impl Into<Body>) -> Request {
        Request::builder()
            .method(method)
            .uri(uri)
            .body(body.into())
            .unwrap()
    }

    #[tokio::test]
    async fn a_request_comes_back_as_it_came() {
        let mut asked = request("PATCH", "/api/echo/a/b%20c?x=1&y=", "hello");
        asked
            .headers_mut()
            .append("x-color", "red".parse().unwrap());
        asked
            .headers_mut()
            .append("x-color", "blue".parse().unwrap());
        let (status, body) = answer(asked).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            body,
            json!({
                "method": "PATCH",
                "path": "/api/echo/a/b%20c",
                "query": "x=1&y=",
                "headers": {"x-color": ["red", "blue"]},
                "body": "hello",
                "instance": "echo-7",
            })
        );
    }

    #[tokio::test]
    async fn credentials_are_masked() {
        let mut asked = request("GET", "/api/echo", "");
        for name in ["authorization", "cookie", "proxy-authorization"] {
            asked.headers_mut().insert(name, "hunter2".parse().unwrap());
        }
        let (_, body) = answer(asked).await;
        assert_eq!(body["headers"]["authorization"], json!(["(masked)"]));
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }

    #[tokio::test]
    async fn a_body_that_is_not_text_comes_back_in_base64() {
        let (_, body) = answer(request("POST", "/api/echo", vec![0xff, 0x00])).await;
        assert_eq!(body["bodyBase64"], "/wA=");
        assert_eq!(body.get("body"), None);
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_refused_and_one_at_the_bound_is_not() {
        let (status, body) = answer(request("POST", "/api/echo", "x".repeat(17))).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(body["type"], "https://shopctl.dev/problems/too-large");
        let (status, _) = answer(request("POST", "/api/echo", "x".repeat(16))).await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn null_answers_with_nothing() {
        for path in ["/null", "/api/echo/null"] {
            assert_eq!(
                answer(request("GET", path, "")).await,
                (StatusCode::NO_CONTENT, Value::Null)
            );
        }
    }

    #[tokio::test]
    async fn the_api_is_described() {
        let (status, document) = answer(request("GET", "/openapi.json", "")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            document["paths"]["/api/echo"]["get"].is_object(),
            "{document}"
        );
        assert!(
            document["components"]["schemas"]["ProblemDocument"].is_object(),
            "{document}"
        );
    }
}
