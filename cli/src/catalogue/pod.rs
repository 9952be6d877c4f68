//! What a `component.yaml` says about its pods on k3s.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Component;

/// How a component's instances are pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodSpec {
    /// The templates of its objects, relative to the component's folder, or with a slash in front to `templates/`.
    pub objects: Vec<String>,
    /// Whether all pods read the same files, or each its own.
    pub files: PodFiles,
    /// The name by which others reach an instance: `{instance}` in it becomes the instance's name, `{domain}` what
    /// names of the namespace's Services end with, to the last dot. Absent: the component's name, which is that of its
    /// Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The ports of other components that its pods connect to, by the component's name.
    pub reaches: BTreeMap<String, Vec<String>>,
    /// The ports that everybody may connect to, also from outside of the cluster.
    pub open: Vec<String>,
    /// The port that is the way into the shop, for whatever stands before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// It runs only where the environment asks for this ingress class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_class: Option<String>,
}

/// Whether all pods of a component read the same files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PodFiles {
    /// The pods are alike.
    #[default]
    Shared,
    /// Each pod has a number and a name that stay, and files that speak of them.
    Own,
}

/// Where a component can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// As processes of one machine.
    Local,
    /// As pods.
    K3s,
}

impl Component {
    /// Whether it can run there.
    pub fn runs_on(&self, place: Place) -> bool {
        self.places.is_empty() || self.places.contains(&place)
    }

    /// The template of an object by its path below `templates/`.
    pub fn object_template(&self, path: &str) -> String {
        match path.strip_prefix('/') {
            Some(shared) => shared.to_owned(),
            None => format!("{}/{path}", self.name),
        }
    }
}
