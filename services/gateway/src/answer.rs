//! The gateway's own answers: problems, with the status that fits a gateway.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use shop_common::context::RequestContext;
use shop_common::problem::{Problem, ProblemKind};

use crate::forward::ForwardError;
use crate::limit::{Caller, Refusal};
use crate::route::PathRefusal;
use crate::upstream::BodyFault;

/// When to come back after a 503.
const SOON: Duration = Duration::from_secs(1);

/// A request that the gateway itself turns down.
#[derive(Debug)]
pub(crate) struct Rejection {
    problem: Problem,
    /// Where the gateway means something more particular than the problem's kind does.
    status: StatusCode,
    /// Whether what the client sent cannot be trusted to have ended where it seems to.
    close: bool,
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status(),
            problem,
            close: false,
        }
    }
}

impl Rejection {
    /// A path that could be read in two ways.
    pub(crate) fn path(refusal: PathRefusal) -> Self {
        Problem::validation(refusal.to_string()).into()
    }

    /// A request whose end could be understood in two ways; nothing more is read from the connection.
    pub(crate) fn framing(detail: &'static str) -> Self {
        Self {
            close: true,
            ..Problem::validation(detail).into()
        }
    }

    /// A method that means something else to a proxy.
    pub(crate) fn method() -> Self {
        Problem::new(ProblemKind::MethodNotAllowed).into()
    }

    /// More than the caller's share.
    pub(crate) fn rate(caller: &Caller, refusal: &Refusal) -> Self {
        let (policy, burst) = (caller.class().name(), refusal.rate.burst());
        let seconds = |time: Duration| time.as_secs_f64().ceil().max(1.0);
        let (window, reset) = (seconds(refusal.rate.window()), seconds(refusal.retry_after));
        let header = |text: String| {
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        Problem::rate_limited(refusal.retry_after)
            .with_header(
                HeaderName::from_static("ratelimit-policy"),
                header(format!("\"{policy}\";q={burst};w={window}")),
            )
            .with_header(
                HeaderName::from_static("ratelimit"),
                header(format!("\"{policy}\";r=0;t={reset}")),
            )
            .into()
    }

    /// Too much to do.
    pub(crate) fn busy() -> Self {
        Problem::busy(SOON).into()
    }

    /// A body that is longer than it may be.
    pub(crate) fn too_large(most: u64) -> Self {
        Self {
            close: true,
            ..Problem::new(ProblemKind::TooLarge)
                .with_detail(format!("at most {most} bytes are accepted"))
                .into()
        }
    }

    /// No answer to pass on.
    pub(crate) fn forward(error: &ForwardError, service: &str, most: u64) -> Self {
        match error {
            ForwardError::Unavailable => Problem::unavailable(SOON)
                .with_detail(format!("{service} does not answer at the moment"))
                .into(),
            ForwardError::Unknown => Self {
                status: StatusCode::BAD_GATEWAY,
                ..Problem::unavailable(SOON)
                    .with_detail(format!(
                        "the connection to {service} broke; the request may have been acted upon"
                    ))
                    .into()
            },
            ForwardError::Late => Problem::new(ProblemKind::Timeout)
                .with_detail(format!("{service} did not answer in time"))
                .into(),
            ForwardError::Body(fault) => Self::body(*fault, most),
        }
    }

    /// An answer that cannot be passed on.
    pub(crate) fn strange_answer(service: &str) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            ..Problem::unavailable(SOON)
                .with_detail(format!("{service} gave an answer that cannot be passed on"))
                .into()
        }
    }

    /// A client's body that did not come to its end.
    pub(crate) fn body(fault: BodyFault, most: u64) -> Self {
        match fault {
            BodyFault::TooLarge => Self::too_large(most),
            BodyFault::Late => Self {
                status: StatusCode::REQUEST_TIMEOUT,
                close: true,
                ..Problem::new(ProblemKind::Timeout)
                    .with_detail("the body came too slowly")
                    .into()
            },
            BodyFault::Broken => Self::framing("the body broke off or is malformed"),
        }
    }

    /// The answer to one request.
    pub(crate) fn into_response(self, context: &RequestContext) -> Response {
        let mut document = self
            .problem
            .document(Some(&context.path), Some(context.request_id.as_str()));
        document["status"] = self.status.as_u16().into();
        let mut response = self.problem.into_response_for(None, None);
        *response.body_mut() = document.to_string().into();
        *response.status_mut() = self.status;
        if self.close {
            response
                .headers_mut()
                .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
