//! Accepting connections, and letting go of them without losing a request.
//!
//! axum's own loop closes its listener with whatever still waits in it, and lets a caller take for ever to send a
//! request's head; this one does neither.

use std::io;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::Shutdown;

/// How long a caller may take to send a request's head, on a new connection or on a kept one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

/// Serves until the shutdown. Then takes what waits already, accepts nothing more, and returns when every request
/// under way has been answered.
pub(super) async fn accept(listener: TcpListener, routes: Router, shutdown: Shutdown) {
    let connections = GracefulShutdown::new();
    while let Some(accepted) = shutdown.or_until(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => serve(stream, &routes, &connections),
            Err(error) => pause_after(&error).await,
        }
    }
    // What the kernel has accepted for us would be reset together with the listener.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        serve(stream, &routes, &connections);
    }
    drop(listener);
    connections.shutdown().await;
}

fn serve(stream: TcpStream, routes: &Router, connections: &GracefulShutdown) {
    // Small answers must not wait for the caller's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection kept its delay");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(routes.clone()),
        );
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Callers go away, time out and send nonsense all the time.
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

/// A connection that went away before it was accepted is no trouble; being out of file descriptors is.
async fn pause_after(error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        return;
    }
    tracing::warn!(%error, "failed to accept a connection");
    tokio::time::sleep(OUT_OF_FILES).await;
}
