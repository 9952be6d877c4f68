//! What a template sees, as types: what is not here is undefined, and undefined is an error.

use std::collections::BTreeMap;

use serde::Serialize;

/// Where an environment lives: what only its target knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The state folder.
    pub state_dir: String,
    /// The folder of sockets: short, and gone after a reboot.
    pub run_dir: String,
    /// The folder with the secrets' files.
    pub secrets_dir: String,
    /// The address that servers listen on.
    pub listen: String,
    /// The networks that clients come from.
    pub networks: Vec<String>,
    /// The programs that were found, by the name that templates know them by.
    pub programs: BTreeMap<String, ProgramFile>,
}

/// A program as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFile {
    /// Its absolute path.
    pub path: String,
    /// Changes when the program does: what an upgrade replaced is started again.
    pub fingerprint: String,
}

impl Place {
    /// The folder of an instance.
    pub(super) fn instance_dir(&self, instance: &str) -> String {
        format!("{}/instances/{instance}", self.state_dir)
    }
}

/// The whole context of one template of one instance.
#[derive(Debug, Serialize)]
pub(super) struct Context<'a> {
    pub environment: EnvironmentContext<'a>,
    pub component: ComponentContext<'a>,
    pub instance: InstanceContext,
    pub components: &'a BTreeMap<String, PeersContext>,
    pub secrets: BTreeMap<&'a str, SecretContext<'a>>,
    /// The public halves of all keys, whoever has the secret ones.
    #[serde(rename = "publicKeys")]
    pub public_keys: BTreeMap<&'a str, &'a str>,
    pub programs: BTreeMap<&'a str, &'a str>,
    pub state: StateContext<'a>,
    pub shop: ShopContext<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvironmentContext<'a> {
    pub name: &'a str,
    pub target: crate::environment::Target,
    pub admin_email: &'a str,
    pub ingress_host: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct ComponentContext<'a> {
    pub name: &'a str,
    pub replicas: u32,
    pub settings: &'a BTreeMap<String, serde_json::Value>,
    pub storage: Option<&'a str>,
    pub after: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceContext {
    pub name: String,
    pub ordinal: u32,
    pub host: String,
    pub ports: BTreeMap<String, u16>,
    pub listen: String,
    pub networks: Vec<String>,
    pub data_dir: String,
    pub config_dir: String,
    pub run_dir: String,
}

/// What a component's peers may know about it.
#[derive(Debug, Serialize)]
pub(super) struct PeersContext {
    pub replicas: u32,
    pub settings: BTreeMap<String, serde_json::Value>,
    pub instances: Vec<PeerContext>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PeerContext {
    pub name: String,
    pub ordinal: u32,
    pub host: String,
    pub ports: BTreeMap<String, u16>,
    /// The folder of its Unix socket, where it and its clients share a machine.
    pub socket_dir: Option<String>,
}

#[derive(Serialize)]
pub(super) struct SecretContext<'a> {
    pub path: &'a str,
    /// Only in files that nobody else can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'a str>,
}

impl std::fmt::Debug for SecretContext<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.path)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateContext<'a> {
    pub dir: &'a str,
    pub run_dir: &'a str,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ShopContext<'a> {
    pub version: &'a str,
    pub commit: &'a str,
}
