//! Undoes what a drill may have left that was killed: processes that are stopped go on, what ended is started again by
//! the supervisor, and its test data is removed.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::error::DrillError;
use super::ground::Ground;
use super::ready::until_whole;
use super::stage::{Stage, TAG_PREFIX};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::shop::{Auditor, RedisAccess, Request, Shop, test_data};

/// How long removing the test data of a drill may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What was undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Healed {
    /// Instances whose process was stopped and goes on now, and hosts that have their power and their network again.
    pub continued: Vec<String>,
    /// Tags whose test data was removed.
    pub removed: Vec<String>,
}

/// Undoes what drills left, and waits until everything is ready.
pub async fn heal(
    ground: &dyn Ground,
    shop: &Shop,
    auditor: &Auditor,
    redis: &RedisAccess,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<Healed, DrillError> {
    let mut healed = Healed {
        continued: ground.heal().await?,
        removed: Vec::new(),
    };
    until_whole(ground, redis, observer, interrupt).await?;
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
