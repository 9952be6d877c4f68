//! The gateway's metrics. Handles are looked up once and kept by each worker, so that counting costs an addition.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, gauge, histogram,
};

/// The route label of requests that lead nowhere.
const UNMATCHED: &str = "unmatched";
/// The route label of what the gateway answers itself.
const OWN: &str = "gateway";

/// What became of a try at an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer that is no failure of the server.
    Answered,
    /// An answer that is one.
    ServerError,
    /// No connection.
    Unreachable,
    /// The connection broke before the answer.
    Broken,
    /// No answer in time.
    Late,
    /// Not tried: every circuit is open, or too much is in flight.
    Rejected,
    /// Tried again.
    Retried,
    /// Not tried again, because too much is.
    RetryRefused,
}

const OUTCOMES: [(Outcome, &str); 8] = [
    (Outcome::Answered, "answered"),
    (Outcome::ServerError, "server-error"),
    (Outcome::Unreachable, "unreachable"),
    (Outcome::Broken, "broken"),
    (Outcome::Late, "late"),
    (Outcome::Rejected, "rejected"),
    (Outcome::Retried, "retried"),
    (Outcome::RetryRefused, "retry-refused"),
];

/// Counters of one upstream.
pub(crate) struct UpstreamFigures {
    outcomes: [Counter; OUTCOMES.len()],
}

impl UpstreamFigures {
    /// The counters of an upstream by its name.
    pub(crate) fn new(upstream: &str) -> Self {
        let outcomes = OUTCOMES.map(|(_, outcome)| {
            counter!("gateway_upstream_requests_total", "upstream" => upstream.to_owned(), "outcome" => outcome)
        });
        Self { outcomes }
    }

    /// Counts an outcome.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].increment(1);
    }
}

/// Where a request led, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// To a route, by its place.
    Route(usize),
    /// To the gateway's own answers.
    Own,
    /// Nowhere.
    Unmatched,
}

/// Counters of one worker's requests.
pub(crate) struct RequestFigures {
    routes: Vec<String>,
    counts: RefCell<HashMap<(Place, &'static str, StatusCode), Counter>>,
    durations: RefCell<HashMap<(Place, &'static str), Histogram>>,
    /// Requests refused for their rate.
    pub(crate) rate_limited: Counter,
    /// Requests refused to stay fast.
    pub(crate) shed: Counter,
    /// Open client connections, of all workers.
    pub(crate) connections: Gauge,
}

impl RequestFigures {
    /// Counters for routes with these prefixes.
    pub(crate) fn new(routes: Vec<String>) -> Self {
        Self {
            routes,
            counts: RefCell::default(),
            durations: RefCell::default(),
            rate_limited: counter!("gateway_rate_limited_total"),
            shed: counter!("gateway_shed_total"),
            connections: gauge!("gateway_client_connections"),
        }
    }

    /// Counts an answered request.
    pub(crate) fn count(
        &self,
        place: Place,
        method: &Method,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let method = method_label(method);
        self.counts
            .borrow_mut()
            .entry((place, method, status))
            .or_insert_with(|| {
                let (route, status) = (self.label(place), status.as_str().to_owned());
                counter!("http_requests_total", "method" => method, "route" => route, "status" => status)
            })
            .increment(1);
        self.durations
            .borrow_mut()
            .entry((place, method))
            .or_insert_with(|| {
                histogram!("http_request_duration_seconds", "method" => method, "route" => self.label(place))
            })
            .record(elapsed.as_secs_f64());
    }

    /// The label of a place.
    pub(crate) fn label(&self, place: Place) -> String {
        match place {
            Place::Route(index) => self.routes.get(index).cloned().unwrap_or_default(),
            Place::Own => OWN.to_owned(),
            Place::Unmatched => UNMATCHED.to_owned(),
        }
    }
}

/// How many workers keep requests away from an endpoint.
pub(crate) fn circuit_gauge(upstream: &str, endpoint: &str) -> Gauge {
    gauge!("gateway_open_circuits", "upstream" => upstream.to_owned(), "endpoint" => endpoint.to_owned())
}

/// Says what the gateway's own metrics mean.
pub(crate) fn describe() {
    describe_counter!(
        "gateway_upstream_requests_total",
        "Tries at upstreams, by what became of them."
    );
    describe_counter!(
        "gateway_rate_limited_total",
        "Requests refused for their rate."
    );
    describe_counter!(
        "gateway_shed_total",
        "Requests refused because the gateway has too much to do."
    );
    describe_gauge!("gateway_client_connections", "Open connections of clients.");
    describe_gauge!(
        "gateway_open_circuits",
        "Workers that keep requests away from an endpoint."
    );
    describe_gauge!(
        "gateway_limited_callers",
        "Callers whose rate is being watched."
    );
}

/// The method if it is one of HTTP's own: callers must not be able to make up label values.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_their_own_index() {
        for (index, (outcome, _)) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
    }

    #[test]
    fn made_up_methods_share_a_label() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "OTHER");
        assert_eq!(method_label(&Method::PATCH), "PATCH");
    }
}
