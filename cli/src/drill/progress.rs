//! A run while it goes on: what it looks like now, and whether all is well again. Reads each record of the journal once.

use super::history::{History, HistoryError, Micros, Outcome};
use super::journal::Journal;
use super::measure::{order_gap, p99_before, steady_from};

/// The time that the present rate is told of.
const PRESENT: Micros = 2_000_000;

/// Follows a journal.
pub(super) struct Progress<'a> {
    journal: &'a Journal,
    history: History,
    read: usize,
    /// The first moment that could not be judged yet, and what it is compared with.
    not_steady_until: Option<(Micros, Micros)>,
    /// Since when all is well, from the fault on.
    steady_since: Option<Micros>,
}

impl<'a> Progress<'a> {
    /// Begins to follow a journal that has its plan.
    pub(super) fn new(journal: &'a Journal) -> Result<Self, HistoryError> {
        let records = journal.since(0);
        Ok(Self {
            journal,
            read: records.len(),
            history: History::new(records)?,
            not_steady_until: None,
            steady_since: None,
        })
    }

    /// The history so far.
    pub(super) fn history(&mut self) -> Result<&History, HistoryError> {
        let records = self.journal.since(self.read);
        self.read += records.len();
        for record in records {
            self.history.push(record)?;
        }
        Ok(&self.history)
    }

    /// Since when all is as well as before the fault, if it is: microseconds from the fault on.
    pub(super) fn steady_again(&mut self) -> Result<Option<Micros>, HistoryError> {
        // Before the records are read, or one could end unseen in between.
        let known_until = self.journal.known_until();
        self.history()?;
        let Some(fault) = self.history.fault_at() else {
            return Ok(None);
        };
        if let Some(since) = self.steady_since {
            return Ok(Some(since));
        }
        let (from, before) = match self.not_steady_until {
            Some(known) => known,
            None => match p99_before(&self.history) {
                Some(before) => (fault, before),
                None => return Ok(None),
            },
        };
        // What is still under way may yet fail.
        match steady_from(&self.history, from, known_until, before) {
            Ok(since) => {
                self.steady_since = Some(since.saturating_sub(fault));
                Ok(self.steady_since)
            }
            Err(until) => {
                self.not_steady_until = Some((until, before));
                Ok(None)
            }
        }
    }

    /// From here on all has to be as well as before the fault once more.
    pub(super) fn judge_again_from(&mut self, at: Micros) -> Result<(), HistoryError> {
        self.history()?;
        self.steady_since = None;
        self.not_steady_until = p99_before(&self.history).map(|before| (at, before));
        Ok(())
    }

    /// What a person wants to see meanwhile: orders a second now, what failed and the longest gap since the fault.
    pub(super) fn in_short(&mut self) -> Result<String, HistoryError> {
        self.history()?;
        let now = self.journal.now();
        let from = now.saturating_sub(PRESENT);
        let recent = self
            .history
            .load()
            .filter(|operation| operation.ended >= from && operation.acknowledged().is_some())
            .count();
        let span = PRESENT.min(now).max(1);
        let rate = recent as f64 * 1e6 / span as f64;
        let Some(fault) = self.history.fault_at() else {
            return Ok(format!("{rate:.0} orders/s"));
        };
        let failed = self
            .history
            .load()
            .filter(|operation| operation.ended >= fault && operation.outcome != Outcome::Ok)
            .count();
        let gap = order_gap(&self.history, fault, now).unwrap_or_default();
        Ok(format!(
            "{rate:.0} orders/s, {failed} failed, gap {}",
            super::report::show(super::history::Figure::OrderGap, gap)
        ))
    }
}
