//! Whether an object is what it is wanted to be, a file a kind. Pure.

mod claim;
mod deployment;
mod job;
mod others;
mod pod;
mod service;
mod stateful_set;

use serde_json::Value;

pub use pod::{PodTrouble, trouble};
pub(super) use stateful_set::stuck_pods;

use super::object::{number, text};

/// How far an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is as it is wanted.
    Ready,
    /// Not yet; what is missing.
    Waiting(String),
    /// It will not get there by itself; why.
    Failed(String),
}

/// How far an object is.
pub fn readiness(object: &Value) -> Readiness {
    match text(object, "/kind").unwrap_or_default() {
        "Deployment" => deployment::readiness(object),
        "StatefulSet" => stateful_set::readiness(object),
        "DaemonSet" => others::daemon_set(object),
        "Job" => job::readiness(object),
        "PersistentVolumeClaim" => claim::readiness(object),
        "Service" => service::readiness(object),
        "Namespace" => others::namespace(object),
        "CustomResourceDefinition" => others::condition(object, "Established"),
        "APIService" => others::condition(object, "Available"),
        "Pod" => pod::readiness(object),
        // The rest is what it is as soon as it is there. An Ingress has no state that every controller keeps: whether
        // it serves is what the smoke test shows.
        _ => Readiness::Ready,
    }
}

/// Whether a kind has anything to wait for.
pub fn is_awaited(kind: &str) -> bool {
    [
        "APIService",
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "Job",
        "Namespace",
        "PersistentVolumeClaim",
        "Service",
        "StatefulSet",
    ]
    .contains(&kind)
}

/// Whether the controller has seen the newest version of an object. Before that its status is about another one.
fn is_observed(object: &Value) -> bool {
    let generation = number(object, "/metadata/generation").unwrap_or(0);
    number(object, "/status/observedGeneration").is_some_and(|seen| seen >= generation)
}

const UNOBSERVED: &str = "the cluster has not looked at it yet";

/// A condition of an object: its status, reason and message.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    super::object::list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == Some(kind))
        .map(|condition| Condition {
            is_true: text(condition, "/status") == Some("True"),
            is_false: text(condition, "/status") == Some("False"),
            reason: text(condition, "/reason").unwrap_or_default(),
            message: text(condition, "/message").unwrap_or_default(),
        })
}

struct Condition<'a> {
    is_true: bool,
    is_false: bool,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    /// Reason and message in one.
    fn words(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => "no reason is given".to_owned(),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// A number of the status, 0 if it is not there.
fn count(object: &Value, field: &str) -> i64 {
    object
        .get("status")
        .and_then(|status| status.get(field))
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
