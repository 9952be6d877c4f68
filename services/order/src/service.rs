//! Puts the service together and runs it.

use std::time::Duration;

use shop_common::auth::KeySource;
use shop_common::config::ConfigError;
use shop_common::health::Readiness;
use shop_common::postgres::{Logins, Postgres};
use shop_common::redis::Redis;
use shop_common::server::{ServeError, Server, Shutdown};
use shop_common::tasks::Tasks;
use shop_common::telemetry::observe;
use sqlx::PgPool;

use crate::batcher::Batcher;
use crate::config::Config;
use crate::http::{Shop, router};
use crate::sale_lock::SaleLocks;
use crate::sales::Sales;
use crate::store::{self, PostgresDecider};

/// Why the service ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration names something that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The OpenAPI document cannot be written.
    #[error("failed to write the OpenAPI document: {0}")]
    OpenApi(#[from] serde_json::Error),
    /// It cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs the service until it is told to end: then requests under way get their answers, what waits for a decision is
/// decided, and locks are released.
pub async fn run(config: Config) -> Result<(), RunError> {
    let shutdown = Shutdown::on_signals().map_err(ServeError::Signals)?;
    let settings = config.order;
    let tasks = Tasks::new();

    let keys = KeySource::start(&config.tokens, shutdown.clone())?;
    let postgres = Postgres::start(
        &config.postgres,
        &config.instance,
        &store::MIGRATIONS,
        shutdown.clone(),
    )?;
    let redis = Redis::start(&config.redis, shutdown.clone());
    let readiness = readiness(&postgres, &keys, &redis);

    // Nobody waits for a decision for longer than this, so Postgres need not work on one for longer either: what it has
    // not committed by then it takes back, with its locks.
    let patience = settings.batcher().patience.as_millis().to_string();
    let logins = Logins::read(&config.postgres, &config.instance)?
        .map(|options| options.options([("statement_timeout", patience.as_str())]));
    let (batcher, deciding) =
        Batcher::new(settings.batcher(), || PostgresDecider::new(logins.clone()));
    let (locks, releasing) = SaleLocks::new(redis, settings.lock_lifetime());
    let (sales, asking) = Sales::new(postgres.pool().clone());
    // These end by themselves when the routes, which are their last users, are gone.
    tasks.spawn(deciding);
    tasks.spawn(releasing);
    tasks.spawn(asking);

    let sweeping = shutdown.clone();
    let pool = postgres.pool().clone();
    tokio::spawn(async move {
        let sweeps = sweep_for_ever(pool, settings.key_retention(), settings.sweep_interval());
        sweeping.or_until(sweeps).await
    });

    let routes = router(Shop {
        keys,
        batcher,
        pool: postgres.pool().clone(),
        sales,
        locks,
        maximum_quantity: settings.maximum_quantity.get(),
    })?;
    Server::new(&config.http, observe(routes))
        .readiness(readiness)
        .tasks(tasks)
        .run(shutdown)
        .await?;
    Ok(())
}

fn readiness(postgres: &Postgres, keys: &KeySource, redis: &Redis) -> Readiness {
    let pool = postgres.pool().clone();
    Readiness::builder()
        .postgres(postgres)
        .requires("product-contract", move || {
            let pool = pool.clone();
            async move { store::check_product_contract(&pool).await }
        })
        .keys(keys)
        .redis(redis)
        .build()
}

/// Sweeps expired keys, at moments of its own in each replica.
async fn sweep_for_ever(pool: PgPool, retention: Duration, interval: Duration) {
    loop {
        tokio::time::sleep(interval.mul_f64(rand::random_range(0.5..=1.0))).await;
        match store::sweep(&pool, retention).await {
            Ok(0) => {}
            Ok(keys) => {
                metrics::counter!("shop_order_keys_swept_total").increment(keys);
                tracing::debug!(keys, "expired keys swept");
            }
            Err(error) => tracing::warn!(%error, "failed to sweep expired keys"),
        }
    }
}
