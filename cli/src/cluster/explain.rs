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
        let pod = self
            .pods
            .first()
            .map(|trouble| format!("{}: {}", trouble.pod, trouble.reason));
        if self.hopeless {
            // What is hopeless is the pod, and the object only waits for it.
            let reason = pod.as_ref().unwrap_or(&self.reason);
            return format!("{reason}, and that does not change by waiting");
        }
        let pod = pod.map_or_else(String::new, |pod| format!("; {pod}"));
        format!("{}{pod}, after {} s", self.reason, self.waited.as_secs())
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
        } else if says("volume node affinity") {
            hints.push(
                "its volume is on a node that is away: bring that host back. If it is gone for good, delete the node, the pod's \
                 claim and the pod with kubectl: who has replicas copies from them, and everything else comes from a backup"
                    .to_owned(),
            );
        } else if says("Insufficient") || says("Unschedulable") {
            hints.push(
                "no node has room for it: lower its requests or replicas, or add a node".to_owned(),
            );
        }
        if self.pods.iter().any(|trouble| trouble.has_ended) {
            hints.push(
                "correct what it ends for, in the environment file or in what it needs, and run `shopctl up`".to_owned(),
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
    // What never ran wrote nothing.
    for trouble in troubles
        .iter()
        .filter(|trouble| trouble.has_ended || !trouble.is_hopeless)
    {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn late(hopeless: bool) -> Late {
        Late {
            object: ObjectKey {
                group: "apps".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: Some("shop".to_owned()),
                name: "echo".to_owned(),
            },
            reason: "0 of 1 pods are ready".to_owned(),
            waited: Duration::from_mins(1),
            hopeless,
            pods: vec![PodTrouble {
                pod: "echo-1".to_owned(),
                container: Some("echo".to_owned()),
                reason: "CrashLoopBackOff; it ended with 2 (Error)".to_owned(),
                is_stuck: true,
                is_hopeless: hopeless,
                has_ended: true,
            }],
            notes: Vec::new(),
            logs: vec![("echo-1".to_owned(), vec!["no such level".to_owned()])],
            others: Vec::new(),
        }
    }

    #[test]
    fn what_is_hopeless_is_told_by_the_pod_that_is() {
        assert_eq!(
            late(true).summary(),
            "echo-1: CrashLoopBackOff; it ended with 2 (Error), and that does not change by waiting"
        );
        assert_eq!(
            late(false).summary(),
            "0 of 1 pods are ready; echo-1: CrashLoopBackOff; it ended with 2 (Error), after 60 s"
        );
        let forbidden = Late {
            pods: Vec::new(),
            ..late(true)
        };
        assert!(forbidden.summary().starts_with("0 of 1 pods are ready, "));
        assert!(late(true).hints()[0].contains("correct what it ends for"));
    }
}
