//! Pods, and what is wrong with one.

use serde_json::Value;

use super::{Readiness, condition};
use crate::cluster::object::{list, number, text};

/// What is wrong with a pod that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTrouble {
    /// The pod.
    pub pod: String,
    /// The container that is to blame, if one is.
    pub container: Option<String>,
    /// What is wrong: "`ImagePullBackOff`: Back-off pulling image …".
    pub reason: String,
    /// It does not run, and nothing that it does itself changes that: another version has to replace it.
    pub is_stuck: bool,
    /// Not even time changes that, as with an image that nobody has.
    pub is_hopeless: bool,
    /// What it wrote before is worth reading: it ran and ended.
    pub has_ended: bool,
}

impl PodTrouble {
    /// Whether it ended so often that it is started again only after a while, which becomes five minutes.
    pub(in crate::cluster) fn is_resting(&self) -> bool {
        self.has_ended && self.is_hopeless && self.reason.starts_with("CrashLoopBackOff")
    }
}

/// A container waits for these for ever, or as good as.
const HOPELESS: &[&str] = &[
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// Who ended so often at once will end again.
const MOST_RESTARTS: i64 = 3;
/// What a program ends with that wants to be started again later (`EX_TEMPFAIL`).
const TRY_AGAIN: i64 = 75;

/// It is ready, or has done what it was made for.
pub(super) fn readiness(object: &Value) -> Readiness {
    if text(object, "/status/phase") == Some("Succeeded") || is_ready(object) {
        return Readiness::Ready;
    }
    Readiness::Waiting(
        trouble(object).map_or_else(|| "it is not ready yet".to_owned(), |found| found.reason),
    )
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.is_true)
}

/// What is wrong with a pod; none if it is ready, done or going.
pub fn trouble(pod: &Value) -> Option<PodTrouble> {
    let done = text(pod, "/status/phase") == Some("Succeeded");
    if done || is_ready(pod) || text(pod, "/metadata/deletionTimestamp").is_some() {
        return None;
    }
    let found = |container: Option<&str>, reason: String| PodTrouble {
        pod: text(pod, "/metadata/name").unwrap_or_default().to_owned(),
        container: container.map(str::to_owned),
        reason,
        is_stuck: false,
        is_hopeless: false,
        has_ended: false,
    };
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    for status in statuses.iter().flat_map(|field| list(pod, field)) {
        let name = text(status, "/name");
        if let Some(reason) = text(status, "/state/waiting/reason") {
            if ["ContainerCreating", "PodInitializing"].contains(&reason) {
                continue;
            }
            let words = with_message(reason, text(status, "/state/waiting/message"));
            let last = ended(status, "/lastState/terminated");
            return Some(PodTrouble {
                is_stuck: true,
                is_hopeless: HOPELESS.contains(&reason) || keeps_ending(status),
                has_ended: last.is_some(),
                ..found(
                    name,
                    last.map_or(words.clone(), |last| format!("{words}; {last}")),
                )
            });
        }
        let restarting = number(status, "/restartCount").unwrap_or(0) > 0;
        if let Some(end) = ended(status, "/state/terminated") {
            return Some(PodTrouble {
                has_ended: true,
                is_stuck: true,
                ..found(name, end)
            });
        }
        if restarting && status.get("ready") == Some(&Value::Bool(false)) {
            let last = ended(status, "/lastState/terminated")
                .unwrap_or_else(|| "it was restarted".to_owned());
            return Some(PodTrouble {
                has_ended: true,
                ..found(name, format!("it runs again and is not ready; {last}"))
            });
        }
    }
    let scheduled = condition(pod, "PodScheduled");
    if let Some(scheduled) = scheduled.filter(|scheduled| scheduled.is_false) {
        return Some(PodTrouble {
            is_stuck: true,
            ..found(None, scheduled.words())
        });
    }
    let unready = list(pod, "/status/containerStatuses")
        .iter()
        .find(|status| status.get("ready") == Some(&Value::Bool(false)))
        .and_then(|status| text(status, "/name"));
    let phase = text(pod, "/status/phase").unwrap_or("Unknown");
    Some(found(
        unready,
        match phase {
            "Running" => "it runs and is not ready".to_owned(),
            "Pending" => "its containers are being made".to_owned(),
            other => with_message(other, text(pod, "/status/message")),
        },
    ))
}

/// Whether a container ended again and again without having been ready. One that ends with `TRY_AGAIN` waits for
/// somebody else.
fn keeps_ending(status: &Value) -> bool {
    number(status, "/restartCount").unwrap_or(0) >= MOST_RESTARTS
        && number(status, "/lastState/terminated/exitCode") != Some(TRY_AGAIN)
}

/// How a container ended that did not end well.
fn ended(status: &Value, pointer: &str) -> Option<String> {
    let end = status.pointer(pointer)?;
    let code = number(end, "/exitCode").unwrap_or(0);
    let reason = text(end, "/reason").unwrap_or("Error");
    if code == 0 && reason == "Completed" {
        return None;
    }
    let words = format!("it ended with {code} ({reason})");
    let message = text(end, "/message").map(|message| last_line(message).to_owned());
    Some(message.map_or(words.clone(), |message| format!("{words}: {message}")))
}

fn with_message(reason: &str, message: Option<&str>) -> String {
    message.map_or_else(
        || reason.to_owned(),
        |message| format!("{reason}: {}", message.trim()),
    )
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or_default()
}
