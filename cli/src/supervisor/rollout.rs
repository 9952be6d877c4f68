//! Replaces changed instances one after the other, each only when the one before is ready, so that a component with
//! replicas goes on serving.
//!
//! It stops at the first instance that does not become ready and leaves the others as they are. A new `apply`
//! supersedes it, so a broken change never blocks its own repair.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::instance::Seen;
use super::spec::InstanceSpec;
use super::status::{Rollout, RolloutState};

/// Deaths of a replaced process after which waiting on is no use.
const DEATHS_MAXIMUM: u64 = 3;
/// What a replacement may take besides stopping and starting.
const SLACK: Duration = Duration::from_secs(5);

/// Orders what is to be replaced: component by component as given; within one the replicas that serve least first and
/// the one that the others follow last.
pub(super) fn order(mut changed: Vec<(Arc<InstanceSpec>, Seen)>) -> Vec<Arc<InstanceSpec>> {
    let mut components: Vec<String> = Vec::new();
    for (spec, _) in &changed {
        if !components.contains(&spec.component) {
            components.push(spec.component.clone());
        }
    }
    changed.sort_by_key(|(spec, seen)| {
        let component = components.iter().position(|name| *name == spec.component);
        let leads = matches!(seen.status.role.as_deref(), Some("master" | "primary"));
        (component, seen.status.ready, leads, spec.ordinal)
    });
    changed.into_iter().map(|(spec, _)| spec).collect()
}

/// Replaces the instances in their order. Ends when all are ready or one is not in time.
pub(super) async fn replace(core: Arc<Core>, ordered: Vec<Arc<InstanceSpec>>) {
    for (position, spec) in ordered.iter().enumerate() {
        let waiting = ordered
            .iter()
            .skip(position + 1)
            .map(|spec| spec.name.clone())
            .collect();
        let mut rollout = Rollout {
            state: RolloutState::Replacing,
            instance: spec.name.clone(),
            waiting,
            reason: None,
        };
        core.show_rollout(Some(rollout.clone()));
        if let Err(reason) = replace_one(&core, spec).await {
            core.journal()
                .note(&spec.name, format_args!("replacing stops here: {reason}"));
            rollout.state = RolloutState::Stopped;
            rollout.reason = Some(reason);
            core.show_rollout(Some(rollout));
            return;
        }
    }
    core.show_rollout(None);
}

async fn replace_one(core: &Core, spec: &InstanceSpec) -> Result<(), String> {
    let Some((generation, mut seen)) = core.replace_process(spec) else {
        // Meanwhile it was stopped, or it died and was started with the new specification.
        return Ok(());
    };
    let start = spec
        .probe
        .as_ref()
        .map_or(Duration::ZERO, super::spec::ProbeSpec::start_deadline);
    let limit = spec.stop.timeout() + start + SLACK;
    let deadline = Instant::now() + limit;
    let before = seen.borrow().status.restarts;
    loop {
        {
            let now = seen.borrow_and_update();
            if now.generation >= generation && now.status.ready {
                return Ok(());
            }
            if now.status.restarts >= before + DEATHS_MAXIMUM {
                return Err(format!(
                    "it died {DEATHS_MAXIMUM} times; {}",
                    now.status.last_word()
                ));
            }
        }
        match tokio::time::timeout_at(deadline, seen.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => {
                let word = seen.borrow().status.last_word();
                return Err(format!(
                    "it was not ready after {} s; {word}",
                    limit.as_secs()
                ));
            }
        }
    }
}
