//! The problem itself and how it becomes an answer.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::ProblemKind;
use super::kind::TYPE_BASE;
use crate::causes::Causes;
use crate::context::RequestContext;

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What a handler gives back.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// A problem that a caller is told about.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem(Box<Content>);

#[derive(Debug, Clone, PartialEq)]
struct Content {
    kind: ProblemKind,
    detail: Option<Cow<'static, str>>,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem document as it goes over the wire; extension members stand beside these.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemDocument {
    /// `https://shopctl.dev/problems/SLUG`
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A short text, the same for every problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The request's id, to find it in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: ProblemKind) -> Self {
        Self(Box::new(Content {
            kind,
            detail: None,
            extensions: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// The request does not say what it must; the detail says what that is.
    pub fn validation(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemKind::Validation).with_detail(detail)
    }

    /// There is no access token, or it cannot be accepted.
    pub fn unauthorized() -> Self {
        Self::new(ProblemKind::Unauthorized)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The caller may not do this.
    pub fn forbidden() -> Self {
        Self::new(ProblemKind::Forbidden)
    }

    /// There is no such thing, or none that the caller may see.
    pub fn not_found() -> Self {
        Self::new(ProblemKind::NotFound)
    }

    /// It contradicts what is there; the detail says how.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemKind::Conflict).with_detail(detail)
    }

    /// The service has more to do than it can: come back.
    pub fn busy(retry_after: Duration) -> Self {
        Self::new(ProblemKind::Busy).with_retry_after(retry_after)
    }

    /// Something that the service needs is not there: come back.
    pub fn unavailable(retry_after: Duration) -> Self {
        Self::new(ProblemKind::Unavailable).with_retry_after(retry_after)
    }

    /// The caller asks too often: come back.
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self::new(ProblemKind::RateLimited).with_retry_after(retry_after)
    }

    /// A fault of ours. The cause is logged with the request's id and shown to nobody.
    pub fn internal(cause: &(impl std::error::Error + ?Sized)) -> Self {
        tracing::error!(error = %Causes(cause), "a request failed");
        Self::new(ProblemKind::Internal)
    }

    /// Says what is wrong this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds an extension member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.retain(|(present, _)| *present != name);
        self.0.headers.push((name, value));
        self
    }

    /// Says when to come back: in whole seconds, rounded up, at least one.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// What is wrong this time.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Headers beside the content type, for whoever does not answer through axum.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The document for one request; extension members never shadow the standard ones.
    pub fn document(&self, instance: Option<&str>, request_id: Option<&str>) -> Value {
        let standard = ProblemDocument {
            type_uri: format!("{TYPE_BASE}{}", self.0.kind.slug()),
            title: self.0.kind.title().to_owned(),
            status: self.status().as_u16(),
            detail: self.0.detail.as_deref().map(str::to_owned),
            instance: instance.map(str::to_owned),
            request_id: request_id.map(str::to_owned),
        };
        let mut members = self.0.extensions.clone();
        if let Ok(Value::Object(standard)) = serde_json::to_value(standard) {
            members.extend(standard);
        }
        Value::Object(members)
    }

    /// The answer for one request.
    pub fn into_response_for(self, instance: Option<&str>, request_id: Option<&str>) -> Response {
        let mut response =
            Response::new(Body::from(self.document(instance, request_id).to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in self.0.headers {
            headers.insert(name, value);
        }
        response
    }

    /// Keeps what an answer of axum's own says in its headers, such as the allowed methods.
    pub(crate) fn in_place_of(response: &Response) -> Self {
        let mut problem = Self::new(ProblemKind::of_status(response.status()));
        for name in [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE] {
            if let Some(value) = response.headers().get(&name) {
                problem = problem.with_header(name, value.clone());
            }
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let context = RequestContext::current();
        let (instance, request_id) = context
            .as_ref()
            .map(|context| (&*context.path, context.request_id.as_str()))
            .unzip();
        self.into_response_for(instance, request_id)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.kind.title())?;
        match &self.0.detail {
            Some(detail) => write!(formatter, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_carries_type_status_instance_and_request_id() {
        let document = Problem::conflict("the sku is taken")
            .with("sku", "A-1")
            .document(Some("/api/products"), Some("r-1"));
        assert_eq!(
            document,
            serde_json::json!({
                "type": "https://shopctl.dev/problems/conflict",
                "title": "It contradicts what is there",
                "status": 409,
                "detail": "the sku is taken",
                "instance": "/api/products",
                "requestId": "r-1",
                "sku": "A-1",
            })
        );
    }

    #[test]
    fn an_extension_member_cannot_shadow_a_standard_one() {
        let document = Problem::not_found()
            .with("status", 200)
            .document(None, None);
        assert_eq!(document["status"], 404);
    }

    #[test]
    fn what_went_wrong_inside_is_not_shown() {
        let cause = std::io::Error::other("password=hunter2");
        let document = Problem::internal(&cause).document(None, None).to_string();
        assert!(!document.contains("hunter2"), "{document}");
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let after = |wait| {
            let response = Problem::busy(wait).into_response();
            response.headers()[RETRY_AFTER].to_str().unwrap().to_owned()
        };
        assert_eq!(after(Duration::from_millis(20)), "1");
        assert_eq!(after(Duration::from_millis(1_001)), "2");
        assert_eq!(after(Duration::ZERO), "1");
        assert_eq!(after(Duration::from_secs(3)), "3");
    }

    #[test]
    fn slugs_are_unique() {
        use ProblemKind as Is;
        let kinds = [
            Is::Validation,
            Is::Unauthorized,
            Is::Forbidden,
            Is::NotFound,
            Is::MethodNotAllowed,
            Is::UnsupportedMediaType,
            Is::SoldOut,
            Is::LimitReached,
            Is::IdempotencyKeyMissing,
            Is::IdempotencyKeyReused,
            Is::RateLimited,
            Is::Busy,
            Is::Unavailable,
            Is::Timeout,
            Is::TooLarge,
            Is::Conflict,
            Is::Internal,
        ];
        let slugs: std::collections::HashSet<_> = kinds.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), kinds.len());
    }
}
