//! The machines that a shop on k3s runs on.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A machine of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Host {
    /// Where `ssh` reaches it: an address, a name, or a `Host` of `ssh_config`. With `connection: local` it may be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = "^[A-Za-z0-9_]([A-Za-z0-9._:%-]*[A-Za-z0-9])?$"),
        extend("format" = "shop-address")
    )]
    pub address: Option<String>,
    /// Where the other hosts reach it, if that is another address: the default is the one of its default route.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-fA-F.:]+$"), extend("format" = "shop-ip"))]
    pub node_address: Option<String>,
    /// The port of its sshd; absent: as `ssh_config` says, and otherwise 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Who logs in; absent: as `ssh_config` says, and otherwise `root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_.-]*$"),
        extend("format" = "shop-user")
    )]
    pub user: Option<String>,
    /// What it does in the cluster.
    pub role: HostRole,
    /// How commands get there.
    pub connection: Connection,
    /// Its host keys. Given: no other is taken. Absent: the key of the first time is kept and must not change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "fingerprints")]
    pub fingerprints: Vec<String>,
    /// The private key to log in with, seen from the environment file; absent: as ssh and its agent choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("format" = "shop-path"))]
    pub identity: Option<String>,
    /// Whether commands are run with sudo.
    pub sudo: Sudo,
    /// What takes its power or its network away for a drill, and gives it back: commands of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<HostFaults>,
}

/// Commands of this machine that break a host for a drill and mend it: of a power strip, a management board, a switch.
/// Each is a program with its arguments, run in the folder of the environment file; a password belongs into a file that the
/// program reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostFaults {
    /// What a report has to say about them: what a power cut spares that is one in a test only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub about: Option<String>,
    /// Takes its power away, at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub power_off: Vec<String>,
    /// Gives its power back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub power_on: Vec<String>,
    /// Takes its network away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub unplug: Vec<String>,
    /// Gives its network back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub plug: Vec<String>,
}

/// What a host does in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HostRole {
    /// It runs the cluster's brain, and pods as well.
    #[default]
    Server,
    /// It runs pods.
    Agent,
}

/// How commands get to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// Over the system's ssh.
    #[default]
    Ssh,
    /// It is this machine.
    Local,
}

/// Whether commands are run with sudo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Sudo {
    /// Unless the user is root; asks for a password if sudo wants one.
    #[default]
    Auto,
    /// Never: the user may do everything that is needed.
    Never,
}

fn fingerprints(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "string",
            "format": "shop-fingerprint",
            "pattern": "^SHA256:[A-Za-z0-9+/]{43}$",
        },
    })
}
