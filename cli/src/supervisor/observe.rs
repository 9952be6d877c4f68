//! What can be seen of a state folder without its supervisor: from what is wanted and from the processes' records.

use time::OffsetDateTime;

use super::desired::{Desired, Want};
use super::error::SupervisorError;
use super::folder::StateFolder;
use super::record::ProcessRecord;
use super::spec::InstanceSpec;
use super::status::{InstanceState, InstanceStatus};

/// The instances of a state folder that no supervisor serves. Nobody asks them how they are: one that lives is shown
/// as running but not ready, and one that should live and does not as failed, as nobody will start it. What lives and
/// is not wanted any more, or is not known to be wanted because that file is gone, is shown as well.
pub fn observe(folder: &StateFolder) -> Result<Vec<InstanceStatus>, SupervisorError> {
    let desired = Desired::load(folder)?;
    let mut instances = Vec::new();
    for entry in &desired.entries {
        let record = ProcessRecord::load(folder, &entry.spec.name)?;
        instances.push(status(&entry.spec, entry.want, record.as_ref()));
    }
    for (name, record) in ProcessRecord::load_others(folder, |name| desired.entry(name).is_some()) {
        let record = record?;
        if record.spec.name == name && record.identity().is_alive() {
            instances.push(status(&record.spec, Want::Gone, Some(&record)));
        }
    }
    Ok(instances)
}

fn status(wanted: &InstanceSpec, want: Want, record: Option<&ProcessRecord>) -> InstanceStatus {
    let living = record.filter(|record| record.identity().is_alive());
    let state = match (living, want) {
        (Some(_), _) => InstanceState::Running,
        (None, Want::Running) => InstanceState::Failed,
        (None, Want::Stopped | Want::Gone) => InstanceState::Stopped,
    };
    let spec = living.map_or(wanted, |record| &record.spec);
    InstanceStatus {
        component: spec.component.clone(),
        instance: spec.name.clone(),
        role: None,
        state,
        ready: false,
        address: spec.address.clone(),
        pid: living.map(|record| record.pid),
        restarts: record.map_or(0, |record| record.restarts),
        since: record.map_or(OffsetDateTime::UNIX_EPOCH, |record| record.started_at),
        spec_hash: living.map(|record| record.spec.spec_hash.clone()),
        last_exit: None,
        last_probe: None,
    }
}
