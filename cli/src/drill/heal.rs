//! Undoes what a drill may have left that was killed: processes that are stopped go on, what ended is started again by
//! the supervisor, and its test data is removed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::DrillError;
use super::run::{all_ready, instances};
use super::stage::{Stage, TAG_PREFIX};
use crate::shop::{Auditor, Request, Shop, test_data};
use crate::target::local::{LocalFolder, Strike, Victim};

/// How long the shop may take to be whole again.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What was undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Instances whose process was stopped and goes on now.
    pub continued: Vec<String>,
    /// Tags whose test data was removed.
    pub removed: Vec<String>,
}

/// Undoes what drills left, and waits until everything is ready.
pub async fn heal(
    folder: &LocalFolder,
    shop: &Shop,
    auditor: &Auditor,
) -> Result<Healed, DrillError> {
    let mut healed = Healed::default();
    for instance in instances(folder.run_dir()).await? {
        let Some(victim) = Victim::of(&instance) else {
            continue;
        };
        if victim.is_stopped() && victim.strike(Strike::Continue).is_ok() {
            healed.continued.push(instance.instance);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match all_ready(folder.run_dir()).await {
            Err(DrillError::NotReady(_)) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            outcome => break outcome?,
        }
    }
    for tag in auditor.tags(TAG_PREFIX).await? {
        let (_, admin) = Stage::tag(shop)?;
        let ask = async |request: &Request<'_>| shop.ask(request).await;
        match test_data::remove(&tag, &admin, Instant::now() + PATIENCE, ask).await {
            Ok(()) => healed.removed.push(tag),
            Err(left) => return Err(DrillError::Left(left.to_string())),
        }
    }
    Ok(healed)
}
