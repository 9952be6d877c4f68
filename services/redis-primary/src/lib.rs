//! redis-primary: leads connections to the Redis that is the master, also right after a switch.
//!
//! A Service of Kubernetes chooses pods by labels, and a label that follows the master would be as late as whoever sets
//! it, who would need a token to do so. This follows the Sentinels instead, asks the master itself, and passes bytes on.
//! When the master moves, every connection is closed: its client connects anew and is led to the new one. Nobody is
//! known by name here, so clients log in as they would at Redis itself.

mod config;
mod forward;

pub use config::{Config, ForwardSettings};

use std::io;

use axum::Router;
use shop_common::health::Readiness;
use shop_common::redis::MasterWatch;
use shop_common::server::{ServeError, Server, Shutdown};
use tokio::net::TcpListener;

/// Why redis-primary ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RedisPrimaryError {
    /// Clients cannot be taken.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its admin router cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs redis-primary until it is told to end.
pub async fn run(config: Config) -> Result<(), RedisPrimaryError> {
    let shutdown = Shutdown::on_signals().map_err(ServeError::Signals)?;
    let master = MasterWatch::start(&config.redis, shutdown.clone());
    let address = config.forward.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RedisPrimaryError::Listen { address, source })?;
    let seen = master.clone();
    let readiness = Readiness::builder()
        .requires("redis", move || {
            let seen = seen.now();
            async move { seen.map(|address| format!("the master is {address}")) }
        })
        .build();
    let forwarding = tokio::spawn(forward::run(
        listener,
        master,
        config.forward,
        shutdown.clone(),
    ));
    // It has no HTTP API of its own; the admin router is what probes ask.
    Server::new(&config.http, Router::new())
        .readiness(readiness)
        .run(shutdown)
        .await?;
    forwarding.abort();
    Ok(())
}
