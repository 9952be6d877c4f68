//! Sends a request to an upstream, and to another endpoint if that is safe and may help.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use crate::breaker::Fault;
use crate::figures::{Outcome, UpstreamFigures};
use crate::retry::{RetryBudget, is_repeatable};
use crate::upstream::{
    AnswerClock, AttemptError, BodyFault, ConnectError, Endpoint, Lease, RequestBody, Upstream,
};

/// Why there is no answer to pass on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// All circuits are open, or all endpoints refused.
    #[error("no endpoint is available")]
    Unavailable,
    /// The request was sent and perhaps acted upon, and no answer came.
    #[error("the connection broke before the answer")]
    Unknown,
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The client's body did not come to its end.
    #[error(transparent)]
    Body(#[from] BodyFault),
}

/// The head of a request as it goes out.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl Head {
    fn with(self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        *request.version_mut() = Version::HTTP_11;
        request
    }
}

/// What forwarding draws on.
pub(crate) struct Forwarder<'a> {
    pub(crate) upstream: &'a Upstream,
    pub(crate) budget: &'a RefCell<RetryBudget>,
    pub(crate) figures: &'a UpstreamFigures,
}

/// What becomes of a request after a try.
enum Next {
    /// Something to give to the client.
    Answer(Response<Incoming>, Lease),
    /// Another try with this request.
    Again(Request<RequestBody>),
}

impl Forwarder<'_> {
    /// The head of the answer, from whichever endpoint it comes.
    pub(crate) async fn forward(
        &self,
        head: Head,
        body: RequestBody,
    ) -> Result<(Response<Incoming>, Lease), ForwardError> {
        self.budget.borrow_mut().deposit();
        let transfer = body.transfer();
        let limit = self.upstream.limits().timeout;
        let clock = AnswerClock::start(limit, transfer.clone(), tokio::time::Instant::now());
        let spare = if is_repeatable(
            &head.method,
            &head.headers,
            self.upstream.limits().repeat_keyed,
        ) {
            body.again().map(|body| (head.clone(), body))
        } else {
            None
        };
        let mut request = head.with(body);
        let mut tried: Vec<Rc<Endpoint>> = Vec::new();
        loop {
            let Some(endpoint) = self.upstream.choose(&tried) else {
                self.figures.count(Outcome::Rejected);
                return Err(ForwardError::Unavailable);
            };
            let attempt = endpoint.attempt(request, &clock).await;
            let may_try_again = |tries: usize| tries + 1 < self.upstream.most_tries();
            let again = || {
                spare
                    .as_ref()
                    .and_then(|(head, body)| Some(head.clone().with(body.again()?)))
            };
            match self.judge(
                &endpoint,
                attempt,
                may_try_again(tried.len()),
                transfer.as_ref().and_then(|it| it.fault()),
                again,
            )? {
                Next::Answer(response, lease) => return Ok((response, lease)),
                Next::Again(next) => request = next,
            }
            tried.push(endpoint);
        }
    }

    fn judge(
        &self,
        endpoint: &Rc<Endpoint>,
        attempt: Result<(Response<Incoming>, Lease), AttemptError>,
        may_try_again: bool,
        body_fault: Option<BodyFault>,
        again: impl Fn() -> Option<Request<RequestBody>>,
    ) -> Result<Next, ForwardError> {
        let now = Instant::now();
        if let Some(fault) = body_fault {
            return Err(fault.into());
        }
        let (error, unsent) = match attempt {
            Ok((response, lease)) => {
                return Ok(self.judge_answer(endpoint, response, lease, may_try_again, again));
            }
            // The clock stood still for the client, so it is the endpoint that was slow.
            Err(AttemptError::Late { .. }) => {
                endpoint.failed(Fault::Doubtful, now);
                self.figures.count(Outcome::Late);
                return Err(ForwardError::Late);
            }
            Err(AttemptError::Connect { error, request }) => {
                // A full queue of a busy service makes a connection late; only a refused one is certain death.
                let fault = match &error {
                    ConnectError::Late { .. } => Fault::Doubtful,
                    ConnectError::Refused { .. } => Fault::Unreachable,
                };
                endpoint.failed(fault, now);
                self.figures.count(Outcome::Unreachable);
                tracing::debug!(upstream = self.upstream.name(), error = %error, "an endpoint cannot be reached");
                (ForwardError::Unavailable, Some(*request))
            }
            // A connection that closed just before it was used says nothing about the endpoint.
            Err(AttemptError::Broken {
                request: Some(request),
                ..
            }) => (ForwardError::Unavailable, Some(*request)),
            Err(AttemptError::Broken {
                endpoint: name,
                error,
                request: None,
            }) => {
                endpoint.failed(Fault::Doubtful, now);
                self.figures.count(Outcome::Broken);
                tracing::debug!(upstream = self.upstream.name(), endpoint = name, %error, "a request was cut short");
                (ForwardError::Unknown, None)
            }
        };
        if !may_try_again {
            return Err(error);
        }
        // What was never sent costs nobody anything; what may have been sent twice is paid for.
        let next = match unsent {
            Some(request) => Some(request),
            None => again().filter(|_| self.pay(now)),
        };
        next.map(Next::Again).ok_or(error)
    }

    fn judge_answer(
        &self,
        endpoint: &Rc<Endpoint>,
        response: Response<Incoming>,
        lease: Lease,
        may_try_again: bool,
        again: impl Fn() -> Option<Request<RequestBody>>,
    ) -> Next {
        let now = Instant::now();
        let status = response.status();
        // 503 is a service's own word on its load or its dependencies: it is well itself.
        if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            endpoint.failed(Fault::Doubtful, now);
            self.figures.count(Outcome::ServerError);
        } else {
            endpoint.succeeded();
            self.figures.count(Outcome::Answered);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE
            && may_try_again
            && self.upstream.may_meet_another(endpoint)
            && let Some(request) = again()
            && self.pay(now)
        {
            return Next::Again(request);
        }
        Next::Answer(response, lease)
    }

    fn pay(&self, now: Instant) -> bool {
        let paid = self.budget.borrow_mut().withdraw(now);
        self.figures.count(if paid {
            Outcome::Retried
        } else {
            Outcome::RetryRefused
        });
        paid
    }
}
