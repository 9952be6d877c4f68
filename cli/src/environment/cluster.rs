//! What a shop on k3s asks of its cluster.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::value::Duration;

/// The k3s that is installed, and what its cluster is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct K3s {
    /// The release.
    #[schemars(
        regex(pattern = r"^v[0-9]+\.[0-9]+\.[0-9]+\+k3s[0-9]+$"),
        extend("format" = "shop-k3s-version")
    )]
    pub version: String,
    /// A file with k3s of that version, seen from the environment file; absent: the release is downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("format" = "shop-path"))]
    pub binary: Option<String>,
    /// Archives of images that every host is given, seen from the environment file.
    #[schemars(schema_with = "paths")]
    pub images: Vec<String>,
    /// More settings of k3s, as its config.yaml has them: `kubelet-arg: [max-pods=200]`.
    pub config: BTreeMap<String, serde_json::Value>,
    /// What happens to the pods of a host that is gone.
    pub node_loss: NodeLoss,
    /// How pods are replaced.
    pub rollout: Rollout,
}

impl Default for K3s {
    fn default() -> Self {
        Self {
            version: "v1.34.3+k3s1".to_owned(),
            binary: None,
            images: Vec::new(),
            config: BTreeMap::new(),
            node_loss: NodeLoss::default(),
            rollout: Rollout::default(),
        }
    }
}

/// Settings of k3s that shopctl decides itself.
pub(super) const OWN_SETTINGS: [&str; 14] = [
    "agent-token",
    "agent-token-file",
    "cluster-init",
    "cluster-reset",
    "config",
    "data-dir",
    "node-external-ip",
    "node-ip",
    "node-name",
    "server",
    "token",
    "token-file",
    "write-kubeconfig",
    "write-kubeconfig-mode",
];

/// What happens to the pods of a host that is gone. All three together are the time until they run elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeLoss {
    /// How often a host says that it is well.
    #[schemars(extend("minimumMilliseconds" = 1_000, "maximumMilliseconds" = 60_000))]
    pub status_interval: Duration,
    /// How long a host may be silent before it counts as gone, and Services leave its pods out.
    #[schemars(extend("minimumMilliseconds" = 5_000, "maximumMilliseconds" = 600_000))]
    pub grace: Duration,
    /// How many seconds after that its pods are given up and made elsewhere.
    #[schemars(range(max = 3_600))]
    pub toleration_seconds: u32,
}

impl Default for NodeLoss {
    fn default() -> Self {
        Self {
            status_interval: Duration::from_seconds(4),
            grace: Duration::from_seconds(20),
            toleration_seconds: 10,
        }
    }
}

/// How pods are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    /// How long all objects together may take to be ready.
    #[schemars(extend("minimumMilliseconds" = 10_000, "maximumMilliseconds" = 7_200_000))]
    pub deadline: Duration,
    /// How many seconds a pod goes on taking requests when it is about to end: everybody must have heard of it by then.
    #[schemars(range(max = 60))]
    pub linger_seconds: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            deadline: Duration::from_seconds(300),
            linger_seconds: 5,
        }
    }
}

/// A registry that the services' image is pushed to, and that the hosts pull it from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Where it is, and the path below which images are put: `registry.example.com/shop`.
    #[schemars(
        length(max = 400),
        regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-][a-z0-9]+)*)*$"),
        extend("format" = "shop-registry")
    )]
    pub address: String,
    /// Who pushes and pulls; absent: everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub user: Option<String>,
    /// The file with the user's password, seen from the environment file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("format" = "shop-path"))]
    pub password_file: Option<String>,
    /// The file with the certificate that its own is signed by, seen from the environment file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("format" = "shop-path"))]
    pub ca_file: Option<String>,
    /// Whether it speaks HTTP without TLS.
    #[serde(default)]
    pub plain_http: bool,
}

/// How many instances of a service run, by the work that they have. `replicas` is the fewest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscaling {
    /// The most instances.
    #[schemars(range(min = 1, max = 64))]
    pub maximum_replicas: u32,
    /// The share of the requested processor time, in percent, that instances are held to.
    #[serde(default = "cpu_percent")]
    #[schemars(range(min = 1, max = 1_000))]
    pub cpu_percent: u32,
}

fn cpu_percent() -> u32 {
    200
}

fn paths(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": { "type": "string", "format": "shop-path", "minLength": 1, "maxLength": 4096 },
    })
}
