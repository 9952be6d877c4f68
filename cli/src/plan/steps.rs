//! From what there is to what is wanted, step by step.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Action, Observed, ObservedInstance, Plan, Step, SupervisorSeen, Wanted, Wave};
use crate::catalogue::ComponentKind;

/// Plans what makes what there is into what is wanted.
pub fn plan(wanted: &Wanted, observed: &Observed) -> Plan {
    let mut steps = preparation(observed);
    let servers = apply(Wave::Servers, wanted, observed);
    let services = apply(Wave::Services, wanted, observed);
    // A task's mark tells that it ran; whether it still holds shows in the services that need what it made.
    let unwell = servers.needed || services.needed;
    steps.push(servers);
    for task in &wanted.tasks {
        let key = format!("{}/{}", task.instance, task.name);
        steps.push(Step {
            name: format!("{} beside {}", task.name, task.instance),
            needed: unwell || observed.tasks.get(&key) != Some(&task.digest),
            detail: task.about.clone(),
            action: Action::RunTask {
                instance: task.instance.clone(),
                name: task.name.clone(),
            },
        });
    }
    steps.push(services);
    steps.push(match &observed.missing_products {
        Some(missing) => Step {
            name: "seed the catalogue".to_owned(),
            needed: !missing.is_empty(),
            detail: counted(missing.len(), "product"),
            action: Action::Seed,
        },
        None => Step {
            name: "seed the catalogue".to_owned(),
            needed: true,
            detail: "products that are not there".to_owned(),
            action: Action::Seed,
        },
    });
    Plan { steps }
}

/// The steps before the first process.
fn preparation(observed: &Observed) -> Vec<Step> {
    let instances: Vec<String> = observed.files.keys().cloned().collect();
    let files: usize = observed.files.values().map(Vec::len).sum();
    let step = |name: &str, needed: bool, detail: String, action: Action| Step {
        name: name.to_owned(),
        needed,
        detail,
        action,
    };
    vec![
        step(
            "make the system user shopctl",
            observed.user_missing,
            "servers do not run as root".to_owned(),
            Action::MakeUser,
        ),
        step(
            "make the state folder",
            !observed.folders.is_empty(),
            counted(observed.folders.len(), "folder"),
            Action::MakeFolders,
        ),
        step(
            "make secrets",
            !observed.secrets.is_empty(),
            secrets(observed),
            Action::MakeSecrets {
                names: observed.secrets.clone(),
            },
        ),
        step(
            "place shopd",
            observed.program_stale,
            "where the servers' user can run it".to_owned(),
            Action::PlaceProgram,
        ),
        step(
            "write configuration",
            files > 0,
            counted(files, "file"),
            Action::WriteFiles { instances },
        ),
        step(
            "start the supervisor",
            observed.supervisor != SupervisorSeen::Current,
            match observed.supervisor {
                SupervisorSeen::Other => "it replaces one of another build".to_owned(),
                SupervisorSeen::Hanging => "it replaces one that does not answer".to_owned(),
                _ => String::new(),
            },
            Action::EnsureSupervisor,
        ),
    ]
}

/// The step that brings the instances of a wave to what is wanted. The last wave also stops what nobody wants.
fn apply(wave: Wave, wanted: &Wanted, observed: &Observed) -> Step {
    let seen: BTreeMap<&str, &ObservedInstance> = observed
        .instances
        .iter()
        .map(|instance| (instance.name.as_str(), instance))
        .collect();
    let mut start = Vec::new();
    let mut replace = Vec::new();
    let mut await_ready = Vec::new();
    let mut moved = Vec::new();
    for instance in wanted
        .instances
        .iter()
        .filter(|instance| of_wave(instance.kind) == wave)
    {
        match seen.get(instance.name.as_str()) {
            Some(found) if found.alive => {
                if found.digest.as_ref() != Some(&instance.digest) {
                    replace.push(instance.name.clone());
                } else if !found.ready {
                    await_ready.push(instance.name.clone());
                }
                if found.address != instance.address {
                    moved.push(instance.name.clone());
                }
            }
            _ => start.push(instance.name.clone()),
        }
    }
    let names: BTreeSet<&str> = wanted
        .instances
        .iter()
        .map(|instance| instance.name.as_str())
        .collect();
    let stop: Vec<String> = observed
        .instances
        .iter()
        .filter(|_| wave == Wave::Services)
        .filter(|instance| !names.contains(instance.name.as_str()))
        .map(|instance| instance.name.clone())
        .collect();
    // Peers that know each other by address cannot be moved one by one: half of them would look for the other half.
    let stop_first = if moved.is_empty() {
        Vec::new()
    } else {
        replace.clone()
    };
    let parts = [
        ("start", &start),
        ("replace", &replace),
        ("stop", &stop),
        ("wait for", &await_ready),
    ];
    let detail: Vec<String> = parts
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(verb, names)| format!("{verb} {}", names.join(", ")))
        .collect();
    Step {
        name: match wave {
            Wave::Servers => "bring up the servers".to_owned(),
            Wave::Services => "bring up the services".to_owned(),
        },
        needed: !detail.is_empty(),
        detail: detail.join("; "),
        action: Action::Apply { wave, stop_first },
    }
}

/// The wave that a kind of component belongs to.
fn of_wave(kind: ComponentKind) -> Wave {
    match kind {
        ComponentKind::Service => Wave::Services,
        ComponentKind::Server | ComponentKind::Tool => Wave::Servers,
    }
}

/// Which secrets are made, where it is not simply all of them.
fn secrets(observed: &Observed) -> String {
    if observed.instances.is_empty() {
        return counted(observed.secrets.len(), "secret");
    }
    format!(
        "{} anew; what uses them is told",
        observed.secrets.join(", ")
    )
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::super::model::{WantedInstance, WantedTask};
    use super::*;

    fn wanted() -> Wanted {
        let instance = |name: &str, kind, address: &str| WantedInstance {
            name: name.to_owned(),
            kind,
            digest: format!("{name}-1"),
            address: address.to_owned(),
        };
        Wanted {
            instances: vec![
                instance("redis-0", ComponentKind::Server, "127.0.0.1:1"),
                instance("redis-1", ComponentKind::Server, "127.0.0.1:2"),
                instance("order-0", ComponentKind::Service, "127.0.0.1:3"),
            ],
            tasks: vec![WantedTask {
                instance: "redis-0".to_owned(),
                name: "provision".to_owned(),
                about: "makes things".to_owned(),
                digest: "task-1".to_owned(),
            }],
        }
    }

    /// What there is when everything is as wanted.
    fn settled() -> Observed {
        Observed {
            supervisor: SupervisorSeen::Current,
            instances: wanted()
                .instances
                .iter()
                .map(|instance| ObservedInstance {
                    name: instance.name.clone(),
                    alive: true,
                    ready: true,
                    digest: Some(instance.digest.clone()),
                    address: instance.address.clone(),
                })
                .collect(),
            tasks: BTreeMap::from([("redis-0/provision".to_owned(), "task-1".to_owned())]),
            missing_products: Some(Vec::new()),
            ..Observed::default()
        }
    }

    fn needed(observed: &Observed) -> Vec<String> {
        plan(&wanted(), observed)
            .steps
            .into_iter()
            .filter(|step| step.needed)
            .map(|step| format!("{}: {}", step.name, step.detail))
            .collect()
    }

    #[test]
    fn a_settled_shop_needs_nothing() {
        assert!(!plan(&wanted(), &settled()).has_work());
    }

    #[test]
    fn an_empty_machine_needs_every_instance_and_task() {
        let observed = Observed {
            user_missing: true,
            folders: vec!["/var/lib/shopctl".to_owned()],
            secrets: vec!["redis-admin".to_owned()],
            program_stale: true,
            files: BTreeMap::from([("redis-0".to_owned(), vec!["a".to_owned(), "b".to_owned()])]),
            ..Observed::default()
        };
        assert_eq!(
            needed(&observed),
            [
                "make the system user shopctl: servers do not run as root",
                "make the state folder: 1 folder",
                "make secrets: 1 secret",
                "place shopd: where the servers' user can run it",
                "write configuration: 2 files",
                "start the supervisor: ",
                "bring up the servers: start redis-0, redis-1",
                "provision beside redis-0: makes things",
                "bring up the services: start order-0",
                "seed the catalogue: products that are not there",
            ]
        );
    }

    #[test]
    fn a_secret_that_is_gone_from_a_shop_is_named_when_it_is_made_anew() {
        let mut observed = settled();
        observed.secrets = vec!["redis-admin".to_owned()];
        let detail = "make secrets: redis-admin anew; what uses them is told";
        assert!(needed(&observed).contains(&detail.to_owned()));
    }

    #[test]
    fn only_what_changed_is_replaced() {
        let mut observed = settled();
        observed.instances[2].digest = Some("order-0-0".to_owned());
        assert_eq!(
            needed(&observed),
            [
                "provision beside redis-0: makes things",
                "bring up the services: replace order-0",
            ]
        );
    }

    #[test]
    fn peers_whose_addresses_change_are_stopped_together() {
        let mut observed = settled();
        for instance in &mut observed.instances[..2] {
            instance.digest = Some("before".to_owned());
        }
        observed.instances[1].address = "127.0.0.1:9".to_owned();
        let servers = plan(&wanted(), &observed).steps.remove(6);
        assert_eq!(
            servers.action,
            Action::Apply {
                wave: Wave::Servers,
                stop_first: vec!["redis-0".to_owned(), "redis-1".to_owned()],
            }
        );
    }

    #[test]
    fn an_instance_that_nobody_wants_is_stopped_with_the_last_wave() {
        let mut observed = settled();
        observed.instances.push(ObservedInstance {
            name: "redis-2".to_owned(),
            alive: true,
            ready: true,
            digest: None,
            address: String::new(),
        });
        let plan = plan(&wanted(), &observed);
        let details: Vec<_> = plan.steps.iter().map(|step| step.detail.as_str()).collect();
        assert!(details.contains(&"stop redis-2"), "{details:?}");
    }

    #[test]
    fn a_task_runs_again_when_what_it_depends_on_changed_or_a_service_is_unwell() {
        let mut changed = settled();
        changed.tasks.clear();
        assert_eq!(
            needed(&changed)[0],
            "provision beside redis-0: makes things"
        );
        let mut unwell = settled();
        unwell.instances[2].ready = false;
        assert_eq!(needed(&unwell)[0], "provision beside redis-0: makes things");
    }

    #[test]
    fn a_product_that_the_shop_lacks_is_all_that_is_made() {
        let mut observed = settled();
        observed.missing_products = Some(vec!["mug".to_owned()]);
        assert_eq!(needed(&observed), ["seed the catalogue: 1 product"]);
    }

    #[test]
    fn a_dead_supervisor_alone_is_replaced_without_touching_instances() {
        let mut observed = settled();
        observed.supervisor = SupervisorSeen::Absent;
        assert_eq!(needed(&observed)[0], "start the supervisor: ");
    }
}
