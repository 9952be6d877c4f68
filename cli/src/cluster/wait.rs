//! Waits until objects are ready, replaces pods that hold up their own repair, and says why when it takes too long.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::connect::Cluster;
use super::diff::Mask;
use super::error::ClusterError;
use super::explain::{Late, explain};
use super::object::{ObjectKey, text};
use super::pods::{is_of, pods};
use super::ready::{Readiness, is_awaited, readiness, stuck_pods, trouble};
use crate::event::Observer;
use crate::interrupt::Interrupt;

/// How often objects are looked at, and how often their pods.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_AT_PODS: Duration = Duration::from_secs(1);
/// How long something hopeless is given: the rollout that replaces it may be under way.
const GRACE: Duration = Duration::from_secs(40);
/// The same for a pod that has ended several times already, which took it a minute.
const GRACE_OF_ENDED: Duration = Duration::from_secs(10);

/// What is waited for, and how.
#[derive(Debug)]
pub struct Awaiting<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// How long all of it may take.
    pub deadline: Duration,
    /// What must not be shown.
    pub mask: &'a Mask,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

struct Waiting {
    key: ObjectKey,
    seen: Option<Value>,
    reason: String,
    failed_since: Option<Instant>,
}

/// Waits for all objects at once.
pub async fn wait_ready(
    awaiting: &Awaiting<'_>,
    objects: impl IntoIterator<Item = ObjectKey>,
    observer: &dyn Observer,
) -> Result<(), ClusterError> {
    let begun = Instant::now();
    let mut left: Vec<Waiting> = objects
        .into_iter()
        .filter(|key| is_awaited(&key.kind))
        .map(|key| Waiting {
            key,
            seen: None,
            reason: String::new(),
            failed_since: None,
        })
        .collect();
    let mut pods = PodWatch::default();
    loop {
        left = look(awaiting.cluster, left, observer).await?;
        if left.is_empty() {
            return Ok(());
        }
        pods.look(awaiting.cluster, &left, observer).await?;
        for waiting in &left {
            let detail = pods.first_trouble(waiting).unwrap_or_default();
            observer.waiting(step(&waiting.key), format!("{}{detail}", waiting.reason));
        }
        let given_up = left.iter().position(|waiting| {
            let failed = waiting
                .failed_since
                .is_some_and(|since| since.elapsed() > GRACE);
            failed || pods.is_hopeless(waiting)
        });
        let too_late = begun.elapsed() >= awaiting.deadline;
        if let Some(index) = given_up.or(too_late.then_some(0)) {
            return Err(late(
                awaiting,
                left,
                index,
                begun,
                &pods,
                given_up.is_some(),
                observer,
            )
            .await);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = awaiting.interrupt.pressed() => {
                for waiting in &left {
                    observer.failed(step(&waiting.key), "stopped by Ctrl-C");
                }
                return Err(ClusterError::Interrupted);
            }
        }
    }
}

fn step(key: &ObjectKey) -> String {
    format!("wait for {key}")
}

/// Looks at all that is left, and gives back what is still not ready. An API server that does not answer for a moment is
/// one that nothing is known from.
async fn look(
    cluster: &Cluster,
    left: Vec<Waiting>,
    observer: &dyn Observer,
) -> Result<Vec<Waiting>, ClusterError> {
    let looks = left.iter().map(|waiting| cluster.get(&waiting.key));
    let seen = join_all(looks).await;
    let mut still = Vec::new();
    for (mut waiting, seen) in left.into_iter().zip(seen) {
        let begun = !waiting.reason.is_empty();
        let found = match seen {
            Ok(Some(object)) => {
                let found = readiness(&object);
                waiting.seen = Some(object);
                found
            }
            Ok(None) => Readiness::Waiting("it is not there".to_owned()),
            Err(error) if error.is_transient() => Readiness::Waiting(error.to_string()),
            Err(error) => return Err(error),
        };
        match found {
            Readiness::Ready => {
                if begun {
                    observer.done(step(&waiting.key), false);
                }
                continue;
            }
            Readiness::Waiting(reason) => {
                waiting.failed_since = None;
                waiting.reason = reason;
            }
            Readiness::Failed(reason) => {
                waiting.failed_since.get_or_insert_with(Instant::now);
                waiting.reason = reason;
            }
        }
        if !begun {
            observer.started(step(&waiting.key));
        }
        still.push(waiting);
    }
    Ok(still)
}

async fn late(
    awaiting: &Awaiting<'_>,
    left: Vec<Waiting>,
    index: usize,
    begun: Instant,
    pods: &PodWatch,
    hopeless: bool,
    observer: &dyn Observer,
) -> ClusterError {
    for waiting in &left {
        observer.failed(step(&waiting.key), waiting.reason.clone());
    }
    let others = left
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != index)
        .map(|(_, waiting)| waiting.key.to_string())
        .collect();
    let waiting = &left[index];
    let late = Late {
        object: waiting.key.clone(),
        reason: awaiting.mask.text(&waiting.reason),
        waited: begun.elapsed(),
        hopeless,
        pods: Vec::new(),
        notes: Vec::new(),
        logs: Vec::new(),
        others,
    };
    let object = waiting.seen.clone().unwrap_or_default();
    ClusterError::Late(Box::new(
        explain(awaiting.cluster, &object, &pods.pods, awaiting.mask, late).await,
    ))
}

/// Deletes a pod, so that its controller makes another one.
async fn replace(
    cluster: &Cluster,
    pod: &Value,
    why: &str,
    observer: &dyn Observer,
) -> Result<(), ClusterError> {
    let name = text(pod, "/metadata/name").unwrap_or_default();
    let step = format!("replace pod/{name}");
    observer.started(&*step);
    observer.note(format!("{name} {why}"));
    cluster.delete(pod).await?;
    observer.done(step, true);
    Ok(())
}

/// The pods of what is waited for.
#[derive(Default)]
struct PodWatch {
    pods: Vec<Value>,
    looked: Option<Instant>,
    /// Whether pods were seen at all.
    has_seen: bool,
    /// When patience with a hopeless pod ends, by its uid.
    hopeless: BTreeMap<String, Instant>,
}

impl PodWatch {
    /// Looks at the pods once in a while, and removes those that hold up their own repair.
    async fn look(
        &mut self,
        cluster: &Cluster,
        left: &[Waiting],
        observer: &dyn Observer,
    ) -> Result<(), ClusterError> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_AT_PODS) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let mut namespaces: Vec<&str> = left
            .iter()
            .filter_map(|waiting| waiting.key.namespace.as_deref())
            .collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let mut found = Vec::new();
        for namespace in namespaces {
            match pods(cluster, namespace).await {
                Ok(pods) => found.extend(pods),
                Err(error) if error.is_transient() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.pods = found;
        if !std::mem::replace(&mut self.has_seen, true) {
            self.replace_resting(cluster, left, observer).await?;
        }
        self.note_hopeless();
        for set in left.iter().filter_map(|waiting| waiting.seen.as_ref()) {
            if text(set, "/kind") != Some("StatefulSet") {
                continue;
            }
            for pod in stuck_pods(set, &self.pods) {
                let why = "cannot start, and its StatefulSet would wait for it for ever";
                replace(cluster, pod, why, observer).await?;
            }
        }
        Ok(())
    }

    /// Replaces pods that ended again and again before this run: what they ended for may be mended, and they would not be
    /// started again for up to five minutes.
    async fn replace_resting(
        &mut self,
        cluster: &Cluster,
        left: &[Waiting],
        observer: &dyn Observer,
    ) -> Result<(), ClusterError> {
        let resting = |pod: &&Value| trouble(pod).is_some_and(|trouble| trouble.is_resting());
        let awaited: Vec<&Value> = left.iter().flat_map(|waiting| self.of(waiting)).collect();
        for pod in awaited.into_iter().filter(resting) {
            let why = "ended too often to be started again soon; another one is started now";
            replace(cluster, pod, why, observer).await?;
        }
        self.pods
            .retain(|pod| !trouble(pod).is_some_and(|trouble| trouble.is_resting()));
        Ok(())
    }

    fn note_hopeless(&mut self) {
        let grace = |pod: &Value| {
            let trouble = trouble(pod).filter(|trouble| trouble.is_hopeless)?;
            Some(if trouble.has_ended {
                GRACE_OF_ENDED
            } else {
                GRACE
            })
        };
        let now: BTreeMap<&str, Duration> = self
            .pods
            .iter()
            .filter_map(|pod| Some((text(pod, "/metadata/uid")?, grace(pod)?)))
            .collect();
        self.hopeless
            .retain(|uid, _| now.contains_key(uid.as_str()));
        for (uid, grace) in now {
            self.hopeless
                .entry(uid.to_owned())
                .or_insert_with(|| Instant::now() + grace);
        }
    }

    fn of<'a>(&'a self, waiting: &'a Waiting) -> impl Iterator<Item = &'a Value> {
        self.pods.iter().filter(|pod| {
            waiting
                .seen
                .as_ref()
                .is_some_and(|workload| is_of(pod, workload))
        })
    }

    fn is_hopeless(&self, waiting: &Waiting) -> bool {
        self.of(waiting)
            .filter_map(|pod| self.hopeless.get(text(pod, "/metadata/uid")?))
            .any(|until| Instant::now() > *until)
    }

    fn first_trouble(&self, waiting: &Waiting) -> Option<String> {
        self.of(waiting)
            .filter_map(trouble)
            .max_by_key(|trouble| (trouble.is_hopeless, trouble.is_stuck))
            .map(|trouble| format!(" ({}: {})", trouble.pod, trouble.reason))
    }
}
