//! What the workers of this process share: settings that never change, and the few things that must be common.

use std::sync::Arc;
use std::time::Duration;

use shop_common::auth::KeySource;

use crate::address::Network;
use crate::limit::Limiter;
use crate::route::Routes;
use crate::settings::{Checked, GatewaySettings, UpstreamSettings};

/// Shared by all workers.
pub(crate) struct Shared {
    pub(crate) gateway: GatewaySettings,
    pub(crate) routes: Routes,
    pub(crate) upstreams: Vec<(String, UpstreamSettings)>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) local_addresses: Vec<Network>,
    pub(crate) drain: Duration,
    pub(crate) keys: KeySource,
    pub(crate) limiter: Arc<Limiter>,
    /// What the gateway answers itself.
    pub(crate) own: axum::Router,
}

impl Shared {
    /// Puts together what the workers share.
    pub(crate) fn new(
        checked: Checked,
        drain: Duration,
        keys: KeySource,
        own: axum::Router,
    ) -> Arc<Self> {
        let limiter = Arc::new(Limiter::new(
            checked.rates,
            checked.gateway.limits.max_callers,
        ));
        Arc::new(Self {
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
}
