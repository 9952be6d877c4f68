//! What to say of an object that did not become ready: its condition, its pods, what the cluster noted and what the
//! pods wrote last.

use std::time::Duration;

use serde_json::Value;

use super::connect::Cluster;
use super::diff::Mask;
use super::object::{ObjectKey, text};
use super::pods::{LogReading, is_of, notes, read_log};
use super::ready::{PodTrouble, trouble};

/// How many lines of a log are shown.
const LINES: u32 = 8;
/// How many pods are told of; the others of an object are like them.
const PODS: usize = 3;

/// An object that did not become ready, and all that tells why.
#[derive(Clone, Debug)]
pub struct Late {
    /// The object.
    pub object: ObjectKey,
    /// What was missing when it was looked at last.
    pub reason: String,
    /// How long was waited.
    pub waited: Duration,
    /// Whether waiting longer would have changed nothing.
    pub hopeless: bool,
    /// What is wrong with its pods.
    pub pods: Vec<PodTrouble>,
    /// What the cluster noted, the newest last.
    pub notes: Vec<String>,
    /// The last lines of its pods, by pod.
    pub logs: Vec<(String, Vec<String>)>,
    /// The other objects that are not ready either.
    pub others: Vec<String>,
}

impl Late {
    /// It in one line.
    pub fn summary(&self) -> String {
        let pod = self.pods.first().map_or_else(String::new, |trouble| {
            format!("; {}: {}", trouble.pod, trouble.reason)
        });
        let when = if self.hopeless {
            "and that does not change by waiting".to_owned()
        } else {
            format!("after {} s", self.waited.as_secs())
        };
        format!("{}{pod}, {when}", self.reason)
    }

    /// All that is known, a line each.
    pub fn causes(&self) -> Vec<String> {
        let pods = self
            .pods
            .iter()
            .skip(1)
            .map(|trouble| format!("{}: {}", trouble.pod, trouble.reason));
        let notes = self.notes.iter().map(|note| format!("noted: {note}"));
        let logs = self
            .logs
            .iter()
            .flat_map(|(pod, lines)| lines.iter().map(move |line| format!("{pod} wrote: {line}")));
        let others = (!self.others.is_empty())
            .then(|| format!("not ready either: {}", self.others.join(", ")));
        pods.chain(notes).chain(logs).chain(others).collect()
    }

    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        let says = |word: &str| {
            self.pods
                .iter()
                .any(|trouble| trouble.reason.contains(word))
        };
        if says("ImagePull") || says("ErrImageNeverPull") || says("InvalidImageName") {
            hints.push(
                "correct the image in the environment file, or bring it to the nodes, and run `shopctl up`: it replaces what hangs"
                    .to_owned(),
            );
        } else if says("Insufficient") || says("Unschedulable") {
            hints.push(
                "no node has room for it: lower its requests or replicas, or add a node".to_owned(),
            );
        }
        hints.push("`shopctl status` shows all pods, `shopctl logs` what they write".to_owned());
        hints
    }
}

/// Gathers what is known of an object that is not ready.
pub(super) async fn explain(
    cluster: &Cluster,
    object: &Value,
    pods: &[Value],
    mask: &Mask,
    late: Late,
) -> Late {
    let namespace = text(object, "/metadata/namespace").unwrap_or("default");
    let own: Vec<&Value> = pods.iter().filter(|pod| is_of(pod, object)).collect();
    let mut troubles: Vec<PodTrouble> = own.iter().filter_map(|pod| trouble(pod)).collect();
    troubles.sort_by_key(|trouble| (!trouble.is_hopeless, !trouble.is_stuck, trouble.pod.clone()));
    troubles.truncate(PODS);
    let mut about: Vec<&str> = troubles
        .iter()
        .map(|trouble| trouble.pod.as_str())
        .collect();
    about.push(late.object.name.as_str());
    // What cannot be read now is left out: the failure itself is already known.
    let notes = notes(cluster, namespace, &about).await.unwrap_or_default();
    let mut logs = Vec::new();
    for trouble in troubles.iter().filter(|trouble| !trouble.is_hopeless) {
        let lines = last_lines(cluster, namespace, trouble).await;
        if !lines.is_empty() {
            let lines = lines.iter().map(|line| mask.text(line)).collect();
            logs.push((trouble.pod.clone(), lines));
        }
    }
    for trouble in &mut troubles {
        trouble.reason = mask.text(&trouble.reason);
    }
    Late {
        pods: troubles,
        notes: notes.iter().map(|note| mask.text(note)).collect(),
        logs,
        ..late
    }
}

async fn last_lines(cluster: &Cluster, namespace: &str, trouble: &PodTrouble) -> Vec<String> {
    let container = trouble.container.as_deref();
    for previous in [false, true] {
        if previous && !trouble.has_ended {
            break;
        }
        let reading = LogReading {
            tail: Some(LINES),
            previous,
            ..LogReading::default()
        };
        let log = read_log(cluster, namespace, &trouble.pod, container, reading).await;
        if let Ok(log) = log
            && !log.trim().is_empty()
        {
            return log.lines().map(str::to_owned).collect();
        }
    }
    Vec::new()
}
