//! What is read when the last operation has ended: open keys, the books, and how the shop was left.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ending;
use super::error::DrillError;
use super::history::{BookedOrder, Micros, OrderSeen, Phase, Record};
use super::journal::Journal;
use super::recorder::Recorder;
use super::run::Drill;
use super::stage::Stage;
use super::watch;
use crate::shop::Ledger;

/// How long holds may take to run out at the end.
const DRAIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Drill<'_> {
    /// Open keys, holds, books, and how the shop was left.
    pub(super) async fn account(
        &self,
        recorder: &Recorder,
        stage: &Stage,
        journal: &Journal,
        end_at: Micros,
    ) -> Result<(), DrillError> {
        let step = "settle open keys";
        self.series.observer.started(step);
        let history = journal.history()?;
        let fault = history.fault_at().unwrap_or(end_at);
        let mut operations = history.operations;
        // Where it hurt most is asked first.
        operations.sort_by_key(|operation| operation.began.abs_diff(fault));
        recorder.settle(&operations).await;
        self.series.observer.done(step, true);
        let step = "read the books";
        self.series.observer.started(step);
        let ending = ending::wait(&*self.series.ground, self.series.redis, journal).await;
        let outcome = self.books(stage, journal).await;
        match &outcome {
            Ok(()) => self.series.observer.done(step, true),
            Err(error) => self.series.observer.failed(step, error.to_string()),
        }
        journal.write(Record::Ending(ending));
        outcome
    }

    async fn books(&self, stage: &Stage, journal: &Journal) -> Result<(), DrillError> {
        let products = stage.product_ids();
        let deadline = Instant::now() + DRAIN;
        journal.phase(Phase::Accounting);
        loop {
            let look = Ledger::default()
                .look(self.series.auditor, &stage.tag, &products)
                .await;
            let drained = match &look {
                Ok(seen) => {
                    let page = watch::page(seen, journal);
                    let held: i64 = page.products.iter().map(|product| product.held).sum();
                    journal.write(Record::Books(page));
                    held == 0
                }
                Err(_) => false,
            };
            if drained {
                break;
            }
            if Instant::now() >= deadline {
                look?;
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        for order in Ledger::orders(self.series.auditor, &stage.tag).await? {
            journal.write(Record::Order(BookedOrder {
                customer: order.customer,
                key: order.key,
                order: OrderSeen {
                    id: order.id,
                    product: order.product,
                    quantity: order.quantity,
                    unit_price_minor: order.unit_price_minor,
                    currency: order.currency,
                },
            }));
        }
        Ok(())
    }
}
