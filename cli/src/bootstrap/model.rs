//! What is wanted of the hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::facts::HostFacts;

/// What a host is in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// It runs the control plane, and pods.
    #[default]
    Server,
    /// It runs pods.
    Agent,
}

impl Role {
    /// The name of its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Server => "k3s",
            Self::Agent => "k3s-agent",
        }
    }
}

/// A host of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedHost {
    /// Its name, which is its node's as well.
    pub name: String,
    /// Where this machine reaches it.
    pub client: String,
    /// Where the other hosts reach it; none: at the address of its default route, once that is known.
    pub address: Option<IpAddr>,
    /// What it is.
    pub role: Role,
}

/// How soon a lost host is noticed, and its pods are made elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedNodeLoss {
    /// How often a host says that it is well.
    pub status_interval: Duration,
    /// How long a host may be silent before it counts as gone.
    pub grace: Duration,
    /// After how many seconds more its pods are given up, if they say nothing of their own.
    pub toleration_seconds: u32,
}

impl Default for WantedNodeLoss {
    fn default() -> Self {
        Self {
            status_interval: Duration::from_secs(4),
            grace: Duration::from_secs(20),
            toleration_seconds: 10,
        }
    }
}

/// The content of registries.yaml. It may hold passwords, so it is in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Registries(pub String);

impl fmt::Debug for Registries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Registries(…)")
    }
}

/// A k3s that is to run on hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedCluster {
    /// The environment that it belongs to.
    pub environment: String,
    /// The program.
    pub binary: WantedBinary,
    /// Archives of images that every host gets.
    pub archives: Vec<WantedArchive>,
    /// Images that hosts pull from the registry, each as `NAME@DIGEST`.
    pub pulled: Vec<String>,
    /// What the environment adds to every config.yaml; it overrides.
    pub config: BTreeMap<String, Json>,
    /// The registries.yaml; none: there is none.
    pub registries: Option<Registries>,
    /// The certificate that the registry's own is signed by.
    pub registry_ca: Option<String>,
    /// How soon a lost host is noticed.
    pub node_loss: WantedNodeLoss,
    /// Whether k3s' own load balancer leads into the shop.
    pub load_balancer: bool,
    /// Whether something is scaled by what it uses.
    pub metrics: bool,
    /// The hosts, the first server first.
    pub hosts: Vec<WantedHost>,
    /// Ports of every host that the way into the shop listens on.
    pub ingress_ports: Vec<u16>,
}

/// The program `k3s`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedBinary {
    /// The file on this machine.
    pub path: PathBuf,
    /// Its version: `v1.34.3+k3s1`.
    pub version: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it brings iptables, conntrack and the like, as the published ones do.
    pub brings_programs: bool,
}

/// An archive of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedArchive {
    /// The file on this machine.
    pub path: PathBuf,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// The images in it, each as `NAME@DIGEST`, or as `NAME` where the archive tells no digest: every node is to hold them.
    pub images: Vec<String>,
}

/// What the names of our archives begin with on a host.
pub(super) const ARCHIVE_PREFIX: &str = "shopctl-";

impl WantedArchive {
    /// Its name on a host. It holds the digest, because k3s imports a file that it knows again only if its size differs.
    pub fn name(&self) -> String {
        let file = self
            .path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let known = [".tar.zst", ".tar.gz", ".tgz", ".tar"];
        let extension = known
            .into_iter()
            .find(|extension| file.ends_with(extension))
            .unwrap_or(".tar");
        let stem = file.strip_suffix(extension).unwrap_or(&file);
        let digest = self.sha256.get(..12).unwrap_or(&self.sha256);
        format!("{ARCHIVE_PREFIX}{stem}-{digest}{extension}")
    }
}

impl WantedCluster {
    /// The same with the addresses that the hosts have, where none was given.
    #[must_use]
    pub fn with_addresses(mut self, facts: &BTreeMap<String, HostFacts>) -> Self {
        for host in &mut self.hosts {
            let found = facts.get(&host.name).and_then(HostFacts::main_address);
            host.address = host.address.or(found);
        }
        self
    }

    /// The server that begins the cluster.
    pub fn first_server(&self) -> Option<&WantedHost> {
        self.hosts.iter().find(|host| host.role == Role::Server)
    }

    /// Every image that a host is to hold, as `NAME@DIGEST`, or as `NAME` where its digest is not known.
    pub fn images(&self) -> impl Iterator<Item = &String> {
        let archived = self.archives.iter().flat_map(|archive| &archive.images);
        archived.chain(&self.pulled)
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        let is_server = |host: &&WantedHost| host.role == Role::Server;
        self.hosts.iter().filter(is_server).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archives_name_changes_with_its_content() {
        let name = |path: &str, sha256: &str| {
            WantedArchive {
                path: path.into(),
                sha256: sha256.to_owned(),
                size: 1,
                images: Vec::new(),
            }
            .name()
        };
        assert_eq!(
            name("/a/system.tar.zst", "0123456789abcdef"),
            "shopctl-system-0123456789ab.tar.zst"
        );
        assert_eq!(name("/a/x.oci", "ff"), "shopctl-x.oci-ff.tar");
    }
}
