//! The product service: the catalogue, stock with its sales, and stock that is held for a while.
//!
//! | module | for |
//! |---|---|
//! | `routes` | HTTP: the catalogue and its administration, and the internal reserved-stock API |
//! | `model` | products, sales, stock, and what is wrong with them |
//! | `store` | the schema `product` in Postgres |
//! | `sweeper` | returns expired holds to the free stock |
//! | `migrations/` | the schema, and the functions that decide about stock |
//!
//! Stock is decided by the functions in `migrations/`, in Postgres and nowhere else: the order service calls the same
//! ones inside of its own transaction.
//!
//! Not here: orders, and anything that Redis may speed up.

mod config;
mod migrations;
mod model;
mod routes;
mod store;
mod sweeper;

use shop_common::auth::KeySource;
use shop_common::config::ConfigError;
use shop_common::health::Readiness;
use shop_common::postgres::Postgres;
use shop_common::server::{BoundServer, ServeError, Server, Shutdown};
use shop_common::tasks::Tasks;

pub use config::{Config, InternalConfig, ProductSettings};
pub use migrations::MIGRATIONS;

use routes::{App, InternalCredential};
use store::Store;

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// The configuration, or a secret that it names, cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The OpenAPI documents could not be written out.
    #[error("failed to write the OpenAPI document")]
    Document(#[from] serde_json::Error),
    /// The ports, or signals.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs the service until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), ProductError> {
    let shutdown = Shutdown::on_signals().map_err(ServeError::Signals)?;
    start(&config, &shutdown).await?.serve(shutdown).await;
    Ok(())
}

/// Takes the ports and begins what happens in the background. Postgres may be down: the service is then not ready.
pub async fn start(config: &Config, shutdown: &Shutdown) -> Result<BoundServer, ProductError> {
    let credential = credential(config)?;
    let postgres = Postgres::start(
        &config.postgres,
        &config.instance,
        &MIGRATIONS,
        shutdown.clone(),
    )?;
    let store = Store::new(postgres.pool().clone());
    let app = App {
        store: store.clone(),
        keys: KeySource::start(&config.tokens, shutdown.clone())?,
        tasks: Tasks::new(),
    };
    let readiness = Readiness::builder()
        .postgres(&postgres)
        .keys(&app.keys)
        .build();
    let internal = routes::internal_router(app.clone(), credential)?;
    let server = Server::new(&config.http, routes::public_router(app.clone())?)
        .also("internal API", config.internal.listen, internal)
        .readiness(readiness)
        .tasks(app.tasks)
        .bind()
        .await?;
    sweeper::keep_sweeping(store, postgres, config.product.clone(), shutdown.clone());
    Ok(server)
}

fn credential(config: &Config) -> Result<InternalCredential, ConfigError> {
    let token = config.internal.token_file.read("the internal API")?;
    Ok(InternalCredential::new(&token))
}
