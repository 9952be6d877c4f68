//! What a host is and what runs there, as one script tells it in one round trip.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use super::marker::Marker;
use super::paths;
use crate::host::{Command, Host, HostError};

const SCRIPT: &str = concat!(include_str!("api.sh"), include_str!("facts.sh"));
const ABOUT: &str = "look at it";
/// Digests of large files take their time on slow disks.
const DEADLINE: Duration = Duration::from_mins(1);

/// What a host is and what runs there.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct HostFacts {
    /// The operating system, as it calls itself.
    pub os: String,
    /// The architecture, as `uname -m` says it.
    pub arch: String,
    /// The kernel's release.
    pub kernel: String,
    /// Its own name.
    pub hostname: String,
    /// What tells machines apart.
    pub machine: String,
    /// Whether systemd runs it.
    pub systemd: bool,
    /// Processors.
    pub cpus: u32,
    /// Memory in KiB.
    pub memory: u64,
    /// KiB that are free where k3s keeps its data.
    pub data_free: u64,
    /// KiB that are free where programs are.
    pub programs_free: u64,
    /// The file system of k3s' data.
    pub filesystem: String,
    /// Whether control groups are of the first version.
    pub cgroup_v1: bool,
    /// The controllers that there are.
    pub controllers: Vec<String>,
    /// Whether processes may be given more than their limits: `CAP_SYS_RESOURCE`.
    pub resource: bool,
    /// Kernel modules, and whether they are there; `None`: it cannot be told.
    pub modules: BTreeMap<String, Option<bool>>,
    /// Programs, and whether they are there.
    pub programs: BTreeMap<String, bool>,
    /// The default route; empty: none.
    pub route: String,
    /// Its addresses, with the device of each.
    pub addresses: Vec<(String, IpAddr)>,
    /// Who listens where; `None`: it cannot be told.
    pub listeners: Option<Vec<Listener>>,
    /// Another Kubernetes that is there.
    pub others: Vec<String>,
    /// What shopctl wrote about its k3s; `None`: it made none.
    pub marker: Option<Marker>,
    /// Whether a marker is there that nobody understands.
    pub marker_spoiled: bool,
    /// Where a `k3s` is.
    pub binary: Option<String>,
    /// The version of ours.
    pub version: Option<String>,
    /// Whether k3s has data.
    pub state: bool,
    /// Whether k3s has a password by which a server knows this machine again.
    pub node_password: bool,
    /// The files of ours that are there: SHA-256 and mode, by path.
    pub files: BTreeMap<String, SeenFile>,
    /// The image archives that are there, with their sizes.
    pub images: BTreeMap<String, u64>,
    /// The units `k3s` and `k3s-agent`.
    pub units: BTreeMap<String, SeenUnit>,
    /// The SHA-256 of the token that agents join with.
    pub agent_token: Option<String>,
    /// The SHA-256 of the token that servers join with.
    pub server_token: Option<String>,
    /// The nodes of the cluster, from a server that answers.
    pub nodes: Option<Vec<SeenNode>>,
    /// How far its clock is ahead of this machine's, in seconds, give or take half of the round trip.
    pub clock_ahead: f64,
}

impl HostFacts {
    /// The address of the default route, by which others on its network know the host.
    pub fn main_address(&self) -> Option<IpAddr> {
        let words: Vec<&str> = self.route.split_whitespace().collect();
        let after = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            words.get(at + 1).copied()
        };
        if let Some(source) = after("src").and_then(|source| source.parse().ok()) {
            return Some(source);
        }
        let device = after("dev")?;
        let mut own = self.addresses.iter().filter(|(name, _)| name == device);
        own.clone()
            .find(|(_, address)| address.is_ipv4())
            .or_else(|| own.next())
            .map(|(_, address)| *address)
    }
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// Its mode, as `stat` shows it.
    pub mode: String,
}

/// Somebody who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The address; `*` for all.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The program and its pid, as far as they are known.
    pub process: String,
}

/// A unit of systemd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenUnit {
    /// `active`, `activating`, `inactive`, `failed`…
    pub active: String,
    /// `enabled`, `disabled`… or `none`.
    pub enabled: String,
    /// The pid of its process; 0: none.
    pub pid: u32,
    /// The digest of the configuration that its process was started with.
    pub digest: Option<String>,
}

impl SeenUnit {
    /// Whether it runs, or is about to.
    pub fn is_running(&self) -> bool {
        self.pid > 0 && matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNode {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Why not, if the kubelet says it.
    pub reason: String,
    /// The machine that it is.
    pub machine: String,
    /// The kubelet's version.
    pub version: String,
    /// The images that it holds, as it told last, each as `NAME@DIGEST`.
    pub images: BTreeSet<String>,
}

/// Looks at a host.
pub(super) async fn look(host: &dyn Host) -> Result<HostFacts, HostError> {
    let command = Command::script(ABOUT, SCRIPT, paths::WATCHED)
        .deadline(DEADLINE)
        .as_root();
    let before = now();
    let output = host.run_well(command).await?;
    let after = now();
    let unexpected = |reason: String| HostError::Unexpected {
        host: host.name().to_owned(),
        about: ABOUT.to_owned(),
        reason,
    };
    if output.cut {
        return Err(unexpected("it says too much".to_owned()));
    }
    parse(&output.text(), before.midpoint(after)).map_err(unexpected)
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Understands what the script said. `now` is this machine's time meanwhile.
pub(super) fn parse(text: &str, now: f64) -> Result<HostFacts, String> {
    let mut facts = HostFacts::default();
    let mut seen = BTreeMap::<&str, u32>::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!(
                "`{}` is no fact; does the login shell print something of its own?",
                line.chars().take(60).collect::<String>()
            ));
        };
        *seen.entry(key).or_default() += 1;
        take(&mut facts, key, value.trim(), now).ok_or_else(|| {
            format!(
                "the fact {key} is `{}`",
                value.chars().take(80).collect::<String>()
            )
        })?;
    }
    for key in ["time", "arch", "memory", "data", "cgroup", "marker", "end"] {
        if seen.get(key) != Some(&1) {
            return Err(format!("it did not say its {key}"));
        }
    }
    Ok(facts)
}

/// Takes one fact; `None`: it makes no sense.
fn take(facts: &mut HostFacts, key: &str, value: &str, now: f64) -> Option<()> {
    let words: Vec<&str> = value.split_whitespace().collect();
    match key {
        "time" => facts.clock_ahead = value.parse::<f64>().ok()? - now,
        "os" => value.clone_into(&mut facts.os),
        "arch" => value.clone_into(&mut facts.arch),
        "kernel" => value.clone_into(&mut facts.kernel),
        "hostname" => value.clone_into(&mut facts.hostname),
        "machine" => value.clone_into(&mut facts.machine),
        "systemd" => facts.systemd = yes(value)?,
        "cpus" => facts.cpus = value.parse().ok()?,
        "memory" => facts.memory = value.parse().ok()?,
        "data" => facts.data_free = value.parse().ok()?,
        "programs" => facts.programs_free = value.parse().ok()?,
        "filesystem" => value.clone_into(&mut facts.filesystem),
        "cgroup" => facts.cgroup_v1 = value == "v1",
        "controllers" => facts.controllers = words.into_iter().map(str::to_owned).collect(),
        "resource" => facts.resource = yes(value)?,
        "module" => {
            let [name, found] = words.try_into().ok()?;
            let found = if found == "unknown" {
                None
            } else {
                Some(yes(found)?)
            };
            facts.modules.insert(name.to_owned(), found);
        }
        "program" => {
            let [name, found] = words.try_into().ok()?;
            facts.programs.insert(name.to_owned(), yes(found)?);
        }
        "route" => value.clone_into(&mut facts.route),
        "address" => {
            let [device, address] = words.try_into().ok()?;
            let (address, _) = address.split_once('/').unwrap_or((address, ""));
            facts
                .addresses
                .push((device.to_owned(), address.parse().ok()?));
        }
        "listen" if value == "unknown" => {}
        "listen" => {
            let listener = listener(&words)?;
            facts.listeners.get_or_insert_default().push(listener);
        }
        "other" => facts.others.push(value.to_owned()),
        "marker" if value.is_empty() => {}
        "marker" => {
            facts.marker = serde_json::from_str(value).ok();
            facts.marker_spoiled = facts.marker.is_none();
        }
        "binary" => facts.binary = Some(value.to_owned()).filter(|path| !path.is_empty()),
        "version" => facts.version = Some(value.to_owned()).filter(|version| !version.is_empty()),
        "state" => facts.state = yes(value)?,
        "password" => facts.node_password = yes(value)?,
        "file" => {
            let (sha256, rest) = value.split_once(' ')?;
            let (mode, path) = rest.split_once(' ')?;
            if sha256 != "absent" {
                let seen = SeenFile {
                    sha256: sha256.to_owned(),
                    mode: mode.to_owned(),
                };
                facts.files.insert(path.to_owned(), seen);
            }
        }
        "image" => {
            let (size, name) = value.split_once(' ')?;
            facts.images.insert(name.to_owned(), size.parse().ok()?);
        }
        "unit" => {
            let [name, active, enabled, pid, digest] = words.try_into().ok()?;
            let unit = SeenUnit {
                active: active.to_owned(),
                enabled: enabled.to_owned(),
                pid: pid.parse().ok()?,
                digest: Some(digest.to_owned()).filter(|digest| digest != "none"),
            };
            facts.units.insert(name.to_owned(), unit);
        }
        "agentToken" => facts.agent_token = Some(value.to_owned()),
        "serverToken" => facts.server_token = Some(value.to_owned()),
        "nodes" => facts.nodes = nodes(value),
        "end" if value == "ok" => {}
        _ => return None,
    }
    Some(())
}

fn yes(word: &str) -> Option<bool> {
    match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn listener(words: &[&str]) -> Option<Listener> {
    let (&protocol, rest) = words.split_first()?;
    let (&local, process) = rest.split_first()?;
    let (address, port) = local.rsplit_once(':')?;
    Some(Listener {
        protocol: protocol.to_owned(),
        address: address.trim_matches(['[', ']']).to_owned(),
        port: port.parse().ok()?,
        process: match process {
            [pid, name @ ..] => format!("{} (pid {pid})", name.join(" ")),
            [] => String::new(),
        },
    })
}

/// The nodes in the API server's answer; `None`: it gave none.
fn nodes(encoded: &str) -> Option<Vec<SeenNode>> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .ok()?;
    nodes_of(&serde_json::from_slice(&text).ok()?)
}

/// The nodes of a `NodeList`.
pub(super) fn nodes_of(list: &Json) -> Option<Vec<SeenNode>> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let items = list.get("items")?.as_array()?;
    let nodes = items.iter().map(|node| {
        let status = &node["status"];
        let ready = status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"))
            .unwrap_or(&Json::Null);
        SeenNode {
            name: text(&node["metadata"]["name"]),
            ready: ready["status"] == "True",
            reason: text(&ready["message"]),
            machine: text(&status["nodeInfo"]["machineID"]),
            version: text(&status["nodeInfo"]["kubeletVersion"]),
            images: images_of(&status["images"]),
        }
    });
    Some(nodes.collect())
}

/// The images of a node: each has names with tags, and names with digests.
fn images_of(images: &Json) -> BTreeSet<String> {
    let names = |image: &Json| -> Vec<String> {
        let names = image["names"].as_array().into_iter().flatten();
        names.filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let mut found = BTreeSet::new();
    for names in images.as_array().into_iter().flatten().map(names) {
        for digest in names
            .iter()
            .filter_map(|name| Some(name.split_once('@')?.1))
        {
            let tagged = names.iter().filter(|name| !name.contains('@'));
            found.extend(tagged.map(|name| format!("{name}@{digest}")));
            found.extend(names.iter().filter(|name| name.contains('@')).cloned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_is_understood() {
        // Whatever runs the tests is a Linux host, and the script looks at it without changing anything.
        let output = std::process::Command::new("sh")
            .args(["-c", SCRIPT, "shopctl", "/etc/passwd", "/nonexistent file"])
            .output()
            .unwrap();
        let facts = parse(&String::from_utf8(output.stdout).unwrap(), now()).unwrap();
        assert_eq!(facts.arch, std::env::consts::ARCH);
        assert!(facts.memory > 100_000 && facts.data_free > 0);
        assert!(facts.files.contains_key("/etc/passwd"));
        assert!(!facts.files.contains_key("/nonexistent file"));
        assert!(facts.clock_ahead.abs() < 20.0, "{}", facts.clock_ahead);
        assert_eq!(facts.units.len(), 2);
    }

    const SMALL: &str = "time=100.5\narch=x86_64\nmemory=1\ndata=1\ncgroup=v2\nmarker=\n";

    #[test]
    fn what_is_cut_off_is_not_taken_for_all() {
        assert!(parse(SMALL, 100.0).unwrap_err().contains("its end"));
        let facts = parse(&format!("{SMALL}end=ok\n"), 100.0).unwrap();
        assert!((facts.clock_ahead - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_a_login_shell_prints_is_named() {
        let error = parse(&format!("Welcome to web-1!\n{SMALL}end=ok\n"), 0.0).unwrap_err();
        assert!(error.contains("`Welcome to web-1!` is no fact"), "{error}");
        let error = parse(&format!("{SMALL}memory=lots\nend=ok\n"), 0.0).unwrap_err();
        assert_eq!(error, "the fact memory is `lots`");
    }

    #[test]
    fn listeners_are_told_with_their_process() {
        let text = format!(
            "{SMALL}listen=tcp 0.0.0.0:22 411 sshd\nlisten=tcp [::]:80 7 nginx: master\nlisten=udp 127.0.0.1%lo:53\nend=ok\n"
        );
        let listeners = parse(&text, 0.0).unwrap().listeners.unwrap();
        assert_eq!(listeners[0].process, "sshd (pid 411)");
        assert_eq!(
            (listeners[1].address.as_str(), listeners[1].port),
            ("::", 80)
        );
        assert_eq!(listeners[1].process, "nginx: master (pid 7)");
        assert_eq!(listeners[2].process, "");
    }

    #[test]
    fn a_node_says_whether_it_is_ready_and_why_not() {
        let list = serde_json::json!({"items": [{
            "metadata": {"name": "agent-1"},
            "status": {
                "conditions": [{"type": "Ready", "status": "False", "message": "cni plugin not initialized"}],
                "nodeInfo": {"machineID": "abc", "kubeletVersion": "v1.34.3+k3s1"},
            },
        }]});
        let nodes = nodes_of(&list).unwrap();
        assert!(!nodes[0].ready);
        assert_eq!(nodes[0].reason, "cni plugin not initialized");
        assert_eq!(nodes_of(&serde_json::json!({"kind": "Status"})), None);
    }
}
