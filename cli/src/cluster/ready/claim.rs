//! Claims of volumes.

use serde_json::Value;

use super::Readiness;
use crate::cluster::object::text;

/// It has its volume.
pub(super) fn readiness(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        Some("Bound") => Readiness::Ready,
        Some("Lost") => Readiness::Failed("its volume is gone, and the data with it".to_owned()),
        phase => Readiness::Waiting(format!(
            "it has no volume yet ({})",
            phase.unwrap_or("Pending")
        )),
    }
}
