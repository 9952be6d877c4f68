//! Everything that is in the way, at once, before anything changes. Pure.

mod ports;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::facts::HostFacts;
use super::links::{Link, LinkState};
use super::model::{Role, WantedCluster, WantedHost};
use super::paths;
use crate::host::HostError;
use ports::{ports, runs};

/// Room for k3s' program and what it unpacks, in KiB.
const BINARY_ROOM: u64 = 400 << 10;
/// Room for data of pods and the cluster's own, in KiB.
const DATA_ROOM: u64 = 2 << 20;
/// The least memory of a server and of an agent, in KiB: k3s' own figures, less what firmware takes.
const SERVER_MEMORY: u64 = 1_800_000;
const AGENT_MEMORY: u64 = 450_000;
/// A certificate that was made a moment ago must be valid on every host, and on this machine.
const CLOCK_LIMIT: f64 = 30.0;

/// Something that is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The host; none: it is about several, or about none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            // What failed on a host names it itself.
            Some(host) if !self.what.starts_with("failed to ") => {
                write!(formatter, "{host}: {}", self.what)
            }
            _ => formatter.write_str(&self.what),
        }
    }
}

/// All that is in the way of a cluster. `seen` has what every host said, or why it could not be asked.
pub fn preflight(
    cluster: &WantedCluster,
    seen: &BTreeMap<String, Result<HostFacts, HostError>>,
    links: &[Link],
) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    let mut facts = BTreeMap::new();
    for host in &cluster.hosts {
        match seen.get(&host.name) {
            Some(Ok(found)) => {
                facts.insert(host.name.as_str(), found);
                one_host(cluster, host, found, &mut problems);
            }
            Some(Err(error)) => problems.add(
                Some(&host.name),
                error.to_string(),
                error.hints().join("; "),
            ),
            None => {}
        }
    }
    between(cluster, &facts, &mut problems);
    for link in links {
        unreachable(link, &mut problems);
    }
    problems.0
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, host: Option<&str>, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem {
            host: host.map(str::to_owned),
            what: what.into(),
            hint: hint.into(),
        });
    }
}

fn one_host(
    cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
    problems: &mut Problems,
) {
    machine(cluster, host, facts, problems);
    room(cluster, host, facts, problems);
    programs(cluster, host, facts, problems);
    let ours = whose(cluster, host, facts, problems);
    if !ours || !runs(facts) {
        ports(cluster, host, facts, ours, problems);
    }
}

/// What the machine itself is.
fn machine(cluster: &WantedCluster, host: &WantedHost, facts: &HostFacts, problems: &mut Problems) {
    let name = Some(host.name.as_str());
    if !facts.systemd {
        problems.add(
            name,
            format!("{} is not run by systemd", facts.os),
            "use a distribution with systemd, such as Debian",
        );
    }
    let ours = std::env::consts::ARCH;
    if facts.arch != ours {
        let path = &cluster.binary.path;
        let program = if path.as_os_str().is_empty() {
            "k3s".to_owned()
        } else {
            path.display().to_string()
        };
        problems.add(
            name,
            format!("it is a {} machine, and {program} is for {ours}", facts.arch),
            format!("use {ours} machines: shopctl's own services are built for this machine's architecture"),
        );
    }
    for controller in ["cpu", "memory", "pids"] {
        if !facts.controllers.iter().any(|found| found == controller) {
            problems.add(
                name,
                format!("the kernel limits no {controller} of control groups"),
                format!("boot it with `cgroup_enable={controller}`"),
            );
        }
    }
    for (module, found) in &facts.modules {
        if *found == Some(false) {
            problems.add(
                name,
                format!("the kernel has no module {module}"),
                format!("install the modules of kernel {}", facts.kernel),
            );
        }
    }
    if facts.filesystem == "overlayfs" && !cluster.config.contains_key("snapshotter") {
        problems.add(
            name,
            "/var/lib/rancher is on an overlay file system, on which containers cannot be laid",
            "mount a file system of its own there, or set `k3s.config.snapshotter: native`",
        );
    }
    if facts.route.is_empty() {
        problems.add(
            name,
            "it has no default route, without which k3s does not know its own address",
            "give it one, even if it leads nowhere",
        );
    }
    if facts.clock_ahead.abs() > CLOCK_LIMIT {
        let direction = if facts.clock_ahead > 0.0 {
            "ahead of"
        } else {
            "behind"
        };
        problems.add(
            name,
            format!(
                "its clock is {:.0} s {direction} this machine's",
                facts.clock_ahead.abs()
            ),
            "let timesyncd or chrony set the clocks of both",
        );
    }
}

fn room(cluster: &WantedCluster, host: &WantedHost, facts: &HostFacts, problems: &mut Problems) {
    let name = Some(host.name.as_str());
    let least = match host.role {
        Role::Server => SERVER_MEMORY,
        Role::Agent => AGENT_MEMORY,
    };
    if facts.memory < least {
        problems.add(
            name,
            format!(
                "it has {} MiB of memory, and needs {}",
                facts.memory >> 10,
                least >> 10
            ),
            "use a larger machine",
        );
    }
    let missing = |path: &str, size: u64| {
        let there = facts.files.contains_key(path);
        if there { 0 } else { size }
    };
    let binary = missing(paths::BINARY, cluster.binary.size >> 10);
    let images: u64 = cluster
        .archives
        .iter()
        .filter(|archive| !facts.images.contains_key(&archive.name()))
        // Its content is unpacked beside it.
        .map(|archive| (archive.size >> 10) * 4)
        .sum();
    let data = if facts.state {
        0
    } else {
        DATA_ROOM + BINARY_ROOM
    };
    for (place, free, needed) in [
        ("/usr/local/bin", facts.programs_free, binary),
        ("/var/lib/rancher", facts.data_free, images + data),
    ] {
        if free < needed {
            problems.add(
                name,
                format!(
                    "{place} has {} MiB free, and {} are needed",
                    free >> 10,
                    needed >> 10
                ),
                "free some space there, or mount a larger disk",
            );
        }
    }
}

fn programs(
    cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
    problems: &mut Problems,
) {
    // Without ipset k3s runs, and says in its journal only that nobody holds the network policies to their word.
    let brought = ["iptables", "ipset", "conntrack"];
    let missing: Vec<&str> = facts
        .programs
        .iter()
        .filter(|(program, there)| {
            let comes = cluster.binary.brings_programs && brought.contains(&program.as_str());
            !**there && !comes
        })
        .map(|(program, _)| program.as_str())
        .collect();
    if !missing.is_empty() {
        let package = |program: &str| match program {
            "ip" => "iproute2".to_owned(),
            "sha256sum" | "dd" => "coreutils".to_owned(),
            other => other.to_owned(),
        };
        let packages: Vec<String> = missing.iter().map(|program| package(program)).collect();
        problems.add(
            Some(&host.name),
            format!("it has no {}", missing.join(", no ")),
            format!("`apt-get install {}` there", packages.join(" ")),
        );
    }
}

/// Whether the k3s that is there is ours. Says what is in the way if it is not.
fn whose(
    cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
    problems: &mut Problems,
) -> bool {
    let name = Some(host.name.as_str());
    for other in &facts.others {
        problems.add(
            name,
            format!("another Kubernetes is there: {other}"),
            format!("remove {other}, or name another host"),
        );
    }
    let Some(marker) = &facts.marker else {
        if facts.marker_spoiled {
            problems.add(
                name,
                format!("{} does not hold what shopctl wrote", paths::MARKER),
                "restore it, or remove k3s by hand",
            );
        } else if facts.binary.is_some() || facts.state || runs(facts) {
            let version = facts.version.as_deref().unwrap_or("of an unknown version");
            problems.add(
                name,
                format!("there is a k3s {version} that shopctl did not install"),
                "remove it with `k3s-uninstall.sh` if nobody needs it, or name another host",
            );
        }
        return false;
    };
    if marker.environment != cluster.environment {
        problems.add(
            name,
            format!("its k3s belongs to the environment {}", marker.environment),
            format!(
                "`shopctl down --cluster -e {}` frees it",
                marker.environment
            ),
        );
    } else if marker.role != host.role || marker.host != host.name {
        let role = match marker.role {
            Role::Server => "server",
            Role::Agent => "agent",
        };
        problems.add(
            name,
            format!("its k3s is the {role} {} of this environment", marker.host),
            "name it so, or take its k3s away first with `shopctl down --cluster`",
        );
    } else if let (Some(old), Some(new)) = (
        facts.version.as_deref().and_then(super::config::minor),
        super::config::minor(&cluster.binary.version),
    ) {
        let old_version = facts.version.as_deref().unwrap_or_default();
        if new < old || new > old + 1 {
            problems.add(
                name,
                format!(
                    "its k3s is {old_version}, from which no step leads to {}",
                    cluster.binary.version
                ),
                "go up one minor version at a time, and never down",
            );
        }
    }
    true
}

/// What several hosts have in common that each should have for itself.
fn between(cluster: &WantedCluster, facts: &BTreeMap<&str, &HostFacts>, problems: &mut Problems) {
    if cluster.first_server().is_none() {
        problems.add(
            None,
            "no host is a server",
            "give one of `hosts` the `role: server`",
        );
    }
    begins_another(cluster, facts, problems);
    let mut machines = BTreeMap::<&str, Vec<&str>>::new();
    for (name, facts) in facts {
        if !facts.machine.is_empty() {
            machines.entry(&facts.machine).or_default().push(name);
        }
    }
    for names in machines.values().filter(|names| names.len() > 1) {
        problems.add(
            None,
            format!("{} are one machine, or copies with one machine-id", names.join(" and ")),
            "name each machine once; a copy gets an id of its own with `rm /etc/machine-id; systemd-machine-id-setup`",
        );
    }
    let nodes = facts.values().find_map(|facts| facts.nodes.as_ref());
    for node in nodes.into_iter().flatten().filter(|node| node.ready) {
        let host = facts.get(node.name.as_str());
        if host.is_some_and(|facts| !facts.machine.is_empty() && facts.machine != node.machine) {
            problems.add(
                Some(&node.name),
                "another machine is in the cluster under this name, and it is ready",
                "give the host another name, or stop the other machine first",
            );
        }
    }
}

/// The first server begins a cluster if it has none. Where another one has, there would be two.
fn begins_another(
    cluster: &WantedCluster,
    facts: &BTreeMap<&str, &HostFacts>,
    problems: &mut Problems,
) {
    let has_begun = |host: &&WantedHost| {
        host.role == Role::Server
            && facts
                .get(host.name.as_str())
                .is_some_and(|facts| facts.server_token.is_some())
    };
    let Some(first) = cluster.first_server() else {
        return;
    };
    let is_known = facts.contains_key(first.name.as_str());
    if let Some(other) = cluster.hosts.iter().find(has_begun)
        && is_known
        && !has_begun(&first)
    {
        problems.add(
            Some(&first.name),
            format!("it would begin another cluster than the one that {} has: the first server is the first by its name", other.name),
            format!("give it a name that comes after {}; or, if that cluster is to go, `shopctl down --cluster` first", other.name),
        );
    }
}

fn unreachable(link: &Link, problems: &mut Problems) {
    if let LinkState::Blocked(reason) = &link.state {
        problems.add(
            Some(&link.from),
            format!(
                "it does not reach {} at {} on port {}/{}: {reason}",
                link.to, link.address, link.port, link.protocol
            ),
            "open the port in the firewalls between them, or give `address` where the hosts reach each other",
        );
    }
}

#[cfg(test)]
mod tests;
