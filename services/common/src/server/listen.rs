//! Listeners, and draining them.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Shutdown;
use super::accept::accept;
use crate::config::HttpConfig;
use crate::health::{Readiness, admin_router};
use crate::tasks::Tasks;
use crate::telemetry::metrics_handle;

/// How often samples of histograms are folded into their buckets when nobody asks for metrics.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Why a service could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process listens there.
    #[error("failed to listen on {address} ({purpose}): the port is taken")]
    PortTaken {
        /// Where.
        address: SocketAddr,
        /// For what.
        purpose: &'static str,
    },
    /// The address cannot be listened on.
    #[error("failed to listen on {address} ({purpose}): {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// For what.
        purpose: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("failed to wait for signals: {0}")]
    Signals(io::Error),
}

/// What a service listens on, before it does.
pub struct Server {
    listeners: Vec<(&'static str, SocketAddr, Router)>,
    admin: SocketAddr,
    drain: Duration,
    readiness: Readiness,
    tasks: Tasks,
}

impl Server {
    /// A service that serves `public` (already observed, see [`crate::telemetry::observe`]) on the address of its
    /// configuration, and its admin router beside it.
    pub fn new(config: &HttpConfig, public: Router) -> Self {
        Self {
            listeners: vec![("public API", config.listen, public)],
            admin: config.admin_listen,
            drain: config.drain(),
            readiness: Readiness::default(),
            tasks: Tasks::new(),
        }
    }

    /// What the service depends on.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// Work that the drain waits for.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }

    /// One more listener, such as an internal API.
    #[must_use]
    pub fn also(mut self, purpose: &'static str, address: SocketAddr, routes: Router) -> Self {
        self.listeners.push((purpose, address, routes));
        self
    }

    /// Takes the ports.
    pub async fn bind(self) -> Result<BoundServer, ServeError> {
        let mut listeners = Vec::with_capacity(self.listeners.len());
        for (purpose, address, routes) in self.listeners {
            listeners.push((bind(purpose, address).await?, routes));
        }
        Ok(BoundServer {
            listeners,
            admin: bind("admin", self.admin).await?,
            drain: self.drain,
            readiness: self.readiness,
            tasks: self.tasks,
        })
    }

    /// Takes the ports and serves until the shutdown.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ServeError> {
        self.bind().await?.serve(shutdown).await;
        Ok(())
    }
}

/// A service that has its ports.
pub struct BoundServer {
    listeners: Vec<(TcpListener, Router)>,
    admin: TcpListener,
    drain: Duration,
    readiness: Readiness,
    tasks: Tasks,
}

impl BoundServer {
    /// Where the listeners are, the public one first, then those added with [`Server::also`] in their order.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners
            .iter()
            .map(|(listener, _)| listener.local_addr())
            .collect()
    }

    /// Where the admin router is.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until the shutdown, then drains: not ready and no new connections at once, requests and tasks under
    /// way get their time, the admin router answers until the end.
    pub async fn serve(self, shutdown: Shutdown) {
        let started = Instant::now();
        let ended = Shutdown::new();
        let mut serving = JoinSet::new();
        for (listener, routes) in self.listeners {
            serving.spawn(accept(listener, routes, shutdown.clone()));
        }
        let admin = tokio::spawn(accept(
            self.admin,
            admin_router(self.readiness.clone()),
            ended.clone(),
        ));
        let upkeep = tokio::spawn(fold_metrics());
        tracing::info!("serving");

        shutdown.triggered().await;
        self.readiness.start_draining();
        let deadline = Instant::now() + self.drain;
        let drained = tokio::time::timeout(self.drain, async {
            while serving.join_next().await.is_some() {}
        });
        let requests_cut = drained.await.is_err();
        let tasks_cut = self
            .tasks
            .drain(deadline.saturating_duration_since(Instant::now()))
            .await;
        if requests_cut || tasks_cut > 0 {
            tracing::warn!(requests_cut, tasks_cut, "the drain took longer than it may");
        }
        ended.trigger();
        admin.abort();
        upkeep.abort();
        tracing::info!(seconds = started.elapsed().as_secs(), "ended");
    }
}

async fn bind(purpose: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::PortTaken { address, purpose },
            _ => ServeError::Listen {
                address,
                purpose,
                source,
            },
        })
}

async fn fold_metrics() {
    let mut tick = tokio::time::interval(METRICS_UPKEEP);
    loop {
        tick.tick().await;
        metrics_handle().run_upkeep();
    }
}
