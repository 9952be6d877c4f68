//! One run at a time on a cluster, from whatever machine: a Lease that says who is at work and since when.
//!
//! It is renewed while the run lives. Whoever is killed leaves one that nobody renews: on the same machine that is seen
//! at once, from another one when it has not moved for its duration.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::Cluster;
use super::error::ClusterError;
use super::object::{MANAGED_BY, MANAGER, ObjectKey, text};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::supervisor::ProcessIdentity;

/// Where leases are: in a namespace that is always there and that no shop is removed with.
const NAMESPACE: &str = "kube-system";
/// How long one holds without being renewed, for others.
const DURATION: Duration = Duration::from_secs(45);
const RENEW: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(500);
/// How long it may go unrenewed until its holder stops, at the end of the next renewal at the latest, which is before others
/// may take it. An API server that is started anew is away for a while.
const LOST: Duration = Duration::from_secs(30);
/// How long a renewal may take.
const ANSWER: Duration = Duration::from_secs(8);
/// Which process holds it, for those on its machine.
const PROCESS: &str = "shopctl/process";

const STEP: &str = "wait for another shopctl";

/// Who wants it, and how.
#[derive(Debug)]
pub struct LeaseRequest<'a> {
    /// The environment.
    pub environment: &'a str,
    /// What is done: `up`.
    pub command: &'a str,
    /// Fail at once if somebody else is at work.
    pub refuse: bool,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

/// The lease, kept until it is released, dropped or lost.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    key: ObjectKey,
    holder: String,
    renewal: tokio::task::JoinHandle<()>,
    lost: watch::Receiver<Option<String>>,
}

impl Lease {
    /// Takes the lease of an environment, when whoever has it is done.
    pub async fn take(
        cluster: &Cluster,
        request: &LeaseRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Self, ClusterError> {
        let key = ObjectKey {
            group: "coordination.k8s.io".to_owned(),
            kind: "Lease".to_owned(),
            namespace: Some(NAMESPACE.to_owned()),
            name: format!("shopctl-{}", request.environment),
        };
        let holder = whoami(request.command);
        let mut watch = Watch::default();
        let mut waited = false;
        loop {
            if Self::try_take(cluster, &key, &holder, &mut watch).await? {
                break;
            }
            let since = watch.age();
            if request.refuse {
                return Err(ClusterError::Busy {
                    holder: watch.holder,
                    since,
                });
            }
            if !waited {
                observer.started(STEP);
                observer.note(format!(
                    "{} is at work since {since}: waiting",
                    watch.holder
                ));
                waited = true;
            }
            observer.waiting(
                STEP,
                format!("{} to end, or its lease to expire", watch.holder),
            );
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = request.interrupt.pressed() => {
                    observer.failed(STEP, "stopped by Ctrl-C");
                    return Err(ClusterError::Interrupted);
                }
            }
        }
        if waited {
            observer.done(STEP, false);
        }
        let (sender, lost) = watch::channel(None);
        let renewal = tokio::spawn(keep(cluster.clone(), key.clone(), holder.clone(), sender));
        Ok(Self {
            cluster: cluster.clone(),
            key,
            holder,
            renewal,
            lost,
        })
    }

    async fn try_take(
        cluster: &Cluster,
        key: &ObjectKey,
        holder: &str,
        watch: &mut Watch,
    ) -> Result<bool, ClusterError> {
        let Some(mut live) = cluster.get(key).await? else {
            let object = lease(key, holder, &now());
            return Ok(cluster.create(&object).await?.is_some());
        };
        watch.see(&live);
        if !watch.is_free(&live) {
            return Ok(false);
        }
        let fresh = lease(key, holder, &now());
        live["spec"] = fresh["spec"].clone();
        live["metadata"]["annotations"] = fresh["metadata"]["annotations"].clone();
        // Whoever else saw that it is free reads the same version: one of us replaces it.
        cluster.replace(&live).await
    }

    /// Waits until the lease is lost; for ever while it is kept.
    pub async fn lost(&self) -> ClusterError {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => ClusterError::LeaseLost {
                reason: reason.clone().unwrap_or_default(),
            },
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives it back, so that the next run need not wait.
    pub async fn release(self) -> Result<(), ClusterError> {
        self.renewal.abort();
        let Some(mut live) = self.cluster.get(&self.key).await? else {
            return Ok(());
        };
        if text(&live, "/spec/holderIdentity") == Some(&self.holder) {
            live["spec"]["holderIdentity"] = Value::Null;
            live["spec"]["renewTime"] = Value::Null;
            self.cluster.replace(&live).await?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews the lease again and again, and says when that is over.
async fn keep(
    cluster: Cluster,
    key: ObjectKey,
    holder: String,
    lost: watch::Sender<Option<String>>,
) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(RENEW).await;
        let outcome = async {
            let Some(mut live) = cluster.get(&key).await? else {
                return Ok(None);
            };
            if text(&live, "/spec/holderIdentity") != Some(&holder) {
                let other = text(&live, "/spec/holderIdentity").unwrap_or("nobody");
                return Ok(Some(other.to_owned()));
            }
            live["spec"]["renewTime"] = now().into();
            cluster.replace(&live).await?;
            Ok::<_, ClusterError>(Some(holder.clone()))
        };
        let began = Instant::now();
        let outcome = tokio::time::timeout(ANSWER, outcome).await;
        let told = match outcome {
            Ok(Ok(Some(kept))) if kept == holder => {
                renewed = began;
                None
            }
            Ok(Ok(Some(other))) => Some(format!("{other} took over this cluster")),
            Ok(Ok(None)) => Some("the lease of this run was deleted".to_owned()),
            late if renewed.elapsed() > LOST => {
                let reason = match late {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                Some(format!(
                    "the lease of this run could not be kept ({reason})"
                ))
            }
            _ => None,
        };
        if told.is_some() {
            lost.send_replace(told);
            return;
        }
    }
}

/// What is seen of a lease that somebody else has.
#[derive(Debug, Default)]
struct Watch {
    holder: String,
    acquired: String,
    renewed: String,
    /// Since when, by our own clock, it has not been renewed.
    unmoved: Option<Instant>,
}

impl Watch {
    fn see(&mut self, live: &Value) {
        let of = |pointer| text(live, pointer).unwrap_or_default().to_owned();
        self.holder = of("/spec/holderIdentity");
        self.acquired = of("/spec/acquireTime");
        let renewed = of("/spec/renewTime");
        if self.unmoved.is_none() || self.renewed != renewed {
            self.unmoved = Some(Instant::now());
            self.renewed = renewed;
        }
    }

    fn is_free(&self, live: &Value) -> bool {
        self.holder.is_empty()
            || has_died_here(live)
            // The clocks of two machines may differ: what counts is that it did not move while we looked.
            || self.unmoved.is_some_and(|since| since.elapsed() > DURATION)
    }

    /// How long ago it was taken, in words.
    fn age(&self) -> String {
        OffsetDateTime::parse(&self.acquired, &Rfc3339).map_or_else(
            |_| "an unknown time".to_owned(),
            |since| {
                let seconds = (OffsetDateTime::now_utc() - since).whole_seconds().max(0);
                if seconds < 120 {
                    format!("{seconds} s")
                } else {
                    format!("{} min", seconds / 60)
                }
            },
        )
    }
}

/// Whether the process that holds it was one of this machine and is gone.
fn has_died_here(live: &Value) -> bool {
    let process = live
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(PROCESS))
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<ProcessIdentity>(text).ok());
    let Some(process) = process else {
        return false;
    };
    let here = myself().is_some_and(|myself| myself.boot_id == process.boot_id);
    here && !process.is_alive()
}

fn myself() -> Option<ProcessIdentity> {
    ProcessIdentity::of(i32::try_from(std::process::id()).ok()?)
}

fn lease(key: &ObjectKey, holder: &str, at: &str) -> Value {
    let process = myself()
        .and_then(|process| serde_json::to_string(&process).ok())
        .unwrap_or_default();
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": key.name,
            "namespace": NAMESPACE,
            "labels": { MANAGED_BY: MANAGER },
            "annotations": { PROCESS: process },
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": at,
            "renewTime": at,
        },
    })
}

/// Who this is: "root@build-1 (shopctl up, pid 4711)".
fn whoami(command: &str) -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let host = nix::sys::utsname::uname().map_or_else(
        |_| "a machine".to_owned(),
        |name| name.nodename().to_string_lossy().into_owned(),
    );
    format!(
        "{user}@{host} (shopctl {command}, pid {})",
        std::process::id()
    )
}

/// The time as a Lease takes it: with microseconds, always six digits.
fn now() -> String {
    let at = OffsetDateTime::now_utc();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    )
}
