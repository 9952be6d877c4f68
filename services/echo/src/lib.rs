//! echo: returns what it got, so that one sees what the gateway let through, and nothing at all on `/null`, so that
//! the way there can be measured.
//!
//! Keeps nothing and depends on nothing.

mod config;
mod routes;

pub use config::{Config, EchoSettings};
pub use routes::{EchoAnswer, openapi, router};

use shop_common::server::{ServeError, Server, Shutdown};
use shop_common::telemetry::observe;

/// Why echo ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// The OpenAPI document cannot be written.
    #[error("failed to write the OpenAPI document: {0}")]
    OpenApi(#[from] serde_json::Error),
    /// It cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs echo until it is told to end.
pub async fn run(config: Config) -> Result<(), EchoError> {
    let shutdown = Shutdown::on_signals().map_err(ServeError::Signals)?;
    let routes = observe(router(&config)?);
    Server::new(&config.http, routes).run(shutdown).await?;
    Ok(())
}
