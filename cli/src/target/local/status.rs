//! What runs, as `shopctl status` answers it.

use serde::Serialize;
use time::OffsetDateTime;

use super::observe::look;
use super::proof::Proof;
use super::{LocalError, LocalFolder};
use crate::plan::SupervisorSeen;
use crate::supervisor::{InstanceState, InstanceStatus};

/// The answer of `shopctl status`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopStatus {
    /// The environment.
    pub environment: String,
    /// The state folder.
    pub state_dir: String,
    /// The supervisor's pid; none when nobody keeps the instances running.
    pub supervisor: Option<i32>,
    /// Whether there is a supervisor and it does not answer.
    pub supervisor_hangs: bool,
    /// When the smoke test passed last on what the environment was then; none if something changed since.
    #[serde(with = "time::serde::rfc3339::option")]
    pub proved_at: Option<OffsetDateTime>,
    /// The instances, servers first.
    pub instances: Vec<InstanceRow>,
}

/// An instance.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRow {
    /// Its component.
    pub component: String,
    /// Its name.
    pub instance: String,
    /// `primary`, `master`, `replica`, `sentinel`; none while it is not known.
    pub role: Option<String>,
    /// `running`, `starting`, `failed` or `stopped`.
    pub state: InstanceState,
    /// Whether it can serve.
    pub ready: bool,
    /// Where it can be reached.
    pub address: String,
    /// Its process.
    pub pid: Option<i32>,
    /// How often it was started again because it died or hung.
    pub restarts: u64,
    /// When its process started, or since when there is none; none if nobody knows.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// What was heard of it last, if it is not well.
    pub detail: Option<String>,
}

/// Looks at the shop. `is_replicated` tells components whose instances are all alike.
pub async fn status(
    folder: &LocalFolder,
    is_replicated: impl Fn(&str) -> bool,
) -> Result<ShopStatus, LocalError> {
    let mut status = ShopStatus {
        environment: folder.environment().to_owned(),
        state_dir: folder.state_dir().to_string_lossy().into_owned(),
        supervisor: None,
        supervisor_hangs: false,
        proved_at: None,
        instances: Vec::new(),
    };
    if !folder.exists()? {
        return Ok(status);
    }
    let sight = look(folder).await?;
    status.supervisor = sight.supervisor_pid;
    status.proved_at = Proof::load(folder)?
        .filter(|proof| proof.holds_for(&sight.instances))
        .map(|proof| proof.at);
    status.supervisor_hangs = sight.supervisor == SupervisorSeen::Hanging;
    let supervised = sight.supervisor_pid.is_some();
    status.instances = sight
        .instances
        .iter()
        .map(|instance| row(instance, supervised, &is_replicated))
        .collect();
    // Within a component by number: the order of starting depends on who leads.
    let components: Vec<String> = sight
        .instances
        .iter()
        .map(|instance| instance.component.clone())
        .collect();
    status.instances.sort_by_key(|row| {
        let place = components
            .iter()
            .position(|component| *component == row.component);
        (place, row.instance.len(), row.instance.clone())
    });
    Ok(status)
}

fn row(
    instance: &InstanceStatus,
    supervised: bool,
    is_replicated: &impl Fn(&str) -> bool,
) -> InstanceRow {
    let replica = || is_replicated(&instance.component).then(|| "replica".to_owned());
    let well = instance.state == InstanceState::Stopped || instance.ready;
    InstanceRow {
        component: instance.component.clone(),
        instance: instance.instance.clone(),
        role: instance.role.clone().or_else(replica),
        state: instance.state,
        ready: instance.ready,
        address: instance.address.clone(),
        pid: instance.pid,
        restarts: instance.restarts,
        // What is seen without a supervisor of an instance without a process has no time.
        since: Some(instance.since).filter(|since| *since > OffsetDateTime::UNIX_EPOCH),
        detail: (!well && supervised).then(|| instance.last_word()),
    }
}
