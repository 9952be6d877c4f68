//! What a drill writes down while it runs: one record a line, in the order in which it became known.
//!
//! Times are microseconds since the drill began, all from one monotonic clock. Whoever doubts a verdict computes it
//! again from these records; nothing else is needed.

mod operation;
mod plan;
mod seen;
mod stale_lock;

use serde::{Deserialize, Serialize};

pub use operation::{Action, BookedOrder, Operation, OrderSeen, Outcome, Settlement, Told};
pub use plan::{Expected, Figure, Objective, Over, Plan, ProductStock};
pub use seen::{Background, Books, Ending, Fault, FaultKind, ProductBooks, Seen, Sight};
pub use stale_lock::{LockLook, SaleTerms, StaleLock, StaleLocks};

/// Microseconds since the drill began.
pub type Micros = u64;

/// The version of this format. The first one knew no locks whose holder hung, the second one no load in the background
/// and nothing that is expected of a fault; both are read as ever.
pub const HISTORY_VERSION: u32 = 3;
const OLDEST_VERSION: u32 = 1;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// What is tried and what must hold: the first record, written before anything is touched.
    Plan(Plan),
    /// A part of the run begins.
    Phase(PhaseBegins),
    /// Something that the recorder did as a customer.
    Operation(Operation),
    /// A process was broken, or mended again.
    Fault(Fault),
    /// Something was seen to be different than before.
    Sight(Sight),
    /// The stock of the drill's products as Postgres had it at one moment.
    Books(Books),
    /// An order that Postgres holds at the end.
    Order(BookedOrder),
    /// What became of a key whose request was left open or refused.
    Settlement(Settlement),
    /// Locks whose holder hung.
    StaleLocks(StaleLocks),
    /// What became of the load in the background.
    Background(Background),
    /// The state in which the shop was left.
    Ending(Ending),
}

/// A part of a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseBegins {
    /// When.
    pub at: Micros,
    /// Which.
    pub phase: Phase,
}

/// The parts of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// All is well and has to stay so: what the figures are compared with.
    Steady,
    /// Something is broken; it ends when all is well again or the time is up.
    Faulty,
    /// No more operations; holds run out and open keys are settled.
    Draining,
    /// The books are read.
    Accounting,
}

/// A history that cannot be judged at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The first record is no plan.
    #[error("failed to read the history: it does not begin with a plan")]
    NoPlan,
    /// It was written by another version.
    #[error(
        "failed to read the history: it has version {found}, this shopctl reads {OLDEST_VERSION} to {HISTORY_VERSION}"
    )]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// A line is not a record.
    #[error("failed to read the history: line {line}: {reason}")]
    Line {
        /// Counts from 1.
        line: usize,
        /// Why.
        reason: String,
    },
}

/// A whole history, its records sorted by kind.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What was tried.
    pub plan: Plan,
    /// When each part began.
    pub phases: Vec<PhaseBegins>,
    /// What the recorder did.
    pub operations: Vec<Operation>,
    /// What was broken.
    pub faults: Vec<Fault>,
    /// What was seen.
    pub sights: Vec<Sight>,
    /// The stock over time.
    pub books: Vec<Books>,
    /// The orders at the end.
    pub orders: Vec<BookedOrder>,
    /// Open keys, settled.
    pub settlements: Vec<Settlement>,
    /// Locks whose holder hung, if that was part of the run and came to its end.
    pub stale_locks: Option<StaleLocks>,
    /// What became of the load in the background, if it came to its end.
    pub background: Option<Background>,
    /// How the shop was left, if the run came to its end.
    pub ending: Option<Ending>,
}

impl History {
    /// Sorts records.
    pub fn new(records: impl IntoIterator<Item = Record>) -> Result<Self, HistoryError> {
        let mut records = records.into_iter();
        let Some(Record::Plan(plan)) = records.next() else {
            return Err(HistoryError::NoPlan);
        };
        if !(OLDEST_VERSION..=HISTORY_VERSION).contains(&plan.version) {
            return Err(HistoryError::Version {
                found: plan.version,
            });
        }
        let mut history = Self {
            plan,
            phases: Vec::new(),
            operations: Vec::new(),
            faults: Vec::new(),
            sights: Vec::new(),
            books: Vec::new(),
            orders: Vec::new(),
            settlements: Vec::new(),
            stale_locks: None,
            background: None,
            ending: None,
        };
        for record in records {
            history.push(record)?;
        }
        Ok(history)
    }

    /// Takes the next record in.
    pub fn push(&mut self, record: Record) -> Result<(), HistoryError> {
        match record {
            // A second plan would make two runs of one.
            Record::Plan(_) => return Err(HistoryError::NoPlan),
            Record::Phase(phase) => self.phases.push(phase),
            Record::Operation(operation) => self.operations.push(operation),
            Record::Fault(fault) => self.faults.push(fault),
            Record::Sight(sight) => self.sights.push(sight),
            Record::Books(books) => self.books.push(books),
            Record::Order(order) => self.orders.push(order),
            Record::Settlement(settlement) => self.settlements.push(settlement),
            Record::StaleLocks(locks) => self.stale_locks = Some(locks),
            Record::Background(load) => self.background = Some(load),
            Record::Ending(ending) => self.ending = Some(ending),
        }
        Ok(())
    }

    /// Reads a history from its text, a JSON document a line.
    pub fn parse(text: &str) -> Result<Self, HistoryError> {
        let records: Result<Vec<Record>, HistoryError> = text
            .lines()
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|error| HistoryError::Line {
                    line: index + 1,
                    reason: error.to_string(),
                })
            })
            .collect();
        Self::new(records?)
    }

    /// When a part of the run began, if it did.
    pub fn began(&self, phase: Phase) -> Option<Micros> {
        self.phases
            .iter()
            .find(|begins| begins.phase == phase)
            .map(|begins| begins.at)
    }

    /// The operations that began at a constant rate: what figures are made of.
    pub fn load(&self) -> impl Iterator<Item = &Operation> {
        let sale = self.plan.sale.map(|sale| sale.product);
        self.operations.iter().filter(move |operation| {
            !matches!(operation.action, Action::Order { product, .. } if Some(product) == sale)
        })
    }

    /// When the first fault was there for certain.
    pub fn fault_at(&self) -> Option<Micros> {
        self.faults
            .iter()
            .filter(|fault| fault.broke())
            .map(|fault| fault.at)
            .min()
    }
}
