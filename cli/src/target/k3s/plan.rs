//! What would be done with a shop on a cluster.

use serde::Serialize;

use super::declared::Unfinished;
use super::registry::ImagePush;
use crate::bootstrap::HostAction;
use crate::cluster::{Deed, ObjectChange, ObjectPlan};
use crate::plan::Step;

/// What is no work, and somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Note {
    /// A cluster that runs and was not asked, as this machine has no kubeconfig of it or got no answer.
    pub(super) fn of_unasked() -> Self {
        Self {
            what: "the cluster was not asked, so secrets and objects are shown as if there were none".to_owned(),
            hint: "`shopctl up` fetches the kubeconfig that this machine lacks, and looks again before it changes anything; if it has one, see whether its API server answers".to_owned(),
        }
    }

    /// Nodes that no host of the environment file is: nobody knows whether they are still wanted, and they may hold data.
    pub(super) fn of_strangers(names: &[String]) -> Option<Self> {
        let are = match names {
            [] => return None,
            [_] => "is a node",
            _ => "are nodes",
        };
        Some(Self {
            what: format!(
                "{} {are} of this cluster and no host of the environment file; nothing is changed about that",
                names.join(", ")
            ),
            hint: "name such a host in `hosts:` again; or send its pods elsewhere with `kubectl drain`, give it up with `kubectl delete node`, and stop k3s there: volumes that it has are lost with it".to_owned(),
        })
    }
}

/// What would be done. Field names are stable.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopPlan {
    /// The environment.
    pub environment: String,
    /// What would be done on hosts.
    pub hosts: Vec<Step<HostAction>>,
    /// What would be pushed to the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<ImagePush>,
    /// The secrets that would be made.
    pub secrets: Vec<String>,
    /// What would be done with objects.
    pub objects: ObjectPlan,
    /// The rotations of secrets that stand unfinished. Nothing of them is work for `up`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<Unfinished>,
    /// What is no work, and somebody should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Whether there is a cluster that could be looked at. Otherwise objects are planned as if there was none.
    pub looked: bool,
}

impl ShopPlan {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        self.touches_hosts()
            || self.push.is_some()
            || !self.secrets.is_empty()
            || self.objects.has_work()
    }

    /// Whether anything would be done on a host.
    pub fn touches_hosts(&self) -> bool {
        self.hosts.iter().any(|step| step.needed)
    }

    /// What would be removed that is worth asking about.
    pub fn destroys(&self) -> Vec<&ObjectChange> {
        destroyed(&self.objects)
    }
}

/// What a plan removes that is more than a part of something else: workloads, and whatever holds data.
pub(super) fn destroyed(plan: &ObjectPlan) -> Vec<&ObjectChange> {
    const WORTH_ASKING: [&str; 8] = [
        "CronJob",
        "DaemonSet",
        "Deployment",
        "Namespace",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Secret",
        "StatefulSet",
    ];
    plan.of(Deed::Prune)
        .filter(|change| WORTH_ASKING.contains(&change.object.kind.as_str()))
        .collect()
}
