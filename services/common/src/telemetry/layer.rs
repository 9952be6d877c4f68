//! The layer around every route: context in, id out, counted, and every error a problem document.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::record_request;
use crate::context::{REQUEST_ID, RequestContext};
use crate::problem::{Problem, ProblemKind};

/// The route label of requests that no route matches.
const UNMATCHED: &str = "unmatched";

/// Wraps a service's routes: gives each request its context, answers with its id, turns unknown paths, unknown
/// methods, panics and plain-text errors into problems, and counts.
pub fn observe(routes: Router) -> Router {
    routes
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::new(ProblemKind::MethodNotAllowed))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(around))
}

async fn around(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = RequestContext::from_request(request.uri().path(), request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let request_id = context.request_id.header_value();

    let answer = async move {
        let mut response = next.run(request).await;
        if needs_a_document(&response) {
            response = Problem::in_place_of(&response).into_response();
        }
        let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let (status, elapsed) = (response.status(), started.elapsed());
        record_request(&method, route, status, elapsed);
        let (status, milliseconds) = (status.as_u16(), elapsed.as_secs_f64() * 1e3);
        tracing::debug!(%method, route, status, milliseconds, "answered");
        response.headers_mut().insert(REQUEST_ID, request_id);
        response
    };
    context.scope(answer).await
}

/// Whether an error comes from axum or tower itself, as plain text or without a body, rather than from a handler.
fn needs_a_document(response: &Response) -> bool {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    failed
        && response
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|content_type| content_type.as_bytes().starts_with(b"text/plain"))
}

/// What the panic said is in the log, not in the answer.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer asks for"
)]
fn panicked(_message: Box<dyn Any + Send>) -> Response {
    Problem::new(ProblemKind::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::header::ALLOW;
    use axum::http::{Method, StatusCode};
    use axum::routing::{get, post};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::extract::{Json, Path, Query};

    #[derive(serde::Deserialize)]
    struct Wanted {
        quantity: u32,
    }

    fn router() -> Router {
        observe(
            Router::new()
                .route(
                    "/things/{id}",
                    get(async |Path(id): Path<u32>| id.to_string()),
                )
                .route(
                    "/query",
                    get(async |Query(wanted): Query<Wanted>| wanted.quantity.to_string()),
                )
                .route(
                    "/orders",
                    post(async |Json(wanted): Json<Wanted>| wanted.quantity.to_string()),
                )
                .route(
                    "/panic",
                    get(async || -> String { panic!("secret detail") }),
                ),
        )
    }

    async fn answer(request: Request) -> (StatusCode, Response<()>, Value) {
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        (parts.status, Response::from_parts(parts, ()), value)
    }

    fn request(method: Method, uri: &str, body: &'static str) -> Request {
        Request::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, "application/json")
            .header(REQUEST_ID, "test-1")
            .body(Body::from(body))
            .unwrap()
    }

    async fn assert_problem(
        request: Request,
        status: StatusCode,
        slug: &str,
    ) -> (Response<()>, Value) {
        let path = request.uri().path().to_owned();
        let (actual, response, body) = answer(request).await;
        assert_eq!(actual, status, "{body}");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(body["type"], format!("https://shopctl.dev/problems/{slug}"));
        assert_eq!(body["instance"], path);
        assert_eq!(body["requestId"], "test-1");
        assert_eq!(response.headers()[REQUEST_ID], "test-1");
        (response, body)
    }

    #[tokio::test]
    async fn an_unknown_path_is_a_problem() {
        assert_problem(
            request(Method::GET, "/nowhere", ""),
            StatusCode::NOT_FOUND,
            "not-found",
        )
        .await;
    }

    #[tokio::test]
    async fn an_unknown_method_is_a_problem_that_says_what_is_allowed() {
        let request = request(Method::DELETE, "/orders", "");
        let (response, _) = assert_problem(
            request,
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
        )
        .await;
        assert_eq!(response.headers()[ALLOW], "POST");
    }

    #[tokio::test]
    async fn a_path_that_does_not_parse_names_nothing() {
        assert_problem(
            request(Method::GET, "/things/x", ""),
            StatusCode::NOT_FOUND,
            "not-found",
        )
        .await;
    }

    #[tokio::test]
    async fn a_wrong_query_is_a_problem_that_names_the_field() {
        let request = request(Method::GET, "/query?quantity=many", "");
        let (_, body) = assert_problem(request, StatusCode::BAD_REQUEST, "validation").await;
        assert!(
            body["detail"].as_str().unwrap().contains("quantity"),
            "{body}"
        );
    }

    #[tokio::test]
    async fn a_body_that_is_not_json_or_lacks_a_field_is_a_problem_that_says_so() {
        for (body, says) in [
            ("{", "not JSON"),
            ("{}", "quantity"),
            ("{\"quantity\":-1}", "-1"),
        ] {
            let request = request(Method::POST, "/orders", body);
            let (_, document) =
                assert_problem(request, StatusCode::BAD_REQUEST, "validation").await;
            assert!(
                document["detail"].as_str().unwrap().contains(says),
                "{document}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_of_another_type_is_a_problem() {
        let mut request = request(Method::POST, "/orders", "quantity=1");
        request.headers_mut().insert(
            CONTENT_TYPE,
            "application/x-www-form-urlencoded".parse().unwrap(),
        );
        assert_problem(
            request,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
        )
        .await;
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_a_problem() {
        let large: &'static str =
            Box::leak(format!("\"{}\"", "x".repeat(3 << 20)).into_boxed_str());
        let request = request(Method::POST, "/orders", large);
        assert_problem(request, StatusCode::PAYLOAD_TOO_LARGE, "too-large").await;
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_does_not_show_its_message() {
        let request = request(Method::GET, "/panic", "");
        let (_, body) =
            assert_problem(request, StatusCode::INTERNAL_SERVER_ERROR, "internal").await;
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn an_answer_without_a_caller_s_id_gets_one() {
        let request = Request::builder()
            .uri("/things/7")
            .body(Body::empty())
            .unwrap();
        let (status, response, body) = answer(request).await;
        assert_eq!((status, body), (StatusCode::OK, Value::from(7)));
        assert_eq!(response.headers()[REQUEST_ID].len(), 36);
    }
}
