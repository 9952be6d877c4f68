//! Serving, draining and ending, over real connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use shop_common::config::HttpConfig;
use shop_common::health::Readiness;
use shop_common::server::{ServeError, Server, Shutdown};
use shop_common::tasks::Tasks;
use shop_common::telemetry::observe;
use shop_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(10);

/// A handler that says when it has begun and answers when it is let.
#[derive(Clone, Default)]
struct Gate(Arc<(Notify, Notify)>);

async fn slow(State(gate): State<Gate>) -> &'static str {
    gate.0.0.notify_one();
    gate.0.1.notified().await;
    "done"
}

struct Running {
    public: SocketAddr,
    admin: SocketAddr,
    gate: Gate,
    tasks: Tasks,
    shutdown: Shutdown,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(drain_seconds: u64) -> Self {
        let (gate, tasks, shutdown) = (Gate::default(), Tasks::new(), Shutdown::new());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = HttpConfig::new(any, any);
        config.drain_seconds = drain_seconds;
        let routes = Router::new()
            .route("/slow", get(slow))
            .route("/quick", get(async || "quick"))
            .with_state(gate.clone());
        let bound = Server::new(&config, observe(routes))
            .readiness(Readiness::builder().build())
            .tasks(tasks.clone())
            .bind()
            .await
            .unwrap();
        let (public, admin) = (
            bound.addresses().unwrap()[0],
            bound.admin_address().unwrap(),
        );
        let ended = tokio::spawn(bound.serve(shutdown.clone()));
        Self {
            public,
            admin,
            gate,
            tasks,
            shutdown,
            ended,
        }
    }

    async fn has_ended(self) {
        tokio::time::timeout(SOON, self.ended)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Sends a request on a connection of its own, and gives the connection back.
async fn send(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the other side closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    text
}

async fn status(address: SocketAddr, path: &str) -> u16 {
    let response = reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap();
    response.status().as_u16()
}

async fn refuses(address: SocketAddr) {
    eventually(
        "the listener to close",
        SOON,
        async || match TcpStream::connect(address).await {
            Ok(_) => Err("it accepts".to_owned()),
            Err(_) => Ok(()),
        },
    )
    .await;
}

#[tokio::test]
async fn a_request_under_way_is_answered_while_new_connections_are_refused() {
    let running = Running::start(10).await;
    let under_way = send(running.public, "/slow").await;
    running.gate.0.0.notified().await;
    assert_eq!(status(running.admin, "/readyz").await, 200);

    running.shutdown.trigger();
    refuses(running.public).await;
    assert_eq!(status(running.admin, "/readyz").await, 503);
    assert_eq!(status(running.admin, "/healthz").await, 200);

    running.gate.0.1.notify_one();
    let answer = rest(under_way).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("done"), "{answer}");
    running.has_ended().await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let running = Running::start(60).await;
    let mut idle = send(running.public, "/quick").await;
    let mut seen = [0; 12];
    idle.read_exact(&mut seen).await.unwrap();
    running.shutdown.trigger();
    running.has_ended().await;
    rest(idle).await;
}

#[tokio::test]
async fn requests_that_wait_in_the_listener_when_the_end_begins_are_answered() {
    // One thread and no await between: nothing is accepted before the shutdown is seen.
    let running = Running::start(10).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let stream = std::net::TcpStream::connect(running.public).unwrap();
        std::io::Write::write_all(&mut &stream, b"GET /quick HTTP/1.1\r\nhost: test\r\n\r\n")
            .unwrap();
        stream.set_nonblocking(true).unwrap();
        waiting.push(stream);
    }
    running.shutdown.trigger();
    for stream in waiting {
        let answer = rest(TcpStream::from_std(stream).unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
    }
    running.has_ended().await;
}

#[tokio::test]
async fn the_drain_ends_at_its_deadline() {
    let running = Running::start(1).await;
    let _stuck = send(running.public, "/slow").await;
    running.gate.0.0.notified().await;
    let started = Instant::now();
    running.shutdown.trigger();
    running.has_ended().await;
    assert!(
        started.elapsed() >= Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn the_end_waits_for_work_whose_client_went_away() {
    let running = Running::start(10).await;
    let committed = Arc::new(AtomicBool::new(false));
    let (go, told) = tokio::sync::oneshot::channel::<()>();
    let seen = committed.clone();
    running.tasks.spawn(async move {
        told.await.unwrap();
        seen.store(true, Ordering::SeqCst);
    });
    running.shutdown.trigger();
    refuses(running.public).await;
    assert!(!running.ended.is_finished());
    go.send(()).unwrap();
    running.has_ended().await;
    assert!(committed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_it_was_for() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for (config, purpose) in [
        (HttpConfig::new(address, any), "public API"),
        (HttpConfig::new(any, address), "admin"),
    ] {
        let error = Server::new(&config, Router::new())
            .run(Shutdown::new())
            .await
            .unwrap_err();
        assert!(matches!(error, ServeError::PortTaken { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("failed to listen on {address} ({purpose}): the port is taken")
        );
    }
}
