use super::*;
use crate::bootstrap::config::sha256;
use crate::bootstrap::facts::{SeenFile, SeenUnit};
use crate::bootstrap::marker::{Before, Marker};
use crate::bootstrap::model::WantedBinary;

fn cluster() -> WantedCluster {
    let host = |name: &str, role| WantedHost {
        name: name.to_owned(),
        client: format!("{name}.test"),
        address: None,
        role,
    };
    WantedCluster {
        environment: "test".to_owned(),
        binary: WantedBinary {
            version: "v1.34.3+k3s1".to_owned(),
            sha256: "b1".to_owned(),
            ..WantedBinary::default()
        },
        archives: vec![WantedArchive {
            path: "/x/system.tar.zst".into(),
            sha256: "a1".to_owned(),
            size: 7,
            images: vec!["localhost/a:1@sha256:aa".to_owned()],
        }],
        hosts: vec![host("server-1", Role::Server), host("agent-1", Role::Agent)],
        ..WantedCluster::default()
    }
}

/// What there is when everything is as wanted.
fn settled(cluster: &WantedCluster) -> SeenCluster {
    let mut seen = SeenCluster {
        kubeconfig: true,
        settled: Some(true),
        ..SeenCluster::default()
    };
    for host in &cluster.hosts {
        seen.images
            .insert(host.name.clone(), cluster.images().cloned().collect());
        let mut facts = HostFacts {
            machine: format!("machine of {}", host.name),
            node_password: true,
            resource: true,
            state: true,
            version: Some(cluster.binary.version.clone()),
            marker: Some(Marker {
                environment: cluster.environment.clone(),
                host: host.name.clone(),
                role: host.role,
                before: Before::default(),
            }),
            images: cluster
                .archives
                .iter()
                .map(|archive| (archive.name(), archive.size))
                .collect(),
            ..HostFacts::default()
        };
        let token = (host.role == Role::Agent).then(|| "t1".to_owned());
        let config = node_config(cluster, host, &facts);
        let mut put = |path: &str, sha256: String, mode: &str| {
            let file = SeenFile {
                sha256,
                mode: mode.to_owned(),
            };
            facts.files.insert(path.to_owned(), file);
        };
        put(paths::BINARY, cluster.binary.sha256.clone(), "755");
        let unit = config.unit(token.as_deref());
        for file in config.files.iter().chain([&unit]) {
            if let Some(content) = &file.content {
                let mode = file.mode.as_octal().trim_start_matches('0');
                put(file.path, sha256(content.as_bytes()), mode);
            }
        }
        if host.role == Role::Server {
            put(paths::AGENT_TOKEN, "x".to_owned(), "600");
            facts.agent_token = Some("t1".to_owned());
            facts.nodes = Some(
                cluster
                    .hosts
                    .iter()
                    .map(|host| SeenNode {
                        name: host.name.clone(),
                        ready: true,
                        reason: String::new(),
                        machine: format!("machine of {}", host.name),
                        version: String::new(),
                        images: BTreeSet::new(),
                    })
                    .collect(),
            );
        }
        facts.units.insert(
            host.role.unit().to_owned(),
            SeenUnit {
                active: "active".to_owned(),
                enabled: "enabled".to_owned(),
                pid: 7,
                digest: Some(config.digest(token.as_deref())),
            },
        );
        seen.hosts.insert(host.name.clone(), facts);
    }
    seen
}

fn needed(cluster: &WantedCluster, seen: &SeenCluster) -> Vec<String> {
    plan_hosts(cluster, seen)
        .into_iter()
        .filter(|step| step.needed)
        .map(|step| format!("{}: {}", step.name, step.detail))
        .collect()
}

#[test]
fn a_settled_cluster_needs_nothing() {
    let cluster = cluster();
    assert_eq!(needed(&cluster, &settled(&cluster)), Vec::<String>::new());
}

#[test]
fn bare_hosts_need_everything_in_this_order() {
    let cluster = cluster();
    let bare = SeenCluster {
        hosts: cluster
            .hosts
            .iter()
            .map(|host| (host.name.clone(), HostFacts::default()))
            .collect(),
        ..SeenCluster::default()
    };
    assert_eq!(
        needed(&cluster, &bare),
        [
            "claim server-1: a mark says whose its k3s is and how it was before",
            "put k3s on server-1: v1.34.3+k3s1",
            "put images on server-1: 1 archive to send",
            "configure k3s on server-1: config.yaml, config-v3.toml.tmpl, shopctl.toml, 50-shopctl.conf, agent-token",
            "claim agent-1: a mark says whose its k3s is and how it was before",
            "put k3s on agent-1: v1.34.3+k3s1",
            "put images on agent-1: 1 archive to send",
            "configure k3s on agent-1: config.yaml, config-v3.toml.tmpl, shopctl.toml, 50-shopctl.conf",
            "start k3s on server-1: as a server, k3s v1.34.3+k3s1",
            "join agent-1: as an agent, k3s v1.34.3+k3s1",
            "fetch the kubeconfig: from server-1",
            "wait for the cluster: the default account and CoreDNS",
            "check images on server-1: it does not hold localhost/a:1",
            "check images on agent-1: it does not hold localhost/a:1",
        ]
    );
}

#[test]
fn a_changed_setting_reaches_every_node() {
    let mut cluster = cluster();
    let seen = settled(&cluster);
    cluster.config = [("kubelet-arg".to_owned(), serde_json::json!(["max-pods=99"]))].into();
    assert_eq!(
        needed(&cluster, &seen),
        [
            "configure k3s on server-1: config.yaml",
            "configure k3s on agent-1: config.yaml",
            "start k3s on server-1: restart it with what changed; pods run on",
            "join agent-1: restart it with what changed; pods run on",
            "wait for the cluster: the default account and CoreDNS",
        ]
    );
}

#[test]
fn a_file_that_was_written_before_a_kill_still_makes_k3s_restart() {
    let mut cluster = cluster();
    let old = settled(&cluster);
    cluster.config = [("debug".to_owned(), serde_json::json!(true))].into();
    let mut seen = settled(&cluster);
    // All files are new; the processes are still those of before.
    for (name, facts) in &mut seen.hosts {
        facts.units.clone_from(&old.hosts[name].units);
    }
    let needed = needed(&cluster, &seen);
    assert_eq!(
        needed[0],
        "start k3s on server-1: restart it with what changed; pods run on"
    );
    assert_eq!(needed.len(), 3, "{needed:?}");
}

#[test]
fn another_token_of_the_server_reaches_the_agents() {
    let cluster = cluster();
    let mut seen = settled(&cluster);
    seen.hosts.get_mut("server-1").unwrap().agent_token = Some("t2".to_owned());
    assert!(needed(&cluster, &seen)[0].starts_with("join agent-1: restart"));
}

#[test]
fn a_host_that_was_installed_anew_is_forgotten_first() {
    let cluster = cluster();
    let mut seen = settled(&cluster);
    let fresh = HostFacts {
        machine: "another machine".to_owned(),
        ..HostFacts::default()
    };
    seen.hosts.insert("agent-1".to_owned(), fresh);
    let needed = needed(&cluster, &seen);
    let at = |text: &str| {
        needed
            .iter()
            .position(|step| step.starts_with(text))
            .unwrap()
    };
    assert!(
        at("forget the old agent-1") < at("join agent-1"),
        "{needed:?}"
    );
}

#[test]
fn a_node_that_is_not_ready_is_waited_for_and_a_dead_one_started() {
    let cluster = cluster();
    let mut seen = settled(&cluster);
    let server = seen.hosts.get_mut("server-1").unwrap();
    let node = &mut server.nodes.as_mut().unwrap()[1];
    (node.ready, node.reason) = (false, "cni plugin not initialized".to_owned());
    assert_eq!(
        needed(&cluster, &seen)[0],
        "join agent-1: wait for it: cni plugin not initialized"
    );
    let mut seen = settled(&cluster);
    let units = &mut seen.hosts.get_mut("server-1").unwrap().units;
    units.get_mut("k3s").unwrap().pid = 0;
    assert!(needed(&cluster, &seen)[0].starts_with("start k3s on server-1: as a server"));
}

#[test]
fn old_archives_of_ours_go_and_those_of_others_stay() {
    let cluster = cluster();
    let mut seen = settled(&cluster);
    let images = &mut seen.hosts.get_mut("agent-1").unwrap().images;
    images.insert("shopctl-old-000.tar".to_owned(), 1);
    images.insert("theirs.tar".to_owned(), 1);
    assert_eq!(
        needed(&cluster, &seen),
        ["put images on agent-1: 1 archive to remove"]
    );
    let facts = &seen.hosts["agent-1"];
    let names: Vec<String> = cluster.archives.iter().map(WantedArchive::name).collect();
    let unwanted: Vec<_> = unwanted_images(&names, facts).collect();
    assert_eq!(unwanted, ["shopctl-old-000.tar"]);
}

#[test]
fn a_token_that_others_may_read_is_closed_to_them() {
    let cluster = cluster();
    let mut seen = settled(&cluster);
    let files = &mut seen.hosts.get_mut("server-1").unwrap().files;
    files.get_mut(paths::AGENT_TOKEN).unwrap().mode = "644".to_owned();
    assert_eq!(
        needed(&cluster, &seen),
        ["configure k3s on server-1: agent-token"]
    );
}

#[test]
fn a_host_that_lost_an_image_is_given_it_again() {
    let cluster = cluster();
    let mut seen = settled(&cluster);
    seen.images.insert("agent-1".to_owned(), BTreeSet::new());
    assert_eq!(
        needed(&cluster, &seen),
        ["check images on agent-1: it does not hold localhost/a:1"]
    );
}

#[test]
fn an_image_without_a_digest_is_held_with_any() {
    let held = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let others: BTreeSet<String> = held(&["docker.io/library/redis:7.2@sha256:aa", "a@sha256:bb"]);
    assert!(!is_among("docker.io/library/redis:7", &others));
    assert!(!is_among("docker.io/library/redis:7", &BTreeSet::new()));
    let both = held(&[
        "docker.io/library/redis:7.2@sha256:aa",
        "docker.io/library/redis:7@sha256:cc",
    ]);
    assert!(is_among("docker.io/library/redis:7", &both));
    assert!(is_among("docker.io/library/redis:7@sha256:cc", &both));
    assert!(!is_among("docker.io/library/redis:7@sha256:aa", &both));
}
