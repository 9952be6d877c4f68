//! Takes k3s away and leaves a host as it was found.

use std::time::Duration;

use super::facts::HostFacts;
use super::marker::Marker;
use super::model::WantedCluster;
use super::plan::{HostAction, SeenCluster};
use crate::host::{Command, Host, HostError};
use crate::plan::Step;

const SCRIPT: &str = include_str!("removal.sh");
const DEADLINE: Duration = Duration::from_mins(4);

/// Plans the removal: of what is this environment's and of nothing else.
pub fn plan_removal(cluster: &WantedCluster, seen: &SeenCluster) -> Vec<Step<HostAction>> {
    cluster
        .hosts
        .iter()
        .map(|host| {
            let facts = seen.hosts.get(&host.name);
            let ours = facts.is_some_and(|facts| is_ours(facts, &cluster.environment));
            Step {
                name: format!("take k3s from {}", host.name),
                needed: ours,
                detail: "with all that is in it; the host is left as it was".to_owned(),
                action: HostAction::Remove {
                    host: host.name.clone(),
                },
            }
        })
        .collect()
}

fn is_ours(facts: &HostFacts, environment: &str) -> bool {
    let marker = facts.marker.as_ref();
    marker.is_some_and(|marker| marker.environment == environment)
}

/// Takes k3s from a host.
pub(super) async fn remove(host: &dyn Host, marker: &Marker) -> Result<(), HostError> {
    let before = &marker.before;
    let sysctls = before
        .sysctls
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let folders = before.folders.iter().map(|folder| format!("+{folder}"));
    let mounts = before.mounts.iter().map(|place| format!("@{place}"));
    let tables = before
        .tables
        .iter()
        .flat_map(|(program, tables)| tables.iter().map(move |table| format!("{program}:{table}")));
    let command = Command::script(
        "take k3s away",
        SCRIPT,
        sysctls.chain(folders).chain(mounts).chain(tables),
    );
    host.run_well(command.deadline(DEADLINE).as_root())
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::marker::Before;
    use crate::bootstrap::model::{Role, WantedHost};

    #[test]
    fn only_what_is_the_environments_own_is_taken_away() {
        let host = |name: &str| WantedHost {
            name: name.to_owned(),
            role: Role::Agent,
            ..WantedHost::default()
        };
        let cluster = WantedCluster {
            environment: "lab".to_owned(),
            hosts: ["ours", "others", "bare"].map(host).to_vec(),
            ..WantedCluster::default()
        };
        let of = |environment: &str| HostFacts {
            marker: Some(Marker {
                environment: environment.to_owned(),
                host: "x".to_owned(),
                role: Role::Agent,
                before: Before::default(),
            }),
            ..HostFacts::default()
        };
        let seen = SeenCluster {
            hosts: [
                ("ours", of("lab")),
                ("others", of("production")),
                ("bare", HostFacts::default()),
            ]
            .map(|(name, facts)| (name.to_owned(), facts))
            .into(),
            ..SeenCluster::default()
        };
        let needed: Vec<bool> = plan_removal(&cluster, &seen)
            .iter()
            .map(|step| step.needed)
            .collect();
        assert_eq!(needed, [true, false, false]);
    }
}
