//! What the workers of this process share: settings that never change, and the few things that must be common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shop_common::auth::KeySource;

use crate::address::Network;
use crate::limit::Limiter;
use crate::open::Open;
use crate::route::Routes;
use crate::settings::{Checked, GatewaySettings, UpstreamSettings};

/// Shared by all workers.
pub(crate) struct Shared {
    pub(crate) gateway: GatewaySettings,
    pub(crate) routes: Routes,
    pub(crate) upstreams: Vec<(String, UpstreamSettings)>,
    /// What of the upstreams is for everybody, in their order.
    pub(crate) open: Vec<Open>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) local_addresses: Vec<Network>,
    pub(crate) drain: Duration,
    pub(crate) keys: KeySource,
    pub(crate) limiter: Arc<Limiter>,
    /// The upstreams' circuits, in their order.
    pub(crate) circuits: Vec<Circuits>,
    /// What the gateway answers itself.
    pub(crate) own: axum::Router,
}

impl Shared {
    /// Puts together what the workers share.
    pub(crate) fn new(
        checked: Checked,
        workers: usize,
        drain: Duration,
        keys: KeySource,
        own: axum::Router,
    ) -> Arc<Self> {
        let limiter = Arc::new(Limiter::new(
            checked.rates,
            checked.gateway.limits.max_callers,
        ));
        Arc::new(Self {
            circuits: checked
                .upstreams
                .iter()
                .map(|(_, it)| Circuits::new(it.endpoints.len() * workers))
                .collect(),
            open: checked
                .upstreams
                .iter()
                .map(|(name, it)| it.open(name))
                .collect(),
            gateway: checked.gateway,
            routes: checked.routes,
            upstreams: checked.upstreams,
            trusted_proxies: checked.trusted_proxies,
            local_addresses: checked.local_addresses,
            drain,
            keys,
            limiter,
            own,
        })
    }

    /// For readiness: which services could be asked now, or which could not.
    pub(crate) fn reachable(&self) -> Result<String, String> {
        let names = |reachable: bool| {
            let named = self.upstreams.iter().zip(&self.circuits);
            let wanted = named.filter(|(_, circuits)| circuits.any_closed() == reachable);
            wanted
                .map(|((name, _), _)| name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match names(false) {
            none if none.is_empty() => Ok(format!("requests go to {}", names(true))),
            some => Err(format!("no endpoint answers of {some}")),
        }
    }
}

/// The circuits to one upstream's endpoints, counted over all workers.
#[derive(Debug, Clone)]
pub(crate) struct Circuits {
    open: Arc<AtomicUsize>,
    all: usize,
}

impl Circuits {
    /// All of them closed.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            open: Arc::default(),
            all,
        }
    }

    /// One opened.
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// One closed again.
    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn any_closed(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.all
    }
}
