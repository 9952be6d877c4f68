//! Ports that k3s needs.

use super::Problems;
use crate::bootstrap::facts::{HostFacts, Listener, SeenUnit};
use crate::bootstrap::model::{Role, WantedCluster, WantedHost};

/// Whether a k3s runs there, which listens itself.
pub(super) fn runs(facts: &HostFacts) -> bool {
    facts.units.values().any(SeenUnit::is_running)
}

/// Ports that k3s needs and somebody else has. Where a k3s of ours has ended, what is left of it keeps some: its network
/// and the pods.
pub(super) fn ports(
    cluster: &WantedCluster,
    host: &WantedHost,
    facts: &HostFacts,
    ours: bool,
    problems: &mut Problems,
) {
    let Some(listeners) = &facts.listeners else {
        return;
    };
    let mut wanted = vec![
        ("tcp", 10250, "the kubelet"),
        ("tcp", 6444, "k3s' own way to its servers"),
    ];
    if host.role == Role::Server {
        wanted.push(("tcp", 6443, "the API server"));
    }
    if cluster.servers() > 1 && host.role == Role::Server {
        wanted.extend([("tcp", 2379, "etcd"), ("tcp", 2380, "etcd")]);
    }
    if !ours {
        wanted.push(("udp", 8472, "the network between nodes"));
        let ways_in = cluster.ingress_ports.iter();
        wanted.extend(ways_in.map(|port| ("tcp", *port, "the way into the shop")));
    }
    for (protocol, port, what) in wanted {
        let holder = listeners
            .iter()
            .filter(|listener| !(ours && listener.process.starts_with("k3s")))
            .find(|listener| listener.protocol == protocol && listener.port == port);
        if let Some(Listener { process, .. }) = holder {
            let process = if process.is_empty() {
                "somebody"
            } else {
                process
            };
            problems.add(
                Some(&host.name),
                format!("port {port}/{protocol}, which {what} needs, is taken by {process}"),
                "stop it, or name another host",
            );
        }
    }
}
