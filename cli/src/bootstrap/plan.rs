//! From what hosts are to what they are to be, step by step. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::config::{NodeConfig, node_config};
use super::facts::{HostFacts, SeenNode};
use super::model::{ARCHIVE_PREFIX, Role, WantedArchive, WantedCluster, WantedHost};
use super::paths;
use crate::plan::Step;

/// What a step does on hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    rename_all = "camelCase",
    tag = "action",
    rename_all_fields = "camelCase"
)]
pub enum HostAction {
    /// Write down whose the host is and how it was.
    Claim {
        /// The host.
        host: String,
    },
    /// Put the program k3s there.
    PlaceBinary {
        /// The host.
        host: String,
    },
    /// Put archives of images there, and take away those that nobody wants any more.
    PlaceImages {
        /// The host.
        host: String,
    },
    /// Write what k3s is told.
    WriteConfiguration {
        /// The host.
        host: String,
    },
    /// Take a machine that is gone out of the cluster, so that another one can have its name.
    Forget {
        /// The server that is asked.
        host: String,
        /// The node.
        node: String,
    },
    /// Start or restart k3s, and wait until its node is ready.
    Start {
        /// The host.
        host: String,
    },
    /// Fetch the kubeconfig.
    FetchKubeconfig {
        /// The server that has it.
        host: String,
    },
    /// Wait until the cluster can run pods.
    AwaitCluster {
        /// The server that is asked.
        host: String,
    },
    /// See that a host holds every image, and bring in what is missing.
    CheckImages {
        /// The host.
        host: String,
    },
    /// Take k3s away.
    Remove {
        /// The host.
        host: String,
    },
}

impl HostAction {
    /// The host that it is about.
    pub fn host(&self) -> &str {
        match self {
            Self::Claim { host }
            | Self::PlaceBinary { host }
            | Self::PlaceImages { host }
            | Self::WriteConfiguration { host }
            | Self::Forget { host, .. }
            | Self::Start { host }
            | Self::FetchKubeconfig { host }
            | Self::AwaitCluster { host }
            | Self::CheckImages { host }
            | Self::Remove { host } => host,
        }
    }

    /// When it is done: what has the same wave is done side by side, host by host.
    pub fn wave(&self) -> HostWave {
        match self {
            Self::Claim { .. }
            | Self::PlaceBinary { .. }
            | Self::PlaceImages { .. }
            | Self::WriteConfiguration { .. }
            | Self::Remove { .. } => HostWave::Prepare,
            Self::Start { .. } | Self::Forget { .. } => HostWave::Start,
            Self::FetchKubeconfig { .. } | Self::AwaitCluster { .. } => HostWave::Settle,
            Self::CheckImages { .. } => HostWave::Check,
        }
    }
}

/// The order of what is done on hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostWave {
    /// Files: all hosts side by side.
    Prepare,
    /// Processes: servers one by one, then agents side by side.
    Start,
    /// What is done once.
    Settle,
    /// What is seen to at the end: all hosts side by side.
    Check,
}

/// What was seen: the facts of each host, by its name, and what is here.
#[derive(Clone, Debug, Default)]
pub struct SeenCluster {
    /// The facts of the hosts.
    pub hosts: BTreeMap<String, HostFacts>,
    /// Whether the kubeconfig that is kept here leads to this cluster.
    pub kubeconfig: bool,
    /// The images that each host holds, as `NAME@DIGEST`. A host that was not asked is not here.
    pub images: BTreeMap<String, BTreeSet<String>>,
    /// Whether pods can run: the default account is there, and names are resolved. `None`: it was not asked.
    pub settled: Option<bool>,
}

impl SeenCluster {
    /// The nodes of the cluster, if a server answers.
    pub fn nodes(&self) -> Option<&Vec<SeenNode>> {
        self.hosts.values().find_map(|facts| facts.nodes.as_ref())
    }

    /// The SHA-256 of the token that a host is to join with; `None`: it joins nobody, or it is not known yet.
    pub(super) fn token(&self, cluster: &WantedCluster, host: &WantedHost) -> Option<String> {
        let first = cluster.first_server()?;
        let facts = self.hosts.get(&first.name)?;
        match host.role {
            Role::Agent => facts.agent_token.clone(),
            Role::Server if host == first => None,
            Role::Server => facts.server_token.clone(),
        }
    }
}

/// Plans what makes the hosts the wanted cluster.
pub fn plan_hosts(cluster: &WantedCluster, seen: &SeenCluster) -> Vec<Step<HostAction>> {
    let mut steps = Vec::new();
    let none = HostFacts::default();
    let facts = |host: &WantedHost| seen.hosts.get(&host.name).unwrap_or(&none);
    for host in &cluster.hosts {
        prepare(cluster, host, facts(host), &mut steps);
    }
    let Some(first) = cluster.first_server() else {
        return steps;
    };
    let (servers, agents): (Vec<_>, Vec<_>) = cluster
        .hosts
        .iter()
        .partition(|host| host.role == Role::Server);
    for host in servers.iter().chain(&agents) {
        let config = node_config(cluster, host, facts(host));
        steps.extend(forget(first, host, facts(host), seen));
        let (needed, detail) = start(host, &config, facts(host), cluster, seen);
        let name = match host.role {
            Role::Server if *host == first => format!("start k3s on {}", host.name),
            _ => format!("join {}", host.name),
        };
        steps.push(Step {
            name,
            needed,
            detail,
            action: HostAction::Start {
                host: host.name.clone(),
            },
        });
    }
    steps.push(Step {
        name: "fetch the kubeconfig".to_owned(),
        needed: !seen.kubeconfig,
        detail: format!("from {}", first.name),
        action: HostAction::FetchKubeconfig {
            host: first.name.clone(),
        },
    });
    let started = steps
        .iter()
        .any(|step| step.needed && step.action.wave() == HostWave::Start);
    steps.push(Step {
        name: "wait for the cluster".to_owned(),
        needed: started || seen.settled != Some(true),
        detail: "the default account and CoreDNS".to_owned(),
        action: HostAction::AwaitCluster {
            host: first.name.clone(),
        },
    });
    for host in &cluster.hosts {
        let missing = missing_images(cluster, seen.images.get(&host.name));
        if cluster.images().next().is_some() {
            steps.push(Step {
                name: format!("check images on {}", host.name),
                needed: !missing.is_empty(),
                detail: match missing.as_slice() {
                    [one] => format!("it does not hold {}", without_digest(one)),
                    several => format!("it does not hold {} of them", several.len()),
                },
                action: HostAction::CheckImages {
                    host: host.name.clone(),
                },
            });
        }
    }
    steps
}

/// The images that a host does not hold, or not with their digests.
pub(super) fn missing_images<'a>(
    cluster: &'a WantedCluster,
    held: Option<&BTreeSet<String>>,
) -> Vec<&'a String> {
    let is_held = |image: &&String| held.is_some_and(|held| is_among(image, held));
    cluster.images().filter(|image| !is_held(image)).collect()
}

/// Whether an image is held: with its digest, or with any where that is not known.
fn is_among(image: &str, held: &BTreeSet<String>) -> bool {
    if image.contains('@') {
        return held.contains(image);
    }
    let with_digest = format!("{image}@");
    let mut after = held.range(with_digest.clone()..);
    after
        .next()
        .is_some_and(|found| found.starts_with(&with_digest))
}

/// The name of an image.
pub(super) fn without_digest(image: &str) -> &str {
    image.split_once('@').map_or(image, |(name, _)| name)
}

/// The steps that put files on a host.
fn prepare(
    cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
    steps: &mut Vec<Step<HostAction>>,
) {
    let name = &host.name;
    let mut step = |text: &str, needed: bool, detail: String, action: HostAction| {
        steps.push(Step {
            name: format!("{text} {name}"),
            needed,
            detail,
            action,
        });
    };
    let claimed = facts
        .marker
        .as_ref()
        .is_some_and(|marker| marker.role == host.role && marker.host == host.name);
    step(
        "claim",
        !claimed,
        "a mark says whose its k3s is and how it was before".to_owned(),
        HostAction::Claim { host: name.clone() },
    );
    let binary = facts.files.get(paths::BINARY);
    let same =
        binary.is_some_and(|seen| seen.sha256 == cluster.binary.sha256 && seen.mode == "755");
    step(
        "put k3s on",
        !same,
        match &facts.version {
            Some(old) if !same => format!("{} instead of {old}", cluster.binary.version),
            _ => cluster.binary.version.clone(),
        },
        HostAction::PlaceBinary { host: name.clone() },
    );
    let images = images(cluster, facts);
    if !cluster.archives.is_empty() || images.is_some() {
        step(
            "put images on",
            images.is_some(),
            images.unwrap_or_default(),
            HostAction::PlaceImages { host: name.clone() },
        );
    }
    let config = node_config(cluster, host, facts);
    let differ: Vec<&str> = config
        .files
        .iter()
        .filter(|file| file.differs(facts))
        .map(|file| base(file.path))
        .chain(lacks_agent_token(cluster, host, facts).then_some("agent-token"))
        .collect();
    step(
        "configure k3s on",
        !differ.is_empty(),
        differ.join(", "),
        HostAction::WriteConfiguration { host: name.clone() },
    );
}

/// Whether a server has no token of its own making for agents. Once made it is never made anew.
pub(super) fn lacks_agent_token(
    _cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
) -> bool {
    host.role == Role::Server
        && facts
            .files
            .get(paths::AGENT_TOKEN)
            .is_none_or(|file| file.mode != "600")
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What is to be done about images; `None`: nothing.
fn images(cluster: &WantedCluster, facts: &HostFacts) -> Option<String> {
    let names: Vec<String> = cluster.archives.iter().map(WantedArchive::name).collect();
    let missing = cluster
        .archives
        .iter()
        .zip(&names)
        .filter(|(archive, name)| facts.images.get(*name) != Some(&archive.size))
        .count();
    let old = unwanted_images(&names, facts).count();
    let parts: Vec<String> = [(missing, "to send"), (old, "to remove")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| {
            let plural = if number == 1 { "" } else { "s" };
            format!("{number} archive{plural} {what}")
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The archives of ours that nobody wants any more.
pub(super) fn unwanted_images<'a>(
    names: &'a [String],
    facts: &'a HostFacts,
) -> impl Iterator<Item = &'a String> {
    facts
        .images
        .keys()
        .filter(move |name| name.starts_with(ARCHIVE_PREFIX) && !names.contains(name))
}

/// Whether a node of a machine that is gone has the host's name.
fn forget(
    first: &WantedHost,
    host: &WantedHost,
    facts: &HostFacts,
    seen: &SeenCluster,
) -> Option<Step<HostAction>> {
    let node = seen.nodes()?.iter().find(|node| node.name == host.name)?;
    // The server knows a machine again by the password that k3s keeps in /etc/rancher/node.
    if facts.node_password && node.machine == facts.machine {
        return None;
    }
    Some(Step {
        name: format!("forget the old {}", host.name),
        needed: true,
        detail: "the host was installed anew".to_owned(),
        action: HostAction::Forget {
            host: first.name.clone(),
            node: host.name.clone(),
        },
    })
}

/// Whether k3s has to be started, restarted or waited for on a host, and why.
fn start(
    host: &WantedHost,
    config: &NodeConfig,
    facts: &HostFacts,
    cluster: &WantedCluster,
    seen: &SeenCluster,
) -> (bool, String) {
    let unit = facts.units.get(host.role.unit());
    let token = seen.token(cluster, host);
    let Some(unit) = unit.filter(|unit| unit.is_running()) else {
        let joins = match host.role {
            Role::Server => "a server",
            Role::Agent => "an agent",
        };
        return (true, format!("as {joins}, k3s {}", cluster.binary.version));
    };
    if unit.digest.as_deref() != Some(&config.digest(token.as_deref())) {
        return (true, "restart it with what changed; pods run on".to_owned());
    }
    if config.unit(token.as_deref()).differs(facts) || unit.enabled != "enabled" {
        return (true, "its unit was changed".to_owned());
    }
    let node = seen
        .nodes()
        .and_then(|nodes| nodes.iter().find(|node| node.name == host.name));
    match node {
        Some(node) if node.ready => (false, String::new()),
        Some(node) => (true, format!("wait for it: {}", node.reason)),
        None => (true, "wait for it".to_owned()),
    }
}

#[cfg(test)]
mod tests;
