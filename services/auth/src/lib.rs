//! The auth service: accounts, logins, sessions that go on with rotating refresh tokens, and the public keys that
//! verify the access tokens it issues.
//!
//! | module | for |
//! |---|---|
//! | `routes` | HTTP: what is taken and answered |
//! | `service` | what a registration, a login, a refresh mean |
//! | `store` | accounts, sessions and refresh tokens in Postgres |
//! | `hashing`, `password` | Argon2id, on bounded threads behind a bounded queue |
//! | `attempts` | how often one address may be tried |
//! | `keys`, `admin`, `config` | what the configuration brings along |
//! | `background` | what is done without being asked |
//! | `measures` | what is counted, by name |
//!
//! Not here: signing and verifying (`shop-token`), what access tokens allow elsewhere, e-mail, and resetting
//! passwords. An access token cannot be withdrawn: it is good until it expires, everywhere.

mod admin;
mod attempts;
mod background;
mod config;
mod email;
mod hashing;
mod keys;
mod measures;
mod password;
mod refresh_token;
mod routes;
mod service;
mod store;

use std::future::ready;
use std::time::Duration;

use shop_common::auth::KeySource;
use shop_common::config::ConfigError;
use shop_common::health::Readiness;
use shop_common::postgres::Postgres;
use shop_common::server::{BoundServer, ServeError, Server, Shutdown};
use shop_common::telemetry::metrics_handle;

pub use config::{AdminConfig, AuthSettings, Config, SigningConfig};
pub use keys::KeysError;
pub use store::MIGRATIONS;

use admin::Admin;
use keys::Keys;
use routes::{App, PublishedKeys};
use service::Auth;

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The configuration, or a secret that it names, cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A setting of `[auth]` cannot be used.
    #[error("failed to use the settings in [auth]: {0}")]
    Settings(String),
    /// The OpenAPI document could not be written out.
    #[error("failed to write the OpenAPI document")]
    Document(#[from] serde_json::Error),
    /// The ports, or signals.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs the service until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), AuthError> {
    let shutdown = Shutdown::on_signals().map_err(ServeError::Signals)?;
    start(&config, &shutdown).await?.serve(shutdown).await;
    Ok(())
}

/// Takes the ports and begins what happens in the background. Postgres may be down: the service is then not ready.
pub async fn start(config: &Config, shutdown: &Shutdown) -> Result<BoundServer, AuthError> {
    let keys = Keys::load(&config.signing, &config.tokens)?;
    let admin = config.admin.as_ref().map(Admin::load).transpose()?;
    // Installs the recorder, so that what is described and counted from here on is not lost.
    metrics_handle();
    measures::describe();
    let postgres = Postgres::start(
        &config.postgres,
        &config.instance,
        &store::MIGRATIONS,
        shutdown.clone(),
    )?;
    let auth = Auth::new(postgres.pool().clone(), keys.issuer, &config.auth)
        .map_err(|error| AuthError::Settings(error.to_string()))?;
    let app = App {
        auth: auth.clone(),
        keys: KeySource::fixed(&keys.published, &config.tokens),
        published: PublishedKeys::new(&keys.published),
    };
    let limit = Duration::from_millis(config.auth.request_timeout_milliseconds);
    let server = Server::new(&config.http, routes::router(app, limit)?);

    let every = Duration::from_secs(config.auth.sweep_seconds.max(1));
    let sessions = auth.sessions.clone();
    background::keep_sweeping(sessions, postgres.clone(), every, shutdown.clone());
    let mut readiness = Readiness::builder().postgres(&postgres);
    if let Some(admin) = admin {
        let progress = background::ensure_admin(admin, auth, postgres, shutdown.clone());
        readiness = readiness.uses("admin-account", move || ready(progress.check()));
    }
    Ok(server.readiness(readiness.build()).bind().await?)
}
