//! Instances of components as pods: each has a name that stays when another pod takes its place.
//!
//! A pod of a `StatefulSet` has such a name. Those of a Deployment are numbered: a new pod gets the number of one that is
//! gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cluster::{Readiness, label, list, number, readiness, text};

/// How many characters of a container's id tell it from others.
const SHORT: usize = 12;

/// An instance as the cluster has it now.
#[derive(Clone, Debug, PartialEq)]
pub struct PodInstance {
    /// Its component.
    pub component: String,
    /// Its name.
    pub instance: String,
    /// Its pod; none: it is gone, and no other one is there yet.
    pub pod: Option<Arc<Value>>,
    /// Whether it serves.
    pub ready: bool,
    /// `running`, `starting`, `failed`, `ending` or `gone`.
    pub state: &'static str,
    /// `pod/container` of what runs.
    pub process: Option<String>,
    /// How often another container took the place of the one before, since it was looked at first.
    pub replaced: u64,
    /// How the container before ended.
    pub last_exit: Option<String>,
}

impl PodInstance {
    /// The node that it runs on.
    pub fn node(&self) -> Option<&str> {
        text(self.pod.as_ref()?, "/spec/nodeName")
    }

    /// The id of the container that runs.
    pub fn container(&self) -> Option<&str> {
        container_id(self.status()?)
    }

    fn status(&self) -> Option<&Value> {
        list(self.pod.as_ref()?, "/status/containerStatuses").first()
    }

    /// Whether a container of this pod has ended within the last time.
    pub fn was_restarted_since(&self, time: Duration) -> bool {
        let ended = self
            .status()
            .and_then(|status| text(status, "/lastState/terminated/finishedAt"))
            .and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
        ended.is_some_and(|ended| OffsetDateTime::now_utc() - ended < time)
    }
}

/// Who has which name, and what was there before.
#[derive(Debug, Default)]
pub struct Slots {
    /// Of each component, the instances by number: the uid of the pod that has it.
    numbered: BTreeMap<String, Vec<String>>,
    /// The names of pods whose names stay, by component.
    named: BTreeMap<String, String>,
    /// What ran last in each instance, and how often that changed.
    ran: BTreeMap<String, (String, u64)>,
}

impl Slots {
    /// The instances of these pods. `replicas` says how many each component should have.
    pub fn instances(
        &mut self,
        pods: &[Arc<Value>],
        replicas: &BTreeMap<&str, usize>,
    ) -> Vec<PodInstance> {
        let mut found: Vec<PodInstance> = Vec::new();
        let mut by_component: BTreeMap<&str, Vec<&Arc<Value>>> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| !is_over(pod)) {
            let component = label(pod, "app.kubernetes.io/name").unwrap_or_default();
            match owner(pod) {
                Some("ReplicaSet") => by_component.entry(component).or_default().push(pod),
                Some("StatefulSet") => {
                    let name = text(pod, "/metadata/name").unwrap_or_default();
                    self.named.insert(name.to_owned(), component.to_owned());
                    found.push(self.seen(component, name.to_owned(), Some(pod)));
                }
                Some("DaemonSet") => {
                    let node = text(pod, "/spec/nodeName").unwrap_or_default();
                    let name = format!("{component}-{node}");
                    self.named.insert(name.clone(), component.to_owned());
                    found.push(self.seen(component, name, Some(pod)));
                }
                _ => {}
            }
        }
        let components: BTreeSet<String> = by_component
            .keys()
            .map(|name| (*name).to_owned())
            .chain(self.numbered.keys().cloned())
            .collect();
        for component in components {
            let pods = by_component.remove(&*component).unwrap_or_default();
            let replicas = replicas.get(&*component).copied().unwrap_or(0);
            self.number(&component, &pods, replicas, &mut found);
        }
        let gone: Vec<(String, String)> = self
            .named
            .iter()
            .filter(|(name, _)| !found.iter().any(|one| one.instance == **name))
            .map(|(name, component)| (component.clone(), name.clone()))
            .collect();
        for (component, name) in gone {
            found.push(self.seen(&component, name, None));
        }
        // Of whom nothing was ever seen it is not known either how its pods are named.
        for (component, _) in replicas.iter().filter(|(_, replicas)| **replicas > 0) {
            if !found.iter().any(|one| one.component == *component) {
                found.push(self.seen(component, format!("{component}-0"), None));
            }
        }
        found.sort_by(|one, two| one.instance.cmp(&two.instance));
        found
    }

    /// Gives each pod of a Deployment a number, and keeps the ones that were given.
    fn number(
        &mut self,
        component: &str,
        pods: &[&Arc<Value>],
        replicas: usize,
        found: &mut Vec<PodInstance>,
    ) {
        let uid = |pod: &Value| text(pod, "/metadata/uid").unwrap_or_default().to_owned();
        let mut slots = self.numbered.remove(component).unwrap_or_default();
        let mut new: Vec<&&Arc<Value>> = pods
            .iter()
            .filter(|pod| !is_ending(pod) && !slots.contains(&uid(pod)))
            .collect();
        new.sort_by_key(|pod| {
            let of = |pointer| text(pod, pointer).unwrap_or_default().to_owned();
            (of("/metadata/creationTimestamp"), of("/metadata/name"))
        });
        for pod in new {
            // Whoever is gone, or is about to be, makes room.
            let free = slots.iter().position(|held| {
                pods.iter()
                    .find(|pod| uid(pod) == *held)
                    .is_none_or(|pod| is_ending(pod))
            });
            match free {
                Some(free) => slots[free] = uid(pod),
                None => slots.push(uid(pod)),
            }
        }
        let live = pods.iter().filter(|pod| !is_ending(pod)).count();
        slots.resize(slots.len().max(replicas), String::new());
        for (ordinal, held) in slots.iter().enumerate() {
            let pod = pods.iter().find(|pod| uid(pod) == *held);
            // One too many, as during a rollout, is not missed when it is gone.
            if pod.is_some() || live < replicas {
                let name = format!("{component}-{ordinal}");
                found.push(self.seen(component, name, pod.copied()));
            }
        }
        self.numbered.insert(component.to_owned(), slots);
    }

    fn seen(&mut self, component: &str, instance: String, pod: Option<&Arc<Value>>) -> PodInstance {
        let status = pod.and_then(|pod| list(pod, "/status/containerStatuses").first());
        let process = pod.zip(status).and_then(|(pod, status)| {
            status.pointer("/state/running")?;
            let container: String = container_id(status)?.chars().take(SHORT).collect();
            Some(format!("{}/{container}", text(pod, "/metadata/name")?))
        });
        let replaced = match &process {
            Some(process) => {
                let ran = self
                    .ran
                    .entry(instance.clone())
                    .or_insert_with(|| (process.clone(), 0));
                if ran.0 != *process {
                    *ran = (process.clone(), ran.1 + 1);
                }
                ran.1
            }
            None => self.ran.get(&instance).map_or(0, |ran| ran.1),
        };
        let ending = pod.is_some_and(|pod| is_ending(pod));
        let ready = !ending && pod.is_some_and(|pod| readiness(pod) == Readiness::Ready);
        let waits = status.and_then(|status| text(status, "/state/waiting/reason"));
        PodInstance {
            component: component.to_owned(),
            instance,
            ready,
            state: match (pod, waits) {
                (None, _) => "gone",
                _ if ending => "ending",
                (_, Some("CrashLoopBackOff")) => "failed",
                _ if process.is_some() => "running",
                _ => "starting",
            },
            process,
            replaced,
            last_exit: status.and_then(last_exit),
            pod: pod.cloned(),
        }
    }
}

fn container_id(status: &Value) -> Option<&str> {
    let id = text(status, "/containerID")?;
    Some(id.split_once("://").map_or(id, |(_, id)| id))
}

/// "its last container ended with exit code 137".
fn last_exit(status: &Value) -> Option<String> {
    let ended = status
        .pointer("/state/terminated")
        .or_else(|| status.pointer("/lastState/terminated"))?;
    let code = number(ended, "/exitCode")?;
    let reason = text(ended, "/reason").unwrap_or_default();
    let reason = if reason.is_empty() || reason == "Error" || reason == "Completed" {
        String::new()
    } else {
        format!(" ({reason})")
    };
    Some(format!(
        "its last container ended with exit code {code}{reason}"
    ))
}

fn owner(pod: &Value) -> Option<&str> {
    list(pod, "/metadata/ownerReferences")
        .iter()
        .find_map(|owner| text(owner, "/kind"))
}

fn is_ending(pod: &Value) -> bool {
    text(pod, "/metadata/deletionTimestamp").is_some()
}

/// Whether it has done what it was made for, or was given up.
fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(component: &str, name: &str, owner: &str, container: &str) -> Value {
        json!({"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "uid": name, "labels": {"app.kubernetes.io/name": component},
                "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [{"kind": owner}]},
            "spec": {"nodeName": "a"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"containerID": format!("containerd://{container}"), "restartCount": 0,
                    "state": {"running": {}}}]}})
    }

    fn names(instances: &[PodInstance]) -> Vec<(String, Option<String>, &'static str)> {
        instances
            .iter()
            .map(|one| (one.instance.clone(), one.process.clone(), one.state))
            .collect()
    }

    fn shared(pods: &[Value]) -> Vec<Arc<Value>> {
        pods.iter().cloned().map(Arc::new).collect()
    }

    #[test]
    fn a_new_pod_takes_the_number_of_the_one_that_ends() {
        let mut slots = Slots::default();
        let one = pod("order", "order-x", "ReplicaSet", "c1");
        let two = pod("order", "order-y", "ReplicaSet", "c2");
        let first = slots.instances(&shared(&[one.clone(), two.clone()]), &[("order", 2)].into());
        assert_eq!(
            names(&first),
            [
                (
                    "order-0".to_owned(),
                    Some("order-x/c1".to_owned()),
                    "running"
                ),
                (
                    "order-1".to_owned(),
                    Some("order-y/c2".to_owned()),
                    "running"
                ),
            ]
        );
        let mut ending = one;
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:01Z");
        let seen = slots.instances(
            &shared(&[ending.clone(), two.clone()]),
            &[("order", 2)].into(),
        );
        assert_eq!((seen[0].state, seen[0].ready), ("ending", false));
        let new = pod("order", "order-z", "ReplicaSet", "c3");
        let seen = slots.instances(
            &shared(&[ending, two.clone(), new.clone()]),
            &[("order", 2)].into(),
        );
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].process.as_deref(), Some("order-z/c3"));
        assert_eq!((seen[0].replaced, seen[1].replaced), (1, 0));
        let seen = slots.instances(&shared(&[new]), &[("order", 2)].into());
        assert_eq!((seen[1].state, seen[1].ready), ("gone", false));
    }

    #[test]
    fn a_pod_with_a_name_that_stays_is_missed_when_it_is_gone() {
        let mut slots = Slots::default();
        let mut redis = pod("redis", "redis-0", "StatefulSet", "c1");
        slots.instances(&shared(&[redis.clone()]), &[("redis", 1)].into());
        assert_eq!(
            slots.instances(&[], &[("redis", 1)].into())[0].state,
            "gone"
        );
        redis["status"]["containerStatuses"][0] = json!({"containerID": "containerd://c2", "restartCount": 1,
            "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "Error",
                "finishedAt": OffsetDateTime::now_utc().format(&Rfc3339).unwrap()}}});
        let seen = &slots.instances(&shared(&[redis]), &[("redis", 1)].into())[0];
        assert_eq!(
            (seen.process.as_deref(), seen.replaced),
            (Some("redis-0/c2"), 1)
        );
        assert_eq!(
            seen.last_exit.as_deref(),
            Some("its last container ended with exit code 137")
        );
        assert!(seen.was_restarted_since(Duration::from_mins(1)));
        assert!(!seen.was_restarted_since(Duration::ZERO));
    }

    #[test]
    fn a_component_of_which_there_is_no_pod_is_missed() {
        let mut slots = Slots::default();
        let wanted = [("echo", 1), ("order", 2), ("search", 0)].into();
        let order = pod("order", "order-x", "ReplicaSet", "c1");
        let seen = slots.instances(&shared(&[order]), &wanted);
        let states: Vec<_> = seen.iter().map(|one| (&*one.instance, one.state)).collect();
        let expected = [
            ("echo-0", "gone"),
            ("order-0", "running"),
            ("order-1", "gone"),
        ];
        assert_eq!(states, expected);
    }

    #[test]
    fn pods_of_jobs_and_those_that_are_over_are_no_instances() {
        let mut slots = Slots::default();
        let job = pod("postgres", "postgres-provision-1", "Job", "c1");
        let mut over = pod("order", "order-x", "ReplicaSet", "c2");
        over["status"]["phase"] = json!("Failed");
        let seen = slots.instances(&shared(&[job, over]), &BTreeMap::new());
        assert_eq!(seen, []);
    }
}
