//! What would be done with a shop on a cluster.

use serde::Serialize;

use super::declared::Unfinished;
use super::registry::ImagePush;
use crate::bootstrap::HostAction;
use crate::cluster::{Deed, ObjectChange, ObjectPlan};
use crate::plan::Step;

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
