//! One endpoint of a service: its idle connections, what it owes, and its circuit.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use metrics::Gauge;
use tokio::task::AbortHandle;

use super::body::RequestBody;
use super::connect::{ConnectError, Target, connect};
use super::transfer::AnswerClock;
use crate::breaker::{Breaker, Fault};
use crate::figures::circuit_gauge;
use crate::shared::Circuits;

/// Connections at the top of the pile that may not have caught their breath yet.
const NOT_YET_READY: usize = 4;

/// Numbers that an endpoint keeps to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointLimits {
    /// Time to connect.
    pub(crate) connect: Duration,
    /// Time for a probe's answer.
    pub(crate) probe: Duration,
    /// Silence after which a probe is sent.
    pub(crate) silence: Duration,
    /// Idle connections kept.
    pub(crate) idle: usize,
    /// How long an idle connection is kept.
    pub(crate) idle_time: Duration,
    /// Failures in a row that open the circuit.
    pub(crate) failures: u32,
    /// Pause between probes while it is open.
    pub(crate) open: Duration,
    /// Whether several replicas are behind its address.
    pub(crate) shared: bool,
}

/// Why an attempt brought no answer. A request that was certainly not sent comes back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// There was no connection.
    #[error("{error}")]
    Connect {
        error: ConnectError,
        request: Box<Request<RequestBody>>,
    },
    /// The connection broke before the head of the answer.
    #[error("failed to get an answer from {endpoint}")]
    Broken {
        endpoint: String,
        #[source]
        error: hyper::Error,
        request: Option<Box<Request<RequestBody>>>,
    },
    /// No answer in time.
    #[error("failed to get an answer from {endpoint} in time")]
    Late { endpoint: String },
}

/// One replica of an upstream, as one worker knows it.
pub(crate) struct Endpoint {
    authority: HeaderValue,
    target: Target,
    limits: EndpointLimits,
    circuits: Circuits,
    gauge: Gauge,
    breaker: RefCell<Breaker>,
    idle: RefCell<Vec<Idle>>,
    /// The tasks that drive connections, to cut them all when the endpoint hangs.
    connections: RefCell<HashMap<u64, AbortHandle>>,
    next_connection: Cell<u64>,
    owed: Cell<u32>,
    sign_of_life: Cell<Instant>,
    probing: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

impl Endpoint {
    /// An endpoint at `host:port`, believed to be well.
    pub(crate) fn new(
        upstream: &str,
        authority: &str,
        limits: EndpointLimits,
        circuits: Circuits,
    ) -> Rc<Self> {
        Rc::new(Self {
            authority: HeaderValue::from_str(authority)
                .unwrap_or_else(|_| HeaderValue::from_static("invalid")),
            target: Target::parse(authority),
            limits,
            circuits,
            gauge: circuit_gauge(upstream, authority),
            breaker: RefCell::new(Breaker::new(limits.failures, limits.open, limits.shared)),
            idle: RefCell::default(),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            owed: Cell::new(0),
            sign_of_life: Cell::new(Instant::now()),
            probing: Cell::new(false),
        })
    }

    /// The name in logs.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(self.authority.as_bytes()).into_owned()
    }

    /// Whether requests may go there.
    pub(crate) fn is_available(&self) -> bool {
        self.breaker.borrow().is_closed()
    }

    /// Answers that are awaited.
    pub(crate) fn owed(&self) -> u32 {
        self.owed.get()
    }

    /// Sends a request and waits for the head of the answer as long as the clock allows.
    pub(crate) async fn attempt(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        clock: &AnswerClock,
    ) -> Result<(Response<Incoming>, Lease), AttemptError> {
        let mut sender = match self.take_idle() {
            Some(sender) => sender,
            None => match self.open().await {
                Ok(sender) => sender,
                Err(error) => {
                    return Err(AttemptError::Connect {
                        error,
                        request: Box::new(request),
                    });
                }
            },
        };
        let debt = Debt::new(self);
        let answer = clock.within(sender.try_send_request(request)).await;
        drop(debt);
        match answer {
            Some(Ok(response)) => {
                self.sign_of_life.set(Instant::now());
                Ok((
                    response,
                    Lease {
                        endpoint: Rc::clone(self),
                        sender,
                    },
                ))
            }
            Some(Err(mut failure)) => {
                let request = failure.take_message().map(Box::new);
                Err(AttemptError::Broken {
                    endpoint: self.name(),
                    error: failure.into_error(),
                    request,
                })
            }
            None => Err(AttemptError::Late {
                endpoint: self.name(),
            }),
        }
    }

    /// An answer came and was no failure.
    pub(crate) fn succeeded(&self) {
        self.breaker.borrow_mut().succeeded();
    }

    /// An attempt failed through the endpoint's fault.
    pub(crate) fn failed(&self, fault: Fault, now: Instant) {
        if self.breaker.borrow_mut().failed(fault, now) {
            self.circuits.opened();
            self.gauge.increment(1.0);
            tracing::warn!(
                endpoint = self.name(),
                ?fault,
                "stopped sending requests to an endpoint"
            );
        }
    }

    /// Whether it owes answers and has been silent for too long, and nobody asks it yet.
    pub(crate) fn is_suspicious(&self, now: Instant) -> bool {
        let silent = now.saturating_duration_since(self.sign_of_life.get()) >= self.limits.silence;
        self.owed.get() > 0 && silent && !self.probing.get()
    }

    /// Whether its circuit is open and it is time to see whether it is back.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.probing.get() && self.breaker.borrow_mut().take_probe(now)
    }

    /// Asks for a sign of life on a connection of its own: any answer is one.
    pub(crate) async fn probe(&self) -> bool {
        self.probing.set(true);
        let alive = tokio::time::timeout(self.limits.probe, self.ask())
            .await
            .unwrap_or(false);
        self.probing.set(false);
        if alive {
            self.sign_of_life.set(Instant::now());
        }
        alive
    }

    async fn ask(&self) -> bool {
        let Ok(opened) = connect(&self.target, &self.authority, self.limits.connect).await else {
            return false;
        };
        let mut sender = opened.sender;
        let driver = tokio::task::spawn_local(opened.connection);
        let mut request = Request::new(RequestBody::whole(Bytes::new()));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = http::Uri::from_static("/healthz");
        request
            .headers_mut()
            .insert(http::header::HOST, self.authority.clone());
        let alive = sender.send_request(request).await.is_ok();
        driver.abort();
        alive
    }

    /// It answered a probe.
    pub(crate) fn revived(&self) {
        if self.breaker.borrow_mut().probe_succeeded() {
            self.circuits.closed();
            self.gauge.decrement(1.0);
            tracing::info!(endpoint = self.name(), "an endpoint answers again");
        }
    }

    /// It hangs: no requests go there, and those that wait for it are set free to try another.
    pub(crate) fn cut(&self, now: Instant) {
        self.failed(Fault::Silent, now);
        self.idle.borrow_mut().clear();
        for connection in self.connections.borrow_mut().drain() {
            connection.1.abort();
        }
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn close_idle(&self, now: Instant) {
        let keep = |idle: &Idle| {
            now.saturating_duration_since(idle.since) < self.limits.idle_time
                && !idle.sender.is_closed()
        };
        self.idle.borrow_mut().retain(keep);
    }

    /// The most recently used connection that is ready: the others may then grow old and be closed.
    fn take_idle(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        let mut index = idle.len();
        let mut not_ready = 0;
        while index > 0 && not_ready < NOT_YET_READY {
            index -= 1;
            if idle[index].sender.is_closed() {
                idle.swap_remove(index);
            } else if idle[index].sender.is_ready() {
                return Some(idle.remove(index).sender);
            } else {
                not_ready += 1;
            }
        }
        None
    }

    async fn open(self: &Rc<Self>) -> Result<SendRequest<RequestBody>, ConnectError> {
        let opened = connect(&self.target, &self.authority, self.limits.connect).await?;
        let number = self.next_connection.get();
        self.next_connection.set(number + 1);
        let endpoint = Rc::clone(self);
        let driver = tokio::task::spawn_local(async move {
            if let Err(error) = opened.connection.await {
                tracing::debug!(endpoint = endpoint.name(), %error, "a connection to an endpoint ended");
            }
            endpoint.connections.borrow_mut().remove(&number);
        });
        self.connections
            .borrow_mut()
            .insert(number, driver.abort_handle());
        Ok(opened.sender)
    }
}

/// Counts an awaited answer for as long as somebody waits for it.
struct Debt<'a>(&'a Endpoint);

impl<'a> Debt<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        if endpoint.owed.get() == 0 {
            endpoint.sign_of_life.set(Instant::now());
        }
        endpoint.owed.set(endpoint.owed.get() + 1);
        Self(endpoint)
    }
}

impl Drop for Debt<'_> {
    fn drop(&mut self) {
        self.0.owed.set(self.0.owed.get() - 1);
    }
}

/// A connection in use. Given back it is kept; dropped it is closed.
pub(crate) struct Lease {
    endpoint: Rc<Endpoint>,
    sender: SendRequest<RequestBody>,
}

impl Lease {
    /// The answer is over: the connection may carry another.
    pub(crate) fn give_back(self) {
        let mut idle = self.endpoint.idle.borrow_mut();
        if !self.sender.is_closed()
            && idle.len() < self.endpoint.limits.idle
            && self.endpoint.is_available()
        {
            idle.push(Idle {
                sender: self.sender,
                since: Instant::now(),
            });
        }
    }
}
