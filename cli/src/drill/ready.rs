//! Whether the shop is whole, and waiting until it is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ending;
use super::error::DrillError;
use super::ground::{Ground, Instance};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::shop::RedisAccess;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the shop is whole: every instance serves, and there is one Redis master that all agree on. What the
/// drill before has broken may take some time to recover.
pub(super) async fn until_whole(
    ground: &dyn Ground,
    redis: &RedisAccess,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<(), DrillError> {
    let step = "ready";
    let deadline = Instant::now() + ground.patience();
    let mut told = false;
    loop {
        let instances = ground.instances().await?;
        let missing = if instances.is_empty() {
            return Err(DrillError::NotReady(vec!["nothing runs".to_owned()]));
        } else {
            match missing(&instances, &ground.hanging().await?) {
                missing if missing.is_empty() => ending::missing(ground, redis).await,
                missing => missing,
            }
        };
        let nobody_starts_it = instances.iter().any(|instance| instance.given_up);
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
fn missing(instances: &[Instance], hanging: &[String]) -> Vec<String> {
    instances
        .iter()
        .filter_map(|instance| {
            let trouble = if hanging.contains(&instance.instance) {
                "hangs"
            } else {
                instance.trouble.as_deref()?
            };
            Some(format!("{} ({trouble})", instance.instance))
        })
        .collect()
}
