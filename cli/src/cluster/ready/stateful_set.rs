//! `StatefulSet`s.

use serde_json::Value;

use super::pod::trouble;
use super::{Readiness, UNOBSERVED, count, is_observed};
use crate::cluster::object::{label, list, number, text};

/// All replicas are of the newest version and ready, and no surplus one is left.
pub(super) fn readiness(object: &Value) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(UNOBSERVED.to_owned());
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let (all, updated, ready) = (
        count(object, "replicas"),
        count(object, "updatedReplicas"),
        count(object, "readyReplicas"),
    );
    // Pods of such a set are replaced when somebody deletes them.
    let by_hand = text(object, "/spec/updateStrategy/type") == Some("OnDelete");
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let to_update = (wanted - partition).max(0);
    if !by_hand && updated < to_update {
        Readiness::Waiting(format!(
            "{updated} of {to_update} pods are of the new version, {ready} of {wanted} are ready"
        ))
    } else if ready < wanted {
        Readiness::Waiting(format!("{ready} of {wanted} pods are ready"))
    } else if all > wanted {
        Readiness::Waiting(format!("{} surplus pods are not gone yet", all - wanted))
    } else {
        Readiness::Ready
    }
}

/// Pods of a set that hold up its rollout for ever: they are of an older version and cannot start, and the set waits
/// for them before it replaces any (kubernetes/kubernetes#67250). Deleting them loses nothing, since they do not run.
pub(in crate::cluster) fn stuck_pods<'a>(set: &Value, pods: &'a [Value]) -> Vec<&'a Value> {
    let Some(newest) = text(set, "/status/updateRevision").filter(|_| is_observed(set)) else {
        return Vec::new();
    };
    let uid = text(set, "/metadata/uid");
    pods.iter()
        .filter(|pod| {
            list(pod, "/metadata/ownerReferences")
                .iter()
                .any(|owner| text(owner, "/uid") == uid)
        })
        .filter(|pod| text(pod, "/metadata/deletionTimestamp").is_none())
        .filter(|pod| label(pod, "controller-revision-hash").is_some_and(|of| of != newest))
        .filter(|pod| trouble(pod).is_some_and(|trouble| trouble.is_stuck))
        .collect()
}
