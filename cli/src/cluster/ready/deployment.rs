//! Deployments.

use serde_json::Value;

use super::{Readiness, UNOBSERVED, condition, count, is_observed};
use crate::cluster::object::number;

/// All replicas are of the newest version and can serve, and none of an older one is left.
pub(super) fn readiness(object: &Value) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(UNOBSERVED.to_owned());
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let (all, updated, available) = (
        count(object, "replicas"),
        count(object, "updatedReplicas"),
        count(object, "availableReplicas"),
    );
    if updated >= wanted && all <= updated && available >= wanted {
        return Readiness::Ready;
    }
    if let Some(progressing) = condition(object, "Progressing")
        && progressing.is_false
        && progressing.reason == "ProgressDeadlineExceeded"
    {
        return Readiness::Failed(progressing.words());
    }
    // As a rule of the namespace forbids its pods, or a quota is used up.
    if let Some(refused) = condition(object, "ReplicaFailure")
        && refused.is_true
    {
        return Readiness::Failed(refused.words());
    }
    Readiness::Waiting(if updated < wanted {
        format!("{updated} of {wanted} pods are of the new version")
    } else if available < wanted {
        format!("{available} of {wanted} pods are ready")
    } else {
        format!(
            "{} pods of an older version are not gone yet",
            all - updated
        )
    })
}
