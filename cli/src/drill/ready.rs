//! Whether the shop is whole, and waiting until it is.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ending;
use super::error::DrillError;
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::shop::RedisAccess;
use crate::supervisor::{Client, InstanceState, InstanceStatus};
use crate::target::local::Victim;

/// How long the shop may take to be whole: a process that hangs is replaced after a quarter of a minute, and a Redis
/// that comes back loads its data and is found by the Sentinels.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the shop is whole: every instance serves, and there is one Redis master that all agree on. What the
/// drill before has broken may take some time to recover.
pub(super) async fn until_whole(
    run_dir: &Path,
    redis: &RedisAccess,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<(), DrillError> {
    let step = "ready";
    let deadline = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        let instances = instances(run_dir).await?;
        let missing = if instances.is_empty() {
            return Err(DrillError::NotReady(vec!["nothing runs".to_owned()]));
        } else {
            match missing(&instances) {
                missing if missing.is_empty() => ending::missing(run_dir, redis).await,
                missing => missing,
            }
        };
        let nobody_starts_it = instances
            .iter()
            .any(|instance| instance.state == InstanceState::Stopped);
        if missing.is_empty() {
            if told {
                observer.done(step, false);
            }
            return Ok(());
        }
        if nobody_starts_it || Instant::now() >= deadline {
            if told {
                observer.failed(step, missing.join(", "));
            }
            return Err(DrillError::NotReady(missing));
        }
        if !told {
            observer.started(step);
            told = true;
        }
        observer.waiting(step, missing.join(", "));
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = interrupt.pressed() => return Err(DrillError::Interrupted),
        }
    }
}

/// The instances that do not serve, each with what it does instead.
fn missing(instances: &[InstanceStatus]) -> Vec<String> {
    instances
        .iter()
        .filter_map(|instance| {
            // Its probes may not have failed yet.
            let is_stopped =
                Victim::with_descendants(instance).is_some_and(|victim| victim.is_stopped());
            let state = match instance.state {
                _ if is_stopped => "hangs",
                _ if instance.ready => return None,
                InstanceState::Running => "does not answer",
                InstanceState::Starting => "starts",
                InstanceState::Failed => "failed",
                InstanceState::Stopped => "was stopped",
            };
            Some(format!("{} ({state})", instance.instance))
        })
        .collect()
}

/// The instances that do not serve.
pub(super) async fn not_ready(run_dir: &Path) -> Result<Vec<String>, DrillError> {
    Ok(instances(run_dir)
        .await?
        .into_iter()
        .filter(|instance| !instance.ready)
        .map(|instance| instance.instance)
        .collect())
}

/// The instances as the supervisor has them.
pub(super) async fn instances(run_dir: &Path) -> Result<Vec<InstanceStatus>, DrillError> {
    let status = Client::connect(run_dir).await?.status().await?;
    Ok(status.instances)
}
