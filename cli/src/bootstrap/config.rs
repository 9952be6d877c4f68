//! What k3s is told on each host: its config.yaml, its unit and its drop-ins. Pure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::facts::HostFacts;
use super::model::{Role, WantedCluster, WantedHost};
use super::paths;
use super::yaml::written;
use crate::host::Mode;

/// A file that is to be on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedFile {
    pub(super) path: &'static str,
    /// `None`: it is not to be there.
    pub(super) content: Option<String>,
    pub(super) mode: Mode,
}

impl WantedFile {
    /// Whether the host has it otherwise.
    pub(super) fn differs(&self, facts: &HostFacts) -> bool {
        match (&self.content, facts.files.get(self.path)) {
            (None, None) => false,
            (Some(content), Some(seen)) => {
                let mode = self.mode.as_octal().trim_start_matches('0');
                seen.sha256 != sha256(content.as_bytes()) || seen.mode != mode
            }
            _ => true,
        }
    }
}

/// The configuration of k3s on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeConfig {
    /// All files but the unit.
    pub(super) files: Vec<WantedFile>,
    role: Role,
    environment: String,
    digest: String,
}

impl NodeConfig {
    /// What a process of k3s must have been started with to be the wanted one. `token` is the SHA-256 of the token
    /// that it joins with.
    pub(super) fn digest(&self, token: Option<&str>) -> String {
        sha256(format!("{} {}", self.digest, token.unwrap_or("none")).as_bytes())
    }

    /// The unit. It holds the digest, so a running process tells what it was started with.
    pub(super) fn unit(&self, token: Option<&str>) -> WantedFile {
        WantedFile {
            path: unit_path(self.role),
            content: Some(unit(self.role, &self.environment, &self.digest(token))),
            mode: Mode::Public,
        }
    }
}

/// Where the unit of a role is.
pub(super) fn unit_path(role: Role) -> &'static str {
    match role {
        Role::Server => paths::SERVER_UNIT,
        Role::Agent => paths::AGENT_UNIT,
    }
}

/// What k3s is to be told on a host.
pub(super) fn node_config(
    cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
) -> NodeConfig {
    let config = written(&Json::Object(
        config(cluster, host, facts).into_iter().collect(),
    ));
    let header = format!(
        "# Written by shopctl for the environment {}; changes are overwritten.\n",
        cluster.environment
    );
    let file = |path, content: Option<String>, mode| WantedFile {
        path,
        content,
        mode,
    };
    let drop_in = (!facts.resource).then(|| {
        format!(
            "{header}# This machine has no CAP_SYS_RESOURCE: without this no pod starts.\n\
             [plugins.\"io.containerd.cri.v1.runtime\"]\n  restrict_oom_score_adj = true\n"
        )
    });
    let template = (!facts.resource && !imports_drop_ins(&cluster.binary.version)).then(|| {
        "imports = [\"/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/*.toml\"]\n\
         {{ template \"base\" . }}\n"
            .to_owned()
    });
    let registries = cluster.registries.as_ref().map(|text| text.0.clone());
    let files = vec![
        file(
            paths::CONFIG,
            Some(format!("{header}{config}")),
            Mode::Private,
        ),
        file(paths::REGISTRIES, registries, Mode::Private),
        file(
            paths::REGISTRY_CA,
            cluster.registry_ca.clone(),
            Mode::Public,
        ),
        file(paths::TEMPLATE, template, Mode::Public),
        file(paths::DROP_IN, drop_in, Mode::Public),
        file(
            paths::KUBELET,
            Some(kubelet(&header, cluster)),
            Mode::Public,
        ),
    ];
    let mut all = format!("{} {}\n", cluster.binary.sha256, host.role.unit());
    for file in &files {
        let content = file
            .content
            .as_deref()
            .map(|content| sha256(content.as_bytes()));
        all.extend([file.path, " ", content.as_deref().unwrap_or("none"), "\n"]);
    }
    NodeConfig {
        files,
        role: host.role,
        environment: cluster.environment.clone(),
        digest: sha256(all.as_bytes()),
    }
}

/// The kubelet tells more often that it lives: it renews its lease four times before that is over.
fn kubelet(header: &str, cluster: &WantedCluster) -> String {
    let interval = cluster.node_loss.status_interval.as_secs().max(1);
    format!(
        "{header}apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
         nodeStatusUpdateFrequency: {interval}s\nnodeStatusReportFrequency: 1m0s\n\
         nodeLeaseDurationSeconds: {}\n",
        interval * 4
    )
}

type Settings = BTreeMap<String, Json>;

fn config(cluster: &WantedCluster, host: &WantedHost, facts: &HostFacts) -> Settings {
    let mut config = Settings::from([("node-name".to_owned(), json!(host.name))]);
    if let Some(own) = host.address {
        // One that the host itself does not have is that of a translation before it.
        let has = facts.addresses.iter().any(|(_, address)| *address == own);
        let key = if has { "node-ip" } else { "node-external-ip" };
        config.insert(key.to_owned(), json!(own.to_string()));
    }
    if facts.cgroup_v1 && minor(&cluster.binary.version).is_some_and(|minor| minor >= 35) {
        config.insert("kubelet-arg".to_owned(), json!(["fail-cgroup-v1=false"]));
    }
    match host.role {
        Role::Server => server(cluster, host, &mut config),
        Role::Agent => join(cluster, &mut config),
    }
    for (key, value) in &cluster.config {
        if host.role == Role::Agent && !is_for_agents(key) {
            continue;
        }
        let lists = (config.get_mut(key), value);
        match lists {
            // Lists of arguments add to each other, as `kubelet-arg` does; anything else is replaced.
            (Some(Json::Array(ours)), Json::Array(theirs)) if key.ends_with("-arg") => {
                ours.extend(theirs.iter().cloned());
            }
            _ => {
                config.insert(key.clone(), value.clone());
            }
        }
    }
    config
}

/// What a server is told.
fn server(cluster: &WantedCluster, host: &WantedHost, config: &mut Settings) {
    let mut set = |key: &str, value: Json| {
        config.insert(key.to_owned(), value);
    };
    set("write-kubeconfig-mode", json!("0600"));
    let mut names: Vec<String> = Vec::new();
    for server in cluster
        .hosts
        .iter()
        .filter(|host| host.role == Role::Server)
    {
        let addresses = server.address.map(|address| address.to_string());
        for name in [Some(server.client.clone()), addresses]
            .into_iter()
            .flatten()
        {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    set("tls-san", json!(names));
    set("agent-token-file", json!(paths::AGENT_TOKEN));
    // The way into the shop is a component of ours, and nothing here installs charts.
    let parts = [
        ("traefik", false),
        ("servicelb", cluster.load_balancer),
        ("metrics-server", cluster.metrics),
    ];
    let spare = parts.into_iter().filter(|(_, needed)| !needed);
    set(
        "disable",
        json!(spare.map(|(name, _)| name).collect::<Vec<_>>()),
    );
    set("disable-helm-controller", json!(true));
    let loss = cluster.node_loss;
    set(
        "kube-controller-manager-arg",
        json!([
            "node-monitor-period=2s",
            format!("node-monitor-grace-period={}s", loss.grace.as_secs())
        ]),
    );
    let seconds = loss.toleration_seconds;
    set(
        "kube-apiserver-arg",
        json!([
            format!("default-not-ready-toleration-seconds={seconds}"),
            format!("default-unreachable-toleration-seconds={seconds}")
        ]),
    );
    if cluster.servers() > 1 && cluster.first_server() == Some(host) {
        set("cluster-init", json!(true));
    } else if cluster.servers() > 1 {
        join(cluster, config);
    }
}

/// What a host is told that joins others.
fn join(cluster: &WantedCluster, config: &mut Settings) {
    if let Some(address) = cluster.first_server().and_then(|first| first.address) {
        config.insert("server".to_owned(), json!(url(&address.to_string())));
    }
    config.insert("token-file".to_owned(), json!(paths::JOIN_TOKEN));
}

/// The address that others join at. An IPv6 address needs brackets.
pub(super) fn url(address: &str) -> String {
    if address.contains(':') {
        format!("https://[{address}]:6443")
    } else {
        format!("https://{address}:6443")
    }
}

/// Whether an agent knows a setting; it refuses to start with one that only servers know.
fn is_for_agents(key: &str) -> bool {
    const KNOWN: [&str; 24] = [
        "debug",
        "v",
        "vmodule",
        "with-node-id",
        "node-label",
        "node-taint",
        "image-credential-provider-bin-dir",
        "image-credential-provider-config",
        "container-runtime-endpoint",
        "default-runtime",
        "disable-default-registry-endpoint",
        "nonroot-devices",
        "pause-image",
        "snapshotter",
        "node-external-ip",
        "node-internal-dns",
        "node-external-dns",
        "resolv-conf",
        "flannel-iface",
        "kubelet-arg",
        "kube-proxy-arg",
        "protect-kernel-defaults",
        "prefer-bundled-bin",
        "selinux",
    ];
    KNOWN.contains(&key)
}

/// Whether containerd's configuration, as this k3s makes it, imports drop-ins. It does since March 2026
/// (k3s-io/k3s#13680); to import them twice is an error.
fn imports_drop_ins(version: &str) -> bool {
    let patch = || -> Option<u32> {
        let patch = version.split('.').nth(2)?.split('+').next()?;
        patch.parse().ok()
    };
    !matches!(
        (minor(version), patch()),
        (Some(..=33), _) | (Some(34), Some(..=5)) | (Some(35), Some(..=2))
    )
}

/// The minor version in `v1.34.3+k3s1`.
pub(super) fn minor(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').nth(1)?.parse().ok()
}

fn unit(role: Role, environment: &str, digest: &str) -> String {
    let (what, command) = match role {
        Role::Server => ("server", "server"),
        Role::Agent => ("agent", "agent"),
    };
    format!(
        "# Written by shopctl; changes are overwritten.\n\
         [Unit]\n\
         Description=k3s {what} of the shop {environment}\n\
         Documentation=https://docs.k3s.io\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         Environment=SHOPCTL_DIGEST={digest}\n\
         ExecStartPre=-/sbin/modprobe br_netfilter\n\
         ExecStartPre=-/sbin/modprobe overlay\n\
         ExecStart={} {command}\n\
         KillMode=process\n\
         Delegate=yes\n\
         LimitNOFILE=1048576\n\
         LimitNPROC=infinity\n\
         LimitCORE=infinity\n\
         TasksMax=infinity\n\
         TimeoutStartSec=0\n\
         Restart=always\n\
         RestartSec=2s\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        paths::BINARY
    )
}

/// The SHA-256 of a content in hex.
pub(super) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::bootstrap::model::WantedBinary;

    fn cluster() -> WantedCluster {
        let host = |name: &str, address: &str, role| WantedHost {
            name: name.to_owned(),
            client: format!("{name}.example.com"),
            address: address.parse().ok(),
            role,
        };
        WantedCluster {
            environment: "test".to_owned(),
            binary: WantedBinary {
                version: "v1.34.3+k3s1".to_owned(),
                sha256: "aa".to_owned(),
                ..WantedBinary::default()
            },
            hosts: vec![
                host("server-1", "10.0.0.1", Role::Server),
                host("agent-1", "10.0.0.2", Role::Agent),
            ],
            ..WantedCluster::default()
        }
    }

    fn facts() -> HostFacts {
        HostFacts {
            resource: true,
            addresses: vec![("eth0".to_owned(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)))],
            ..HostFacts::default()
        }
    }

    fn content(config: &NodeConfig, path: &str) -> Option<String> {
        let file = config.files.iter().find(|file| file.path == path);
        file.and_then(|file| file.content.clone())
    }

    #[test]
    fn everything_is_in_the_config_file() {
        let cluster = cluster();
        let server = node_config(&cluster, &cluster.hosts[0], &facts());
        insta::assert_snapshot!("server", content(&server, paths::CONFIG).unwrap());
        let agent = node_config(&cluster, &cluster.hosts[1], &facts());
        insta::assert_snapshot!("agent", content(&agent, paths::CONFIG).unwrap());
        insta::assert_snapshot!("unit", agent.unit(None).content.unwrap());
    }

    #[test]
    fn a_machine_without_cap_sys_resource_gets_the_drop_in_and_no_other() {
        let mut cluster = cluster();
        let host = cluster.hosts[0].clone();
        let with = node_config(&cluster, &host, &facts());
        assert_eq!(content(&with, paths::DROP_IN), None);
        let poor = HostFacts {
            resource: false,
            ..facts()
        };
        let without = node_config(&cluster, &host, &poor);
        let drop_in = content(&without, paths::DROP_IN).unwrap();
        assert!(
            drop_in.contains("restrict_oom_score_adj = true"),
            "{drop_in}"
        );
        assert_ne!(with.digest(None), without.digest(None));
        assert!(
            content(&without, paths::TEMPLATE)
                .unwrap()
                .starts_with("imports = ")
        );
        cluster.binary.version = "v1.36.0+k3s1".to_owned();
        let newer = node_config(&cluster, &host, &poor);
        assert_eq!(content(&newer, paths::TEMPLATE), None);
    }

    #[test]
    fn only_a_k3s_that_refuses_them_is_told_about_old_control_groups() {
        let mut cluster = cluster();
        let old = HostFacts {
            cgroup_v1: true,
            ..facts()
        };
        let host = cluster.hosts[0].clone();
        let told = |cluster: &WantedCluster| {
            let config = node_config(cluster, &host, &old);
            content(&config, paths::CONFIG)
                .unwrap()
                .contains("fail-cgroup-v1=false")
        };
        assert!(!told(&cluster));
        cluster.binary.version = "v1.35.0+k3s1".to_owned();
        assert!(told(&cluster));
    }

    #[test]
    fn settings_of_the_environment_override_and_arguments_add_up() {
        let mut cluster = cluster();
        cluster.config = BTreeMap::from([
            ("disable".to_owned(), json!(["metrics-server"])),
            ("kube-apiserver-arg".to_owned(), json!(["v=2"])),
            ("kubelet-arg".to_owned(), json!(["max-pods=200"])),
        ]);
        let server = node_config(&cluster, &cluster.hosts[0], &facts());
        let text = content(&server, paths::CONFIG).unwrap();
        assert!(
            text.contains("metrics-server") && !text.contains("traefik"),
            "{text}"
        );
        assert!(
            text.contains("v=2") && text.contains("default-not-ready"),
            "{text}"
        );
        let agent = node_config(&cluster, &cluster.hosts[1], &facts());
        let text = content(&agent, paths::CONFIG).unwrap();
        assert!(
            text.contains("max-pods=200") && !text.contains("v=2"),
            "{text}"
        );
    }

    #[test]
    fn another_token_makes_another_digest() {
        let cluster = cluster();
        let agent = node_config(&cluster, &cluster.hosts[1], &facts());
        assert_ne!(agent.digest(Some("a")), agent.digest(Some("b")));
        assert_ne!(agent.unit(Some("a")), agent.unit(None));
    }
}
