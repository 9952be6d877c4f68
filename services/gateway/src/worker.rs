//! A worker: one thread with a runtime, a listener, connections to upstreams and circuits of its own. A request is
//! handled by the thread that accepted its connection and by no other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, watch};

use crate::client::{ClientStream, RequestWatch, SharedListener};
use crate::figures::{RequestFigures, UpstreamFigures};
use crate::handle::{Peer, handle};
use crate::retry::RetryBudget;
use crate::settings::milliseconds;
use crate::shared::Shared;
use crate::shed::Shedder;
use crate::upstream::{EndpointLimits, Upstream, UpstreamLimits, watch as watch_upstreams};

/// How often a worker looks at its event loop and its endpoints.
const TICK: Duration = Duration::from_millis(50);
/// Pause after accepting failed, for example because there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What one connection may read ahead.
const READ_BUFFER: usize = 64 * 1024;
/// Idle connections to endpoints older than this are closed.
const UPSTREAM_IDLE: Duration = Duration::from_secs(30);
/// What a connection too many is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a worker's tasks share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstreams: Rc<Vec<Upstream>>,
    pub(crate) upstream_figures: Vec<UpstreamFigures>,
    pub(crate) figures: RequestFigures,
    pub(crate) budget: RefCell<RetryBudget>,
    pub(crate) in_flight: Cell<usize>,
    pub(crate) own: axum::Router,
    shedder: RefCell<Shedder>,
    clients: RefCell<HashMap<u64, Rc<Client>>>,
    next_client: Cell<u64>,
    draining: Cell<bool>,
    empty: Notify,
}

/// A client's connection, as the drain sees it.
struct Client {
    peer: Rc<Peer>,
    closing: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Runs a worker on its own thread until the drain is over.
pub(crate) fn spawn(
    index: usize,
    shared: Arc<Shared>,
    listener: std::net::TcpListener,
    stop: watch::Receiver<bool>,
) -> io::Result<std::thread::JoinHandle<io::Result<()>>> {
    std::thread::Builder::new()
        .name(format!("gateway-{index}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            runtime.block_on(async move {
                let listener = SharedListener::new(listener)?;
                serve(Rc::new(Worker::new(shared)), listener, stop).await;
                Ok(())
            })
        })
}

async fn serve(worker: Rc<Worker>, listener: SharedListener, mut stop: watch::Receiver<bool>) {
    let ticking = tokio::task::spawn_local(Rc::clone(&worker).tick());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => worker.welcome(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    worker.drain(listener).await;
    ticking.abort();
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        let settings = &shared.gateway;
        let endpoint = EndpointLimits {
            connect: milliseconds(settings.connect_milliseconds),
            probe: milliseconds(settings.probe_milliseconds),
            silence: milliseconds(settings.silence_milliseconds),
            idle: settings.pool_idle,
            idle_time: UPSTREAM_IDLE,
            failures: settings.breaker_failures,
            open: milliseconds(settings.breaker_open_milliseconds),
            shared: false,
        };
        let upstreams: Vec<Upstream> = shared
            .upstreams
            .iter()
            .zip(&shared.circuits)
            .map(|((name, upstream), circuits)| {
                let limits = UpstreamLimits {
                    timeout: milliseconds(upstream.timeout_milliseconds),
                    in_flight: upstream.max_in_flight,
                    repeat_keyed: upstream.repeats_keyed(name),
                    endpoint: EndpointLimits {
                        shared: upstream.shared,
                        ..endpoint
                    },
                };
                Upstream::new(name, &upstream.endpoints, limits, circuits)
            })
            .collect();
        Self {
            upstream_figures: upstreams
                .iter()
                .map(|it| UpstreamFigures::new(it.name()))
                .collect(),
            upstreams: Rc::new(upstreams),
            figures: RequestFigures::new(
                shared
                    .routes
                    .all()
                    .iter()
                    .map(|route| route.prefix.clone())
                    .collect(),
            ),
            budget: RefCell::new(RetryBudget::new(
                settings.retry_share,
                settings.retry_burst,
                Instant::now(),
            )),
            in_flight: Cell::new(0),
            own: shared.own.clone(),
            shedder: RefCell::new(Shedder::new(milliseconds(settings.shed_delay_milliseconds))),
            clients: RefCell::default(),
            next_client: Cell::new(0),
            draining: Cell::new(false),
            empty: Notify::new(),
            shared,
        }
    }

    /// Whether answers should tell clients to go elsewhere with their next request.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether to refuse a request so that the others stay fast.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.in_flight.get() > self.shared.gateway.max_in_flight
            || self.shedder.borrow().refuses(rand::random)
    }

    /// Measures how late the event loop is, and looks after the endpoints.
    async fn tick(self: Rc<Self>) {
        loop {
            let due = tokio::time::Instant::now() + TICK;
            tokio::time::sleep_until(due).await;
            self.shedder.borrow_mut().observe(due.elapsed());
            watch_upstreams(&self.upstreams, Instant::now());
        }
    }

    fn welcome(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        if self.clients.borrow().len() >= self.shared.gateway.max_connections {
            self.figures.shed.increment(1);
            tokio::task::spawn_local(async move {
                let mut stream = stream;
                // If even this cannot be written, the client learns as much from the connection's end.
                let _ = stream.write_all(FULL).await;
            });
            return;
        }
        let watch = RequestWatch::new(self.shared.gateway.max_head_bytes);
        let client = Rc::new(Client {
            peer: Rc::new(Peer::new(peer.ip(), watch)),
            closing: Cell::new(false),
            waker: RefCell::new(None),
        });
        let membership = Membership::new(self, &client);
        tokio::task::spawn_local(async move {
            if let Err(error) = membership.worker.converse(stream, &client).await {
                tracing::debug!(%error, peer = %client.peer.address(), "a client's connection ended");
            }
        });
    }

    async fn converse(
        self: &Rc<Self>,
        stream: TcpStream,
        client: &Rc<Client>,
    ) -> Result<(), ConverseError> {
        stream.set_nodelay(true)?;
        let settings = &self.shared.gateway;
        let limit = milliseconds(settings.head_milliseconds);
        let stream = ClientStream::new(stream, Rc::clone(&client.peer.watch), limit);
        let service =
            service_fn(|request| handle(Rc::clone(self), Rc::clone(&client.peer), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(settings.idle_seconds))
            .max_header_size(settings.max_head_bytes)
            .max_buf_size(READ_BUFFER.max(settings.max_head_bytes))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut told = false;
        std::future::poll_fn(|context| {
            if client.closing.get() && !told {
                told = true;
                if !client.peer.watch.was_used() {
                    return Poll::Ready(Ok(()));
                }
                connection.as_mut().graceful_shutdown();
            }
            if client.waker.borrow().is_none() {
                client.waker.replace(Some(context.waker().clone()));
            }
            connection.as_mut().poll(context)
        })
        .await?;
        Ok(())
    }

    /// Lets clients go without a lost request: no new connections; who sends another request is answered and told
    /// to close; who stays idle is closed after a while; what is still under way gets the rest of the time.
    async fn drain(self: &Rc<Self>, listener: SharedListener) {
        let deadline = tokio::time::Instant::now() + self.shared.drain;
        self.draining.set(true);
        for (stream, peer) in listener.close() {
            self.welcome(stream, peer);
        }
        let linger = milliseconds(self.shared.gateway.linger_milliseconds).min(self.shared.drain);
        if tokio::time::timeout(linger, self.until_empty())
            .await
            .is_err()
        {
            for client in self.clients.borrow().values() {
                client.closing.set(true);
                if let Some(waker) = &*client.waker.borrow() {
                    waker.wake_by_ref();
                }
            }
            if tokio::time::timeout_at(deadline, self.until_empty())
                .await
                .is_err()
            {
                tracing::warn!(
                    connections = self.clients.borrow().len(),
                    "the drain took longer than it may"
                );
            }
        }
    }

    async fn until_empty(&self) {
        loop {
            let empty = self.empty.notified();
            if self.clients.borrow().is_empty() {
                return;
            }
            empty.await;
        }
    }
}

/// A connection's place among the worker's clients. Leaves it when dropped, even by a panic.
struct Membership {
    worker: Rc<Worker>,
    number: u64,
}

impl Membership {
    fn new(worker: &Rc<Worker>, client: &Rc<Client>) -> Self {
        let number = worker.next_client.get();
        worker.next_client.set(number + 1);
        worker
            .clients
            .borrow_mut()
            .insert(number, Rc::clone(client));
        worker.figures.connections.increment(1.0);
        Self {
            worker: Rc::clone(worker),
            number,
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.figures.connections.decrement(1.0);
        worker.clients.borrow_mut().remove(&self.number);
        if worker.clients.borrow().is_empty() {
            worker.empty.notify_waiters();
        }
    }
}

/// Why a client's connection ended early.
#[derive(Debug, thiserror::Error)]
enum ConverseError {
    #[error("failed to set up the connection")]
    Setup(#[from] io::Error),
    #[error("failed to read a request or to write an answer")]
    Http(#[from] hyper::Error),
}
