//! Jobs.

use serde_json::Value;

use super::{Readiness, condition, count};

/// It is done.
pub(super) fn readiness(object: &Value) -> Readiness {
    if condition(object, "Complete").is_some_and(|complete| complete.is_true) {
        return Readiness::Ready;
    }
    for kind in ["Failed", "FailureTarget"] {
        if let Some(failed) = condition(object, kind).filter(|failed| failed.is_true) {
            return Readiness::Failed(failed.words());
        }
    }
    let (active, failed) = (count(object, "active"), count(object, "failed"));
    Readiness::Waiting(match (active, failed) {
        (0, 0) => "it has not begun".to_owned(),
        (_, 0) => "it is not done yet".to_owned(),
        (_, failed) => format!("it is not done yet, after {failed} tries that failed"),
    })
}
