//! Accepting connections, and letting go of them without losing a request.
//!
//! axum's own loop closes its listener with whatever still waits in it, and lets a caller take for ever to send a
//! request's head; this one does neither.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::Shutdown;

/// How long a caller may take to send a request's head, on a new connection or on a kept one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection on which nothing has been read yet is closed at once, so requests that are on their way get this long
/// to arrive.
const ARRIVING: Duration = Duration::from_millis(50);
/// How long to wait when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

/// Serves until the shutdown. Then takes what waits already, accepts nothing more, and returns when every request
/// under way has been answered.
pub(super) async fn accept(listener: TcpListener, routes: Router, shutdown: Shutdown) {
    let connections = GracefulShutdown::new();
    while let Some(accepted) = shutdown.or_until(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => serve(stream, &routes, &shutdown, &connections),
            Err(error) => pause_after(&error).await,
        }
    }
    for stream in waiting_in(listener) {
        serve(stream, &routes, &shutdown, &connections);
    }
    tokio::time::sleep(ARRIVING).await;
    connections.shutdown().await;
}

/// Closes a listener and gives the connections that waited in it: the kernel has accepted them for us and would
/// reset them. Asked of the kernel itself, as the runtime may not have heard of them yet.
fn waiting_in(listener: TcpListener) -> Vec<TcpStream> {
    let listener = match listener.into_std() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "connections that waited are lost");
            return Vec::new();
        }
    };
    std::iter::from_fn(|| {
        let (stream, _) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    })
    .collect()
}

fn serve(stream: TcpStream, routes: &Router, shutdown: &Shutdown, connections: &GracefulShutdown) {
    // Small answers must not wait for the caller's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection kept its delay");
    }
    let (routes, shutdown) = (routes.clone(), shutdown.clone());
    let service = service_fn(move |request| {
        let (routes, shutdown) = (routes.clone(), shutdown.clone());
        async move {
            let mut response = routes.oneshot(request).await?;
            if shutdown.is_triggered() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
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
