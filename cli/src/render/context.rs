//! What a template sees, as types: what is not here is undefined, and undefined is an error.

use std::collections::BTreeMap;

use serde::Serialize;

/// Where a pod finds its secrets.
pub(super) const POD_SECRETS: &str = "/etc/shop/secrets";
/// Where a pod finds its files.
pub(super) const POD_CONFIG: &str = "/etc/shop/config";

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
    /// Whether instances are pods, each with an address and a file system of its own.
    pub in_pods: bool,
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
    /// Inside of a pod. Programs are found by their names there.
    pub fn pods(programs: impl IntoIterator<Item = String>) -> Self {
        let by_name = |name: String| {
            let file = ProgramFile {
                path: name.clone(),
                fingerprint: String::new(),
            };
            (name, file)
        };
        Self {
            state_dir: "/var/lib/shop".to_owned(),
            run_dir: "/run/shop".to_owned(),
            secrets_dir: POD_SECRETS.to_owned(),
            listen: "0.0.0.0".to_owned(),
            networks: vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
            programs: programs.into_iter().map(by_name).collect(),
            in_pods: true,
        }
    }

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
    /// The Secret with the certificate of the way in, where TLS ends in the cluster.
    pub tls_secret: Option<&'a str>,
    /// The networks of our own proxies before the shop.
    pub proxies: Vec<&'a str>,
    /// The networks whose addresses stand for many clients, because the cluster hides theirs.
    pub shared_addresses: Vec<&'a str>,
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
    /// Whether its files are those of many pods, none of which they can name.
    pub shared: bool,
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
    /// Whether its host leads to all pods of the component.
    pub shared: bool,
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
    /// The value, and the other one while it is rotated, in an order that does not change when they change places. Only
    /// in files that nobody else can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<&'a str>>,
    /// The file with the other one while it is rotated, for components that are given it.
    pub other: Option<String>,
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
