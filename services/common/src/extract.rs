//! axum's extractors with problem documents as their rejections.
//!
//! Use these instead of axum's own in handlers: a body that is not JSON, a wrong query or a path that does not
//! parse is then answered as a problem that says what is wrong.

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::RequestContext;
use crate::misfit::explain;
use crate::problem::{Problem, ProblemKind};

/// A JSON body, both ways.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// The query of the request's address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

/// The parameters of the route.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType)
                .with_detail("send the body with `Content-Type: application/json`"));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| body_problem(&rejection))?;
        parse(&bytes).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(query_problem(&rejection.body_text())),
        }
    }
}

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            // A path whose parameters do not parse names nothing.
            Err(PathRejection::FailedToDeserializePathParams(_)) => Err(Problem::not_found()),
            Err(_) => Err(Problem::validation("the path could not be read")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Self, std::convert::Infallible> {
        Ok(Self::current().unwrap_or_else(|| Self::from_request(parts.uri.path(), &parts.headers)))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media = value.and_then(|value| value.split(';').next());
    let media = media.map(|media| media.trim().to_ascii_lowercase());
    media.is_some_and(|media| {
        media == "application/json"
            || (media.starts_with("application/") && media.ends_with("+json"))
    })
}

fn body_problem(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(ProblemKind::TooLarge)
    } else {
        Problem::validation("the body could not be read to its end")
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json);
    let (path, error) = match value {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(error) => (String::new(), error),
        },
        Err(error) => (error.path().to_string(), error.into_inner()),
    };
    Err(Problem::validation(if bytes.is_empty() {
        "a JSON body is needed".to_owned()
    } else if error.is_data() {
        explain(&path, &error.to_string())
    } else {
        format!(
            "the body is not JSON: see line {}, column {}",
            error.line(),
            error.column()
        )
    }))
}

/// axum's text ends with the field and what serde said of it.
fn query_problem(text: &str) -> Problem {
    let said = text
        .strip_prefix("Failed to deserialize query string: ")
        .unwrap_or(text);
    let (path, message) = said.split_once(": ").unwrap_or((".", said));
    Problem::validation(explain(path, message))
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its form matters")]
    struct Page {
        limit: Option<u16>,
        cursor: String,
    }

    fn wrong(body: &str) -> String {
        parse::<Page>(body.as_bytes())
            .unwrap_err()
            .detail()
            .unwrap()
            .to_owned()
    }

    async fn wrong_query(query: &str) -> String {
        let uri: Uri = format!("/?{query}").parse().unwrap();
        let (mut parts, ()) = axum::http::Request::builder()
            .uri(uri)
            .body(())
            .unwrap()
            .into_parts();
        let outcome = Query::<Page>::from_request_parts(&mut parts, &()).await;
        outcome.unwrap_err().detail().unwrap().to_owned()
    }

    #[test]
    fn a_body_that_is_not_json_says_where_and_one_that_does_not_fit_says_what() {
        assert_eq!(wrong(""), "a JSON body is needed");
        assert_eq!(
            wrong("{\n  limit"),
            "the body is not JSON: see line 2, column 3"
        );
        assert_eq!(
            wrong(r#"{"cursor":"a"} x"#),
            "the body is not JSON: see line 1, column 16"
        );
        assert_eq!(wrong("{}"), "`cursor` is missing");
        assert_eq!(wrong(r#"{"cursor":1}"#), "`cursor` must be a text, not 1");
    }

    #[tokio::test]
    async fn a_query_that_does_not_fit_says_what() {
        assert_eq!(
            wrong_query("cursor=a&limit=x").await,
            "`limit` must be a whole number within its bounds"
        );
        assert_eq!(wrong_query("limit=1").await, "`cursor` is missing");
        assert_eq!(
            wrong_query("cursor=a&page=2").await,
            "`page` is not known here; known: `limit`, `cursor`"
        );
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("text/plain", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
