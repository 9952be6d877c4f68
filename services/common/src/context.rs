//! The request at hand: its id and its place in a W3C trace, taken over from the caller or begun here.
//!
//! The context is a task-local and not a tracing span: setting it costs no allocation and no lock, the log
//! formatter and problem documents find it, and work handed to a task of its own carries it on ([`crate::tasks`]).
//! Not here: exporting spans to a collector.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries the request id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header that carries the trace to the next hop.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest request id that is taken over from a caller.
const LONGEST_REQUEST_ID: usize = 64;

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The id of one request, the same in all services it passes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new id (a UUID of version 7, so ids sort by time).
    pub fn new() -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        Self(Arc::from(
            &*Uuid::now_v7().hyphenated().encode_lower(&mut text),
        ))
    }

    /// Takes a caller's id over if it is sane: 1 to 64 letters, digits, `-`, `_` or `.`.
    pub fn parse(text: &str) -> Option<Self> {
        let sane = !text.is_empty()
            && text.len() <= LONGEST_REQUEST_ID
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        sane.then(|| Self(Arc::from(text)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header's value.
    pub fn header_value(&self) -> HeaderValue {
        // Only characters that headers may hold pass `parse`, and UUIDs consist of them.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// This hop's place in a trace: the caller's trace with a span of our own, or a new trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceContext {
    /// Begins a trace.
    pub fn begin() -> Self {
        Self {
            trace: rand::random_range(1..=u128::MAX),
            span: rand::random_range(1..=u64::MAX),
            flags: 0,
        }
    }

    /// Continues the trace of a `traceparent` header with a new span, or nothing if the header is not sound.
    pub fn continued(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may append fields, version 00 may not.
        if lower_hex(version, 2)? == 0xff || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace = lower_hex(trace, 32).filter(|trace| *trace != 0)?;
        lower_hex(parent, 16).filter(|parent| *parent != 0)?;
        let flags = u8::try_from(lower_hex(flags, 2)?).ok()?;
        Some(Self {
            trace,
            span: rand::random_range(1..=u64::MAX),
            flags,
        })
    }

    /// The header for a call to the next hop.
    pub fn traceparent(&self) -> String {
        format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.span, self.flags
        )
    }

    /// The trace's id in hexadecimal, as logs show it.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// A field of exactly `length` lower-case hexadecimal digits.
fn lower_hex(text: &str, length: usize) -> Option<u128> {
    let sound = text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    sound.then(|| u128::from_str_radix(text, 16).ok())?
}

/// What a request carries from hop to hop.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The request's id.
    pub request_id: RequestId,
    /// The request's place in its trace.
    pub trace: TraceContext,
    /// The request's path, for problem documents.
    pub path: Arc<str>,
}

impl RequestContext {
    /// Takes the context over from a request's headers, and makes what they lack.
    pub fn from_request(path: &str, headers: &HeaderMap) -> Self {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        Self {
            request_id: text(REQUEST_ID)
                .and_then(RequestId::parse)
                .unwrap_or_default(),
            trace: text(TRACEPARENT)
                .and_then(TraceContext::continued)
                .unwrap_or_else(TraceContext::begin),
            path: Arc::from(path),
        }
    }

    /// The context of the request that this task works for, if it works for one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs a function on the current context without cloning it.
    pub(crate) fn with_current<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(read).ok()
    }

    /// Runs a future as work for this request.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// Sets the headers of a call to another service on behalf of this request.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id.header_value());
        if let Ok(value) = HeaderValue::from_str(&self.trace.traceparent()) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_sane_request_id_is_taken_over_and_an_insane_one_replaced() {
        let taken = RequestContext::from_request("/", &headers(&[(REQUEST_ID, "checkout-7.a_b")]));
        assert_eq!(taken.request_id.as_str(), "checkout-7.a_b");
        for insane in ["", "a b", "<script>", &"x".repeat(65)] {
            let made = RequestContext::from_request("/", &headers(&[(REQUEST_ID, insane)]));
            assert_eq!(
                Uuid::parse_str(made.request_id.as_str())
                    .unwrap()
                    .get_version_num(),
                7,
                "{insane:?}"
            );
        }
    }

    #[test]
    fn a_trace_is_continued_with_a_span_of_its_own() {
        let context = TraceContext::continued(PARENT).unwrap();
        let sent = context.traceparent();
        assert_eq!(sent[..36], PARENT[..36]);
        assert_ne!(sent[36..52], PARENT[36..52]);
        assert_eq!(sent[52..], PARENT[52..]);
    }

    #[test]
    fn unsound_trace_headers_begin_a_new_trace() {
        let zero_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let zero_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let upper = "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01";
        let longer = &format!("{PARENT}-more");
        let reserved = &format!("ff{}", &PARENT[2..]);
        for unsound in ["", "00", zero_trace, zero_parent, upper, longer, reserved] {
            assert_eq!(TraceContext::continued(unsound), None, "{unsound}");
        }
    }

    #[test]
    fn a_later_version_may_carry_more_fields() {
        let later = format!("01{}-more", &PARENT[2..]);
        assert!(TraceContext::continued(&later).is_some());
    }

    #[tokio::test]
    async fn work_for_a_request_finds_its_context_and_other_work_finds_none() {
        let context = RequestContext::from_request("/api/echo", &HeaderMap::new());
        let id = context.request_id.clone();
        let found = context
            .scope(async { RequestContext::current() })
            .await
            .unwrap();
        assert_eq!(found.request_id, id);
        assert!(RequestContext::current().is_none());
    }

    #[test]
    fn a_context_is_propagated_in_both_headers() {
        let context = RequestContext::from_request("/", &headers(&[(TRACEPARENT, PARENT)]));
        let mut out = HeaderMap::new();
        context.propagate(&mut out);
        assert_eq!(out[REQUEST_ID], context.request_id.as_str());
        assert!(
            out[TRACEPARENT]
                .to_str()
                .unwrap()
                .starts_with(&PARENT[..36])
        );
    }
}
