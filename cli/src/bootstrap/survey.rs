//! Connects to all hosts, looks at them, and says what is in the way: what every command does first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::{join, join_all};

use super::BootstrapError;
use super::archive::damage;
use super::facts::{HostFacts, look};
use super::images::held_images;
use super::kubeconfig::KeptKubeconfig;
use super::links::try_links;
use super::model::{WantedArchive, WantedCluster};
use super::paths;
use super::plan::SeenCluster;
use super::preflight::{Problem, preflight};
use super::ready::is_settled;
use super::work::with_dns;
use crate::host::{Connecting, Host, HostError, HostSpec, connect_all};

/// What was found on hosts.
pub struct Survey {
    /// The hosts that could be connected to, by their names.
    pub hosts: BTreeMap<String, Arc<dyn Host>>,
    /// What each host said, or why it could not be asked.
    pub found: BTreeMap<String, Result<HostFacts, HostError>>,
}

impl Survey {
    /// Connects to all hosts and looks at them, side by side.
    pub async fn of(specs: &[HostSpec], connecting: Connecting<'_>) -> Self {
        let mut hosts = BTreeMap::<String, Arc<dyn Host>>::new();
        let mut found = BTreeMap::new();
        for (spec, connected) in specs.iter().zip(connect_all(specs, connecting).await) {
            match connected {
                Ok(host) => drop(hosts.insert(spec.name.clone(), host)),
                Err(error) => drop(found.insert(spec.name.clone(), Err(error))),
            }
        }
        let looks = hosts
            .iter()
            .map(|(name, host)| async move { (name.clone(), look(&**host).await) });
        found.extend(join_all(looks).await);
        Self { hosts, found }
    }

    /// Where this machine reaches a host, as far as it is known.
    pub fn client_address(&self, name: &str) -> String {
        let host = self.hosts.get(name);
        host.map(|host| host.address().to_owned())
            .unwrap_or_default()
    }

    /// The facts of the hosts that could be asked.
    pub fn facts(&self) -> BTreeMap<String, HostFacts> {
        let known = self
            .found
            .iter()
            .filter_map(|(name, facts)| Some((name.clone(), facts.as_ref().ok()?.clone())));
        known.collect()
    }

    /// What was seen, if nothing is in the way of the cluster; otherwise all that is. `kept` is the kubeconfig that is
    /// kept here.
    pub async fn check(
        &self,
        cluster: &WantedCluster,
        kept: &Path,
    ) -> Result<SeenCluster, BootstrapError> {
        let facts = self.facts();
        // Nodes that are ready reach each other; trying costs a second.
        let links = if is_complete(cluster, &facts) {
            Vec::new()
        } else {
            try_links(cluster, &self.hosts, &facts).await
        };
        let mut problems = preflight(cluster, &self.found, &links);
        problems.extend(damaged(cluster, &facts).await);
        if problems.is_empty() {
            Ok(self.see(cluster, kept).await)
        } else {
            Err(BootstrapError::Unprepared(problems))
        }
    }

    /// What was seen, whatever may be in the way. Hosts that could not be asked are left out.
    pub async fn see(&self, cluster: &WantedCluster, kept: &Path) -> SeenCluster {
        let mut seen = SeenCluster {
            hosts: self.facts(),
            ..SeenCluster::default()
        };
        let Some(first) = cluster.first_server() else {
            return seen;
        };
        let facts = seen.hosts.get(&first.name);
        seen.kubeconfig = facts
            .and_then(|facts| facts.files.get(paths::KUBECONFIG))
            .is_some_and(|file| KeptKubeconfig::is_from(kept, &file.sha256, &first.client));
        let answers = facts.is_some_and(|facts| facts.nodes.is_some());
        let server = self.hosts.get(&first.name).filter(|_| answers);
        let settled = async { is_settled(&**server?, with_dns(cluster)).await.ok() };
        (seen.images, seen.settled) = join(self.images(&seen), settled).await;
        seen
    }

    /// The images that hosts hold. What a kubelet tells is as old as half a minute, so the hosts are asked themselves.
    async fn images(&self, seen: &SeenCluster) -> BTreeMap<String, BTreeSet<String>> {
        let nodes = seen.nodes().map(Vec::as_slice).unwrap_or_default();
        let looks = nodes.iter().map(async |node| {
            let told = &node.images;
            let host = self.hosts.get(&node.name);
            let held = match host {
                Some(host) if node.ready => held_images(&**host).await.unwrap_or_default(),
                _ => told.clone(),
            };
            (node.name.clone(), held)
        });
        join_all(looks).await.into_iter().collect()
    }
}

/// The archives that would be sent to a host and are not whole.
async fn damaged(cluster: &WantedCluster, facts: &BTreeMap<String, HostFacts>) -> Vec<Problem> {
    let lacks = |archive: &&WantedArchive| {
        let name = archive.name();
        facts
            .values()
            .any(|facts| facts.images.get(&name) != Some(&archive.size))
    };
    let sent: Vec<PathBuf> = cluster
        .archives
        .iter()
        .filter(lacks)
        .map(|archive| archive.path.clone())
        .collect();
    let looked = tokio::task::spawn_blocking(move || {
        let problem = |path: PathBuf| {
            damage(&path).map(|damage| Problem {
                host: None,
                what: format!("the archive {} is damaged: {damage}", path.display()),
                hint: format!("make or copy {} again", path.display()),
            })
        };
        sent.into_iter().filter_map(problem).collect()
    });
    looked.await.unwrap_or_default()
}

/// Whether every host is a node that is ready.
fn is_complete(cluster: &WantedCluster, facts: &BTreeMap<String, HostFacts>) -> bool {
    let Some(nodes) = facts.values().find_map(|facts| facts.nodes.as_ref()) else {
        return false;
    };
    cluster.hosts.iter().all(|host| {
        nodes
            .iter()
            .any(|node| node.name == host.name && node.ready)
    })
}
