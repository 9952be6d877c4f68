//! Kinds that need only a few words.

use serde_json::Value;

use super::{Readiness, UNOBSERVED, count, is_observed};
use crate::cluster::object::text;

/// It runs on every node that it is for, in its newest version.
pub(super) fn daemon_set(object: &Value) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(UNOBSERVED.to_owned());
    }
    let wanted = count(object, "desiredNumberScheduled");
    let (updated, available) = (
        count(object, "updatedNumberScheduled"),
        count(object, "numberAvailable"),
    );
    if updated >= wanted && available >= wanted {
        return Readiness::Ready;
    }
    Readiness::Waiting(format!(
        "{updated} of {wanted} pods are of the new version, {available} are ready"
    ))
}

/// It takes objects.
pub(super) fn namespace(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        Some("Active") => Readiness::Ready,
        Some("Terminating") => Readiness::Waiting("it is being deleted".to_owned()),
        _ => Readiness::Waiting(UNOBSERVED.to_owned()),
    }
}

/// A condition holds.
pub(super) fn condition(object: &Value, kind: &str) -> Readiness {
    match super::condition(object, kind) {
        Some(found) if found.is_true => Readiness::Ready,
        Some(found) => Readiness::Waiting(found.words()),
        None => Readiness::Waiting(UNOBSERVED.to_owned()),
    }
}
