//! Services.

use serde_json::Value;

use super::Readiness;
use crate::cluster::object::{list, text};

/// It has the addresses that its type promises.
pub(super) fn readiness(object: &Value) -> Readiness {
    let kind = text(object, "/spec/type").unwrap_or("ClusterIP");
    if kind != "ExternalName" && text(object, "/spec/clusterIP").is_none_or(str::is_empty) {
        return Readiness::Waiting("it has no address yet".to_owned());
    }
    if kind == "LoadBalancer" && list(object, "/status/loadBalancer/ingress").is_empty() {
        return Readiness::Waiting("no load balancer took it on yet".to_owned());
    }
    Readiness::Ready
}
