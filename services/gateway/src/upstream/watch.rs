//! Looks after a worker's endpoints: finds those that hang, and sees when broken ones are back.
//!
//! A slow endpoint answers something now and then; a stopped process answers nothing at all. So an endpoint that
//! owes answers and is silent is asked for a sign of life on a new connection. Only if that fails too does it hang.

use std::rc::Rc;
use std::time::Instant;

use super::choice::Upstream;
use super::endpoint::Endpoint;

/// Probes that the only endpoint left must miss in a row before it is given up: there is nothing to gain by haste.
const LAST_RESORT_PROBES: u32 = 4;

/// One round over all endpoints of a worker. Probes run on as tasks of their own.
pub(crate) fn watch(upstreams: &Rc<Vec<Upstream>>, now: Instant) {
    for (place, upstream) in upstreams.iter().enumerate() {
        for endpoint in upstream.endpoints() {
            endpoint.close_idle(now);
            if endpoint.is_due(now) {
                let endpoint = Rc::clone(endpoint);
                tokio::task::spawn_local(async move {
                    if endpoint.probe().await {
                        endpoint.revived();
                    }
                });
            } else if endpoint.is_available() && endpoint.is_suspicious(now) {
                let (upstreams, endpoint) = (Rc::clone(upstreams), Rc::clone(endpoint));
                tokio::task::spawn_local(
                    async move { suspect(&upstreams[place], &endpoint).await },
                );
            }
        }
    }
}

async fn suspect(upstream: &Upstream, endpoint: &Rc<Endpoint>) {
    for _ in 0..LAST_RESORT_PROBES {
        if endpoint.probe().await || !endpoint.is_available() || endpoint.owed() == 0 {
            return;
        }
        if upstream.has_other(endpoint) {
            break;
        }
    }
    tracing::warn!(
        upstream = upstream.name(),
        endpoint = endpoint.name(),
        owed = endpoint.owed(),
        "an endpoint hangs: it owes answers and gives no sign of life"
    );
    endpoint.cut(Instant::now());
}
