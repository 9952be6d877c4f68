//! One lane: gathers, has decided, answers, and starts again.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::{Batch, Pending};
use super::queue::{BatcherSettings, Undecided};
use crate::order::{Decision, OrderRequest};

/// The waits between attempts while Postgres is away: short at first, for a restart takes a second or two.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What a decider says of one item; `None` asks to be asked again.
pub type Verdict = Option<Decision>;

/// How an attempt to decide a batch ended without verdicts.
#[derive(Debug, thiserror::Error)]
pub enum Attempt {
    /// The connection was lost, Postgres was not there or stepped back. If the batch was on its way it may have been
    /// committed; deciding it again finds that out, for a claimed key is never decided twice.
    #[error("failed to decide for now: {0}")]
    Interrupted(#[source] sqlx::Error),
    /// Something about an item of the batch cannot be: nothing of it is stored.
    #[error("failed to decide: {0}")]
    Rejected(#[source] sqlx::Error),
}

/// Decides batches: Postgres, or in the tests of a lane something quicker to break.
pub trait Decide: Send + 'static {
    /// Decides all of it in one transaction; a verdict an item, in the same order.
    fn decide(
        &mut self,
        requests: &[&OrderRequest],
    ) -> impl Future<Output = Result<Vec<Verdict>, Attempt>> + Send;
}

/// A lane's task.
pub(super) struct Lane<D> {
    arriving: mpsc::Receiver<Pending>,
    decider: D,
    settings: BatcherSettings,
    /// Orders with a key that was taken by an order before them in the last batch.
    postponed: Vec<Pending>,
}

impl<D: Decide> Lane<D> {
    pub(super) fn new(
        arriving: mpsc::Receiver<Pending>,
        decider: D,
        settings: BatcherSettings,
    ) -> Self {
        Self {
            arriving,
            decider,
            settings,
            postponed: Vec::new(),
        }
    }

    /// Works until no more can arrive.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            self.settle(batch).await;
        }
    }

    /// The next batch: what has arrived while the last one was decided, and as long as more arrive also that.
    async fn gather(&mut self) -> Option<Batch> {
        let limit = self.settings.batch_size.max(1);
        let mut gathered = std::mem::take(&mut self.postponed);
        if gathered.is_empty() && self.arriving.recv_many(&mut gathered, limit).await == 0 {
            return None;
        }
        let began = Instant::now();
        while gathered.len() < limit && began.elapsed() < self.settings.linger {
            // Lets those run who are about to send; a lone order is not held up by it.
            tokio::task::yield_now().await;
            let before = gathered.len();
            while gathered.len() < limit
                && let Ok(pending) = self.arriving.try_recv()
            {
                gathered.push(pending);
            }
            if gathered.len() == before {
                break;
            }
        }
        metrics::gauge!("shop_order_queue_length").set(self.arriving.len() as f64);
        let (batch, postponed) = Batch::merge(gathered);
        self.postponed = postponed;
        Some(batch)
    }

    /// Decides a batch to the last item. One that is rejected is halved until the item that cannot be decided stands
    /// alone, so it harms nobody; the first half goes first, so arrival order holds.
    async fn settle(&mut self, batch: Batch) {
        let mut stack = vec![batch];
        let mut pause = FIRST_PAUSE;
        while let Some(mut batch) = stack.pop() {
            batch.forget_abandoned();
            if batch.is_empty() {
                continue;
            }
            match self.attempt(&batch).await {
                Ok(verdicts) => {
                    let again = batch.answer(verdicts);
                    if again.is_empty() {
                        pause = FIRST_PAUSE;
                    } else {
                        stack.push(again);
                        pause = wait(pause).await;
                    }
                }
                Err(Attempt::Interrupted(cause)) => {
                    // Once an outage, not once an attempt.
                    if pause == FIRST_PAUSE {
                        tracing::warn!(%cause, orders = batch.len(), "orders wait for the database");
                    }
                    stack.push(batch);
                    pause = wait(pause).await;
                }
                Err(Attempt::Rejected(cause)) if batch.len() == 1 => {
                    tracing::error!(%cause, "an order could not be decided");
                    batch.fail(Undecided::Failed);
                }
                Err(Attempt::Rejected(_)) => {
                    let (first, rest) = batch.halve();
                    stack.push(rest);
                    stack.push(first);
                }
            }
        }
    }

    /// One attempt, which ends when nobody waits for it any more: a decider that hangs then is given up, which closes
    /// its connection. What it was deciding is unknown until its key comes again.
    async fn attempt(&mut self, batch: &Batch) -> Result<Vec<Verdict>, Attempt> {
        metrics::histogram!("shop_order_batch_size").record(batch.len() as f64);
        let began = Instant::now();
        let requests = batch.requests();
        let deadline = batch.deadline().unwrap_or_else(tokio::time::Instant::now);
        let decided = tokio::time::timeout_at(deadline, self.decider.decide(&requests));
        let result = decided.await.unwrap_or_else(|_| {
            Err(Attempt::Interrupted(sqlx::Error::Io(
                std::io::ErrorKind::TimedOut.into(),
            )))
        });
        metrics::histogram!("shop_order_batch_duration_seconds").record(began.elapsed());
        result
    }
}

/// Waits, with jitter so that replicas do not come back in step, and says how long to wait the next time.
async fn wait(pause: Duration) -> Duration {
    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
    (pause * 2).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
