//! The way into the lanes: bounded, and with an end to every wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::batch::Pending;
use super::lane::{Decide, Lane};
use crate::order::{Decision, OrderRequest};
use crate::sale_lock::HeldLock;

/// How orders are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatcherSettings {
    /// Batches that may be decided at the same time; a product always goes to the same one.
    pub lanes: usize,
    /// The most orders in a batch.
    pub batch_size: usize,
    /// The most orders that wait in a lane; more are told to come back.
    pub queue_size: usize,
    /// How long a batch may wait for more as long as more arrive.
    pub linger: Duration,
    /// How long an order may wait for its decision.
    pub patience: Duration,
}

/// Why there is no decision. Nothing was stored by us, unless the order was already on its way to Postgres:
/// its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// As many orders wait as may.
    Busy,
    /// Postgres did not decide in time.
    Unavailable,
    /// Postgres cannot decide this order, for a reason that is not the caller's business.
    Failed,
}

/// Takes orders and has them decided in batches. Clones share the lanes.
#[derive(Debug, Clone)]
pub struct Batcher {
    lanes: Arc<[mpsc::Sender<Pending>]>,
    patience: Duration,
}

impl Batcher {
    /// The way into the lanes, each with a decider of its own. The second value does the deciding; it ends when the
    /// last clone of the first is gone and what waited is decided.
    pub fn new<D: Decide>(
        settings: BatcherSettings,
        decider: impl Fn() -> D,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let mut lanes = Vec::new();
        let mut deciding = Vec::new();
        for _ in 0..settings.lanes.max(1) {
            let (lane, arriving) = mpsc::channel(settings.queue_size.max(1));
            lanes.push(lane);
            deciding.push(Lane::new(arriving, decider(), settings).run());
        }
        let batcher = Self {
            lanes: lanes.into(),
            patience: settings.patience,
        };
        (batcher, all(deciding))
    }

    /// Has an order decided. The lock is kept until it is, or until nobody waits for it any more.
    ///
    /// A caller that stops waiting withdraws an order that is not on its way to Postgres yet; one that is stands or
    /// falls as Postgres decides.
    pub async fn decide(
        &self,
        request: OrderRequest,
        lock: Option<HeldLock>,
    ) -> Result<Decision, Undecided> {
        let (answer, decided) = oneshot::channel();
        let deadline = Instant::now() + self.patience;
        let lane = &self.lanes[lane_of(&request, self.lanes.len())];
        lane.try_send(Pending {
            request,
            answer,
            deadline,
            lock,
        })
        .map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Undecided::Busy,
            mpsc::error::TrySendError::Closed(_) => Undecided::Unavailable,
        })?;
        match tokio::time::timeout_at(deadline, decided).await {
            Ok(Ok(decision)) => decision,
            // Time is up, or the lane has ended.
            Ok(Err(_)) | Err(_) => Err(Undecided::Unavailable),
        }
    }

    /// How many orders wait to be gathered.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lanes
            .iter()
            .map(|lane| lane.max_capacity() - lane.capacity())
            .sum()
    }
}

/// Runs lanes as tasks of their own, so that one's work never waits for another's.
async fn all(lanes: Vec<impl Future<Output = ()> + Send + 'static>) {
    let mut tasks: JoinSet<()> = lanes.into_iter().collect();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a lane of orders ended badly");
        }
    }
}

/// A product's lane. The id's bits are random at its low end.
fn lane_of(request: &OrderRequest, lanes: usize) -> usize {
    let [.., high, low] = *request.product_id.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % lanes
}
