//! What happens to one request, from its head to the head of its answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, Request, Response, Uri, Version};
use hyper::body::{Body, Incoming};
use shop_common::context::{REQUEST_ID, RequestContext};
use shop_token::Role;
use tower::ServiceExt;

use crate::address::{client_address, is_in};
use crate::answer::Rejection;
use crate::client::{Framing, RequestWatch};
use crate::counted::{CountedBody, RequestGuard};
use crate::figures::Place;
use crate::forward::{Forwarder, Head};
use crate::framing::{check_request, settle_response};
use crate::headers::{forwarded_for, is_trusted, put_forwarding, strip_request, strip_response};
use crate::limit::Caller;
use crate::route::check_path;
use crate::settings::{GatewaySettings, milliseconds};
use crate::upstream::{AnswerBody, BodyFault, RequestBody, StreamedBody};
use crate::worker::Worker;

/// The one who sends requests by a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    /// The address as `X-Forwarded-For` has it.
    name: HeaderValue,
    pub(crate) watch: Rc<RequestWatch>,
}

impl Peer {
    /// The peer of a connection; an IPv4 address in IPv6 clothes is an IPv4 address.
    pub(crate) fn new(address: IpAddr, watch: Rc<RequestWatch>) -> Self {
        let address = address.to_canonical();
        let name = HeaderValue::from_str(&address.to_string());
        // Addresses consist of what headers may hold.
        let name = name.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            address,
            name,
            watch,
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }
}

/// Where a request leads.
struct Destination {
    place: Place,
    /// Whether it is for everybody, whatever token the client still sends.
    open: bool,
    /// The upstream's place, and the path there if it is another one.
    upstream: Option<(usize, Option<&'static str>)>,
}

/// Answers a request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<CountedBody>, Infallible> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let framing = peer
        .watch
        .begin(parts.headers.contains_key(TRANSFER_ENCODING));
    let mut guard = RequestGuard::new(&worker, &peer);
    let context = RequestContext::from_request(parts.uri.path(), &parts.headers);
    let method = parts.method.clone();

    let destination = check_head(&parts, framing).and_then(|()| find(&worker, &parts));
    let place = destination.as_ref().map_or(Place::Unmatched, |it| it.place);
    let answer = match destination {
        Ok(destination) => {
            let exchange = Exchange {
                worker: &worker,
                peer: &peer,
                context: &context,
                started,
            };
            exchange.answer(destination, &mut guard, parts, body).await
        }
        Err(rejection) => Err(rejection),
    };
    let mut response =
        answer.unwrap_or_else(|rejection| rejection.into_response(&context).map(AnswerBody::Own));

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, context.request_id.header_value());
    if worker.is_draining() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let (status, elapsed) = (response.status(), started.elapsed());
    worker.figures.count(place, &method, status, elapsed);
    tracing::debug!(
        %method, path = &*context.path, status = status.as_u16(), milliseconds = elapsed.as_secs_f64() * 1e3,
        request_id = context.request_id.as_str(), trace_id = context.trace.trace_id(), "answered"
    );
    Ok(response.map(|body| CountedBody::new(body, guard)))
}

fn check_head(parts: &Parts, framing: Framing) -> Result<(), Rejection> {
    match framing {
        Framing::Single => {}
        Framing::Double => {
            return Err(Rejection::framing(
                "both Content-Length and Transfer-Encoding are given",
            ));
        }
        Framing::Unknown => {
            return Err(Rejection::framing(
                "a request with Transfer-Encoding must wait for the answer before it",
            ));
        }
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Rejection::method());
    }
    check_request(&parts.headers, parts.version).map_err(Rejection::framing)?;
    check_path(parts.uri.path()).map_err(Rejection::path)
}

fn find(worker: &Worker, parts: &Parts) -> Result<Destination, Rejection> {
    let path = parts.uri.path();
    if let Some(index) = worker.shared.routes.find(path) {
        let upstream = worker.shared.routes.all()[index].upstream;
        return Ok(Destination {
            open: worker.shared.open[upstream].holds(&parts.method, path),
            place: Place::Route(index),
            upstream: Some((upstream, None)),
        });
    }
    if matches!(path, "/" | "/openapi.json") {
        return Ok(Destination {
            place: Place::Own,
            open: true,
            upstream: None,
        });
    }
    let described = path
        .strip_prefix("/openapi/")
        .and_then(|rest| rest.strip_suffix(".json"));
    let upstream =
        described.and_then(|name| worker.upstreams.iter().position(|it| it.name() == name));
    match upstream {
        Some(upstream) if matches!(parts.method, Method::GET | Method::HEAD) => Ok(Destination {
            place: Place::Own,
            open: true,
            upstream: Some((upstream, Some("/openapi.json"))),
        }),
        Some(_) => Err(Rejection::method()),
        None => Err(shop_common::problem::Problem::not_found().into()),
    }
}

/// A request that leads somewhere, and what is known about it.
struct Exchange<'a> {
    worker: &'a Worker,
    peer: &'a Peer,
    context: &'a RequestContext,
    started: Instant,
}

impl Exchange<'_> {
    async fn answer(
        &self,
        destination: Destination,
        guard: &mut RequestGuard,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<AnswerBody>, Rejection> {
        let worker = self.worker;
        if worker.is_overloaded() {
            worker.figures.shed.increment(1);
            return Err(Rejection::busy());
        }
        self.admit(&mut parts.headers, destination.open).await?;
        let Some((place, path)) = destination.upstream else {
            return Ok(self.answer_own(parts).await);
        };
        let upstream = &worker.upstreams[place];
        let has_room = || {
            let room = upstream.has_room();
            if !room {
                worker.figures.shed.increment(1);
            }
            room.then_some(()).ok_or_else(Rejection::busy)
        };
        has_room()?;
        let settings = &worker.shared.gateway;
        let head = self.outgoing_head(parts, path, &body);
        let body = take_body(settings, &head.headers, body).await?;
        // Whoever is slow with a small body takes nobody's place while it comes.
        has_room()?;
        guard.enter_upstream(place);
        let forwarder = Forwarder {
            upstream,
            budget: &worker.budget,
            figures: &worker.upstream_figures[place],
        };
        let (response, lease) = forwarder.forward(head, body).await.map_err(|error| {
            Rejection::forward(&error, upstream.name(), settings.max_body_bytes)
        })?;
        let (mut parts, incoming) = response.into_parts();
        if !settle_response(parts.status, &mut parts.headers) {
            // The lease is dropped with its connection: nobody knows what comes next there.
            return Err(Rejection::strange_answer(upstream.name()));
        }
        strip_response(&mut parts.headers);
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let stall = milliseconds(settings.stall_milliseconds);
        Ok(Response::from_parts(
            parts,
            AnswerBody::upstream(incoming, lease, stall),
        ))
    }

    /// Verifies who calls and counts the request against the caller's limit. A bad token is counted by address, so
    /// that guessing is limited too; where everybody may ask it is taken off and forgotten.
    async fn admit(&self, headers: &mut HeaderMap, open: bool) -> Result<(), Rejection> {
        let shared = &self.worker.shared;
        let mut identified = shared.keys.authenticate(headers).await;
        if open && identified.is_err() {
            headers.remove(AUTHORIZATION);
            identified = Ok(None);
        }
        let by_address = || {
            let address = client_address(
                self.peer.address,
                forwarded_for(headers),
                &shared.trusted_proxies,
            );
            Caller::address(address, is_in(&shared.local_addresses, address))
        };
        let caller = match &identified {
            Ok(Some(claims)) => Caller::subject(claims.sub, claims.role == Role::Admin),
            Ok(None) | Err(_) => by_address(),
        };
        if let Err(refusal) = shared.limiter.check(caller, self.started) {
            self.worker.figures.rate_limited.increment(1);
            return Err(Rejection::rate(&caller, &refusal));
        }
        identified.map(|_| ()).map_err(Rejection::from)
    }

    fn outgoing_head(&self, parts: Parts, path: Option<&'static str>, body: &Incoming) -> Head {
        let Parts {
            method,
            uri,
            mut headers,
            ..
        } = parts;
        let trusted = is_trusted(self.peer.address, &self.worker.shared.trusted_proxies);
        strip_request(&mut headers, trusted);
        self.context.propagate(&mut headers);
        // The host of a whole address is the one that counts (RFC 9112, 3.2.2).
        let authority = uri.authority().map(http::uri::Authority::as_str);
        match authority.and_then(|it| HeaderValue::from_str(it).ok()) {
            Some(host) => {
                headers.insert(HOST, host);
            }
            None => {
                headers
                    .entry(HOST)
                    .or_insert_with(|| HeaderValue::from_static("shop"));
            }
        }
        put_forwarding(&mut headers, &self.peer.name, trusted);
        // hyper would take a body of unknown length off these, although the client sent one.
        if matches!(method, Method::GET | Method::HEAD)
            && !body.is_end_stream()
            && !headers.contains_key(CONTENT_LENGTH)
        {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let uri = path.map_or_else(|| origin_form(uri), Uri::from_static);
        Head {
            method,
            uri,
            headers,
        }
    }

    async fn answer_own(&self, parts: Parts) -> Response<AnswerBody> {
        let request = Request::from_parts(parts, axum::body::Body::empty());
        let answer = self
            .context
            .clone()
            .scope(self.worker.own.clone().oneshot(request))
            .await;
        answer
            .unwrap_or_else(|never| match never {})
            .map(AnswerBody::Own)
    }
}

/// A proxy sends path and query only, even if it was sent a whole address.
fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    uri.path_and_query()
        .cloned()
        .map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// Reads a small body whole, so that slow clients bother no upstream and it can be sent again; a large one begins to
/// be passed on when as much of it has come.
async fn take_body(
    settings: &GatewaySettings,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<RequestBody, Rejection> {
    if body.is_end_stream() {
        return Ok(RequestBody::whole(Bytes::new()));
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    if length.is_some_and(|length: u64| length > settings.max_body_bytes) {
        return Err(Rejection::too_large(settings.max_body_bytes));
    }
    let (total, stall) = (
        milliseconds(settings.body_milliseconds),
        milliseconds(settings.stall_milliseconds),
    );
    let streamed = StreamedBody::new(body, settings.max_body_bytes, total, stall);
    read_first(streamed, settings.buffer_bytes)
        .await
        .map_err(|fault| Rejection::body(fault, settings.max_body_bytes))
}

/// The whole body if it ends within a bound; else what has come until then, and the rest as it comes.
async fn read_first(mut body: StreamedBody, most: u64) -> Result<RequestBody, BodyFault> {
    let mut first = BytesMut::new();
    loop {
        let Some(frame) = std::future::poll_fn(|context| body.poll(context)).await else {
            return Ok(RequestBody::whole(first.freeze()));
        };
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let fits = (first.len() + data.len()) as u64 <= most;
        // Most bodies come in one piece, which then need not be copied.
        if fits && first.is_empty() && body.has_ended() {
            return Ok(RequestBody::whole(data));
        }
        first.extend_from_slice(&data);
        if !fits {
            return Ok(RequestBody::Streamed(body.begin_with(first.freeze())));
        }
    }
}
