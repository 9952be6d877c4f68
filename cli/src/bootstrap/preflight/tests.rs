use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::bootstrap::facts::{Listener, SeenNode};
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
            ..WantedBinary::default()
        },
        hosts: vec![host("server-1", Role::Server), host("agent-1", Role::Agent)],
        ingress_ports: vec![80, 443],
        ..WantedCluster::default()
    }
}

/// A machine with nothing in the way.
fn good(machine: &str) -> HostFacts {
    HostFacts {
        os: "Debian GNU/Linux 12".to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        machine: machine.to_owned(),
        systemd: true,
        memory: 4 << 20,
        data_free: 20 << 20,
        programs_free: 20 << 20,
        filesystem: "ext2/ext3".to_owned(),
        controllers: ["cpu", "memory", "pids"].map(str::to_owned).to_vec(),
        resource: true,
        programs: ["iptables", "ipset", "conntrack", "ip", "mount"]
            .map(|name| (name.to_owned(), true))
            .into(),
        route: "default via 10.0.0.1 dev eth0".to_owned(),
        addresses: vec![("eth0".to_owned(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)))],
        listeners: Some(Vec::new()),
        ..HostFacts::default()
    }
}

fn found(change: impl FnOnce(&mut HostFacts, &mut HostFacts)) -> Vec<String> {
    let (mut server, mut agent) = (good("1"), good("2"));
    change(&mut server, &mut agent);
    let seen = [("server-1", server), ("agent-1", agent)]
        .map(|(name, facts)| (name.to_owned(), Ok(facts)))
        .into();
    preflight(&cluster(), &seen, &[])
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn ours(environment: &str, host: &str, role: Role) -> Marker {
    Marker {
        environment: environment.to_owned(),
        host: host.to_owned(),
        role,
        before: Before::default(),
    }
}

#[test]
fn nothing_is_in_the_way_of_good_machines() {
    assert_eq!(found(|_, _| {}), Vec::<String>::new());
}

#[test]
fn all_problems_of_all_hosts_are_told_at_once() {
    let problems = found(|server, agent| {
        server.systemd = false;
        server.memory = 1 << 20;
        server.clock_ahead = 90.4;
        server.route.clear();
        agent.arch = "riscv64".to_owned();
        agent.data_free = 1000;
        agent.controllers.retain(|name| name != "memory");
        agent.modules.insert("overlay".to_owned(), Some(false));
        agent.modules.insert("br_netfilter".to_owned(), None);
    });
    let expected = [
        "server-1: Debian GNU/Linux 12 is not run by systemd",
        "server-1: it has no default route, without which k3s does not know its own address",
        "server-1: its clock is 90 s ahead of this machine's",
        "server-1: it has 1024 MiB of memory, and needs 1757",
        "agent-1: the kernel limits no memory of control groups",
        "agent-1: the kernel has no module overlay",
        "agent-1: /var/lib/rancher has 0 MiB free, and 2448 are needed",
    ];
    for expected in expected {
        assert!(
            problems.iter().any(|problem| problem == expected),
            "{expected}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len() + 1, "{problems:#?}");
}

#[test]
fn a_server_that_would_begin_another_cluster_is_refused() {
    let mut cluster = cluster();
    let second = WantedHost {
        name: "server-2".to_owned(),
        ..cluster.hosts[0].clone()
    };
    cluster.hosts.insert(1, second);
    let begun = |names: &[&str]| {
        let seen = ["server-1", "server-2", "agent-1"].map(|name| {
            let mut facts = good(name);
            if names.contains(&name) {
                facts.server_token = Some("its digest".to_owned());
            }
            (name.to_owned(), Ok(facts))
        });
        preflight(&cluster, &seen.into(), &[])
    };
    for names in [&[][..], &["server-1"], &["server-1", "server-2"]] {
        assert_eq!(begun(names), [], "{names:?}");
    }
    let problems = begun(&["server-2"]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = problems[0].to_string();
    assert!(
        said.starts_with("server-1: it would begin another cluster than the one that server-2 has"),
        "{said}"
    );
}

#[test]
fn a_host_that_cannot_be_asked_is_a_problem_among_others() {
    let refused = HostError::Unreachable {
        host: "server-1".to_owned(),
        address: "10.0.0.1".to_owned(),
        reason: "Connection refused".to_owned(),
    };
    let mut agent = good("2");
    agent.programs.insert("iptables".to_owned(), false);
    let seen = [
        ("server-1".to_owned(), Err(refused)),
        ("agent-1".to_owned(), Ok(agent)),
    ]
    .into();
    let problems = preflight(&cluster(), &seen, &[]);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert_eq!(
        problems[0].to_string(),
        "failed to reach server-1 at 10.0.0.1: Connection refused"
    );
    assert!(!problems[0].hint.is_empty());
    assert_eq!(problems[1].hint, "`apt-get install iptables` there");
}

#[test]
fn programs_that_a_published_k3s_brings_are_not_missed() {
    let mut cluster = cluster();
    cluster.binary.brings_programs = true;
    let mut server = good("1");
    server.programs.insert("conntrack".to_owned(), false);
    server.programs.insert("mount".to_owned(), false);
    let seen = [("server-1".to_owned(), Ok(server))].into();
    let problems = preflight(&cluster, &seen, &[]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0].what, "it has no mount");
}

#[test]
fn a_taken_port_is_named_with_who_has_it_and_for_what() {
    let listen = |protocol: &str, port, process: &str| Listener {
        protocol: protocol.to_owned(),
        address: "0.0.0.0".to_owned(),
        port,
        process: process.to_owned(),
    };
    let problems = found(|server, agent| {
        server.listeners = Some(vec![
            listen("tcp", 6443, "haproxy (pid 9)"),
            listen("tcp", 443, ""),
            listen("tcp", 5432, "postgres"),
        ]);
        agent.listeners = Some(vec![listen("udp", 8472, "vpn"), listen("tcp", 6443, "x")]);
    });
    assert_eq!(
        problems,
        [
            "server-1: port 6443/tcp, which the API server needs, is taken by haproxy (pid 9)",
            "server-1: port 443/tcp, which the way into the shop needs, is taken by somebody",
            "agent-1: port 8472/udp, which the network between nodes needs, is taken by vpn",
        ]
    );
}

#[test]
fn our_own_k3s_is_nobody_in_the_way() {
    let problems = found(|server, _| {
        server.marker = Some(ours("test", "server-1", Role::Server));
        server.binary = Some(paths::BINARY.to_owned());
        server.version = Some("v1.33.1+k3s1".to_owned());
        server.state = true;
        server.listeners = Some(vec![Listener {
            protocol: "tcp".to_owned(),
            address: "*".to_owned(),
            port: 6443,
            process: "k3s-server (pid 9)".to_owned(),
        }]);
    });
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn where_our_k3s_has_ended_others_may_have_its_ports() {
    let listen = |protocol: &str, port, process: &str| Listener {
        protocol: protocol.to_owned(),
        address: "*".to_owned(),
        port,
        process: process.to_owned(),
    };
    let problems = found(|server, _| {
        server.marker = Some(ours("test", "server-1", Role::Server));
        server.listeners = Some(vec![
            listen("tcp", 6443, "haproxy (pid 9)"),
            listen("tcp", 10250, "k3s-server (pid 8)"),
            listen("udp", 8472, ""),
            listen("tcp", 443, "traefik (pid 7)"),
        ]);
    });
    assert_eq!(
        problems,
        ["server-1: port 6443/tcp, which the API server needs, is taken by haproxy (pid 9)"]
    );
}

#[test]
fn a_k3s_of_somebody_else_is_not_touched() {
    let problems = found(|server, agent| {
        server.binary = Some(paths::BINARY.to_owned());
        server.version = Some("v1.30.0+k3s1".to_owned());
        agent.marker = Some(ours("production", "agent-1", Role::Agent));
        agent.others = vec!["kubeadm".to_owned()];
    });
    assert_eq!(
        problems,
        [
            "server-1: there is a k3s v1.30.0+k3s1 that shopctl did not install",
            "agent-1: another Kubernetes is there: kubeadm",
            "agent-1: its k3s belongs to the environment production",
        ]
    );
    let problems = found(|server, agent| {
        server.marker_spoiled = true;
        agent.marker = Some(ours("test", "agent-1", Role::Server));
    });
    assert!(problems[0].contains("does not hold what shopctl wrote"));
    assert_eq!(
        problems[1],
        "agent-1: its k3s is the server agent-1 of this environment"
    );
}

#[test]
fn no_version_is_passed_over_and_none_goes_back() {
    for (old, fine) in [
        ("v1.34.9", true),
        ("v1.33.0", true),
        ("v1.32.0", false),
        ("v1.35.0", false),
    ] {
        let problems = found(|server, _| {
            server.marker = Some(ours("test", "server-1", Role::Server));
            server.version = Some(format!("{old}+k3s1"));
        });
        assert_eq!(problems.is_empty(), fine, "{old}: {problems:?}");
    }
}

#[test]
fn one_machine_under_two_names_and_two_machines_under_one_are_found() {
    let problems = found(|_, agent| agent.machine = "1".to_owned());
    assert!(
        problems[0].contains("agent-1 and server-1 are one machine"),
        "{problems:?}"
    );
    let node = |ready| SeenNode {
        name: "agent-1".to_owned(),
        ready,
        reason: String::new(),
        machine: "another".to_owned(),
        version: String::new(),
        images: std::collections::BTreeSet::new(),
    };
    let problems = found(|server, _| server.nodes = Some(vec![node(true)]));
    assert!(
        problems[0].contains("another machine is in the cluster under this name"),
        "{problems:?}"
    );
    assert_eq!(
        found(|server, _| server.nodes = Some(vec![node(false)])),
        Vec::<String>::new()
    );
}

#[test]
fn a_blocked_way_is_told_with_both_ends() {
    let link = |state| Link {
        from: "agent-1".to_owned(),
        to: "server-1".to_owned(),
        address: "10.0.0.1".to_owned(),
        protocol: "tcp",
        port: 6443,
        state,
    };
    let links = [
        link(LinkState::Blocked("Connection timed out".to_owned())),
        link(LinkState::Open),
        link(LinkState::Unknown("no bash".to_owned())),
    ];
    let seen = [("server-1".to_owned(), Ok(good("1")))].into();
    let problems = preflight(&cluster(), &seen, &links);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "agent-1: it does not reach server-1 at 10.0.0.1 on port 6443/tcp: Connection timed out"
    );
}
