//! The gateway's life: bind, serve, drain, end. The control side (admin port, keys, reconciliation) runs on the
//! runtime of the caller, the data path on the workers' threads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shop_common::auth::KeySource;
use shop_common::config::ConfigError;
use shop_common::health::{Readiness, admin_router};
use shop_common::redis::Redis;
use shop_common::server::Shutdown;
use shop_common::telemetry::metrics_handle;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::client::{ListenError, bind_all};
use crate::config::Config;
use crate::figures::describe;
use crate::limit::keep_sharing;
use crate::settings::{SettingsError, milliseconds};
use crate::shared::Shared;
use crate::{own, worker};

/// How often idle callers are forgotten and histograms folded.
const UPKEEP: Duration = Duration::from_secs(1);

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The configuration is not usable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The configuration's keys or secrets are not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is not free.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The gateway cannot describe itself.
    #[error("failed to write the OpenAPI document")]
    Document(#[from] serde_json::Error),
    /// The system refuses threads, signals or the like.
    #[error("failed to start the gateway's threads")]
    Start(#[source] io::Error),
    /// A worker ended early.
    #[error("failed to keep a worker running")]
    Worker(#[source] io::Error),
}

/// A gateway that has its ports.
pub struct Gateway {
    address: SocketAddr,
    admin_address: SocketAddr,
    listeners: Vec<std::net::TcpListener>,
    admin: TcpListener,
    shared: Arc<Shared>,
    redis: Option<Redis>,
    readiness: Readiness,
    shutdown: Shutdown,
}

/// Runs a gateway until it is asked to end.
pub fn run(config: Config) -> Result<(), GatewayError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(GatewayError::Start)?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(GatewayError::Start)?;
        Gateway::bind(config, shutdown).await?.serve().await
    })
}

impl Gateway {
    /// Checks the configuration and takes the ports.
    pub async fn bind(config: Config, shutdown: Shutdown) -> Result<Self, GatewayError> {
        let checked = config.check()?;
        metrics_handle();
        describe();
        let keys = KeySource::start(&config.tokens, shutdown.clone())?;
        let names: Vec<&str> = checked
            .upstreams
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let own = own::router(config.instance.as_str(), &checked.routes, &names)?;
        let workers = config.http.worker_threads();
        let shared = Shared::new(checked, workers, config.http.drain(), keys.clone(), own);

        let (address, listeners) = bind_all(config.http.listen, workers)?;
        let admin_address = config.http.admin_listen;
        let failed = |source| ListenError {
            address: admin_address,
            source,
        };
        let admin = TcpListener::bind(admin_address).await.map_err(failed)?;
        let admin_address = admin.local_addr().map_err(failed)?;
        let redis = config
            .redis
            .as_ref()
            .map(|redis| Redis::start(redis, shutdown.clone()));
        let reachable = Arc::clone(&shared);
        let readiness = Readiness::builder().keys(&keys).uses("upstreams", move || {
            std::future::ready(reachable.reachable())
        });
        let readiness = match &redis {
            Some(redis) => readiness.redis(redis),
            None => readiness,
        };
        let readiness = readiness.build();
        Ok(Self {
            address,
            admin_address,
            listeners,
            admin,
            shared,
            redis,
            readiness,
            shutdown,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/healthz`, `/readyz` and `/metrics` are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until the shutdown, then drains: not ready, no new connections, and answers that say goodbye.
    pub async fn serve(self) -> Result<(), GatewayError> {
        let (stop, stopped) = watch::channel(false);
        let mut workers = Vec::new();
        for (index, listener) in self.listeners.into_iter().enumerate() {
            let worker = worker::spawn(index, Arc::clone(&self.shared), listener, stopped.clone());
            workers.push(worker.map_err(GatewayError::Start)?);
        }
        let admin = tokio::spawn(
            axum::serve(self.admin, admin_router(self.readiness.clone())).into_future(),
        );
        let upkeep = tokio::spawn(keep_up(Arc::clone(&self.shared)));
        let sharing = self.redis.map(|redis| {
            let pause = milliseconds(self.shared.gateway.limits.share_milliseconds);
            tokio::spawn(keep_sharing(Arc::clone(&self.shared.limiter), redis, pause))
        });
        tracing::info!(address = %self.address, workers = workers.len(), "serving");

        self.shutdown.triggered().await;
        self.readiness.start_draining();
        stop.send_replace(true);
        let outcome = tokio::task::spawn_blocking(move || join(workers)).await;
        admin.abort();
        upkeep.abort();
        if let Some(sharing) = sharing {
            sharing.abort();
        }
        tracing::info!("ended");
        outcome.map_err(|error| GatewayError::Worker(io::Error::other(error)))?
    }
}

fn join(workers: Vec<std::thread::JoinHandle<io::Result<()>>>) -> Result<(), GatewayError> {
    for worker in workers {
        let outcome = worker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
        outcome.map_err(GatewayError::Worker)?;
    }
    Ok(())
}

async fn keep_up(shared: Arc<Shared>) {
    let callers = metrics::gauge!("gateway_limited_callers");
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        shared.limiter.sweep(Instant::now());
        callers.set(shared.limiter.len() as f64);
        metrics_handle().run_upkeep();
    }
}
