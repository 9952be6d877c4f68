//! What there is: the supervisor's word where one answers, else what the processes' records show.

use std::fs;

use super::LocalError;
use super::LocalFolder;
use crate::plan::{ObservedInstance, SupervisorSeen};
use crate::supervisor::{
    self, ANSWER_LIMIT, Client, InstanceState, InstanceStatus, SupervisorError,
};

/// The instances of a state folder at one moment, and who told.
#[derive(Debug)]
pub(super) struct Sight {
    pub supervisor: SupervisorSeen,
    /// The supervisor's pid, if one answers.
    pub supervisor_pid: Option<i32>,
    pub instances: Vec<InstanceStatus>,
}

/// Looks at a state folder. Changes nothing and starts nothing.
pub(super) async fn look(folder: &LocalFolder) -> Result<Sight, LocalError> {
    match Client::connect(folder.run_dir()).await {
        Ok(mut client) => {
            let status = match client.status_within(ANSWER_LIMIT).await {
                Err(SupervisorError::TimedOut { .. }) => {
                    return unserved(folder, SupervisorSeen::Hanging);
                }
                // One of another version, whose answer says nothing to us, or one that ends at this moment.
                Err(SupervisorError::Protocol(_)) => {
                    return unserved(folder, SupervisorSeen::Other);
                }
                status => status?,
            };
            let current = status.commit == crate::COMMIT && !is_replaced(status.pid);
            Ok(Sight {
                supervisor: if current {
                    SupervisorSeen::Current
                } else {
                    SupervisorSeen::Other
                },
                supervisor_pid: Some(status.pid),
                instances: status.instances,
            })
        }
        Err(error) if error.is_unreachable() => unserved(folder, SupervisorSeen::Absent),
        Err(error) => Err(error.into()),
    }
}

/// What can be seen without a supervisor's word.
fn unserved(folder: &LocalFolder, supervisor: SupervisorSeen) -> Result<Sight, LocalError> {
    Ok(Sight {
        supervisor,
        supervisor_pid: None,
        instances: supervisor::observe(folder.names())?,
    })
}

/// Whether a process' program file has been replaced since it began, as by a new build of the same commit.
fn is_replaced(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

impl Sight {
    /// The instances as the plan compares them.
    pub(super) fn observed(&self) -> Vec<ObservedInstance> {
        self.instances
            .iter()
            .map(|instance| ObservedInstance {
                name: instance.instance.clone(),
                alive: instance.pid.is_some() && instance.state != InstanceState::Stopped,
                ready: instance.ready,
                digest: instance.spec_hash.clone(),
                address: instance.address.clone(),
            })
            .collect()
    }

    /// The processes of this shop.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.instances
            .iter()
            .filter_map(|instance| instance.pid)
            .collect()
    }

    /// Whether an instance leads its component, as the master of Redis does.
    pub(super) fn leads(&self, name: &str) -> bool {
        self.instances
            .iter()
            .any(|instance| instance.instance == name && leads(instance))
    }
}

/// Whether an instance leads its component.
pub(super) fn leads(instance: &InstanceStatus) -> bool {
    matches!(instance.role.as_deref(), Some("master" | "primary"))
}
