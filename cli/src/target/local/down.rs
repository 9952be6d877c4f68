//! Stops the shop against the order in which it was started. Data and secrets are kept.

use super::lock::{LockPatience, WorkLock};
use super::observe::{self, look};
use super::{LocalError, LocalFolder};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::plan::SupervisorSeen;
use crate::supervisor::{Client, InstanceStatus, SupervisorError, ensure_running};

/// Stops everything that runs. Says whether there was anything to stop.
pub async fn down(
    folder: &LocalFolder,
    patience: LockPatience,
    observer: &dyn Observer,
) -> Result<bool, LocalError> {
    if !folder.exists()? {
        return Ok(false);
    }
    let _lock = WorkLock::take(folder, "down", patience, observer, &Interrupt::never()).await?;
    // Whoever had the lock may have deleted the shop, or made it another one's.
    if !folder.exists()? {
        return Ok(false);
    }
    stop_all(folder, observer).await
}

/// Stops everything that runs; the caller holds the lock.
pub(super) async fn stop_all(
    folder: &LocalFolder,
    observer: &dyn Observer,
) -> Result<bool, LocalError> {
    let sight = look(folder).await?;
    let alive = sight
        .instances
        .iter()
        .any(|instance| instance.pid.is_some());
    if sight.supervisor == SupervisorSeen::Absent && !alive {
        return Ok(false);
    }
    // Processes that nobody watches are stopped by a supervisor that takes them over: there is one way to stop.
    let mut client = if sight.supervisor_pid.is_none() {
        let own =
            std::env::current_exe().map_err(|error| LocalError::read(folder.state_dir(), error))?;
        // After a clean-up of /tmp the place of the sockets may have to be made again, for nobody else to change.
        folder.make_run_base()?;
        ensure_running(folder.names(), &own, crate::COMMIT).await?.0
    } else {
        Client::connect(folder.run_dir()).await?
    };
    let instances = client.status().await?.instances;
    for group in stop_order(&instances) {
        let step = format!("stop {}", group.join(", "));
        observer.started(&*step);
        stop(&mut client, group).await?;
        observer.done(step, true);
    }
    let step = "stop the supervisor";
    observer.started(step);
    client.shutdown(true).await?;
    observer.done(step, true);
    Ok(true)
}

/// Stops a group. What a supervisor found that nobody wants, it stops by itself and forgets, maybe meanwhile.
async fn stop(client: &mut Client, mut group: Vec<String>) -> Result<(), SupervisorError> {
    loop {
        let error = match client.stop(&group).await {
            Err(error @ SupervisorError::Refused { .. }) => error,
            outcome => return outcome,
        };
        let listed = client.status().await?.instances;
        let before = group.len();
        group.retain(|name| listed.iter().any(|instance| instance.instance == *name));
        if group.is_empty() {
            return Ok(());
        }
        if group.len() == before {
            return Err(error);
        }
    }
}

/// Groups of instances that are stopped at once: the last component first, and in each those that follow before the
/// one that leads, so that nothing is promoted on the way.
fn stop_order(instances: &[InstanceStatus]) -> Vec<Vec<String>> {
    let mut components: Vec<&str> = Vec::new();
    for instance in instances {
        if !components.contains(&instance.component.as_str()) {
            components.push(&instance.component);
        }
    }
    let mut groups = Vec::new();
    for component in components.into_iter().rev() {
        let of_component = || {
            instances
                .iter()
                .filter(move |instance| instance.component == component && instance.pid.is_some())
        };
        for leading in [false, true] {
            let group: Vec<String> = of_component()
                .filter(|instance| observe::leads(instance) == leading)
                .map(|instance| instance.instance.clone())
                .collect();
            if !group.is_empty() {
                groups.push(group);
            }
        }
    }
    groups
}
