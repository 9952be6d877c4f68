//! What a drill writes down while it runs: one record a line, in the order in which it became known.
//!
//! Times are microseconds since the drill began, all from one monotonic clock. Whoever doubts a verdict computes it
//! again from these records; nothing else is needed.

mod stale_lock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use stale_lock::{LockLook, SaleTerms, StaleLock, StaleLocks};

/// Microseconds since the drill began.
pub type Micros = u64;

/// The version of this format. The first one knew no locks whose holder hung; it is read as ever.
pub const HISTORY_VERSION: u32 = 2;
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
    /// The state in which the shop was left.
    Ending(Ending),
}

/// What is tried and what must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`HISTORY_VERSION`].
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What is expected, in words.
    pub hypothesis: String,
    /// Which of several runs this is, from 1.
    pub run: u32,
    /// What moments and victims are drawn from.
    pub seed: u64,
    /// The environment's name.
    pub environment: String,
    /// Operations a second that the recorder begins.
    pub operations_per_second: u32,
    /// How long a hold may outlive its time while nothing is broken: the sweeper's interval and its work.
    pub hold_grace_micros: Micros,
    /// The products that are sold, and how many pieces of each came in.
    pub products: Vec<ProductStock>,
    /// What the run is held to.
    pub objectives: Vec<Objective>,
    /// The sale in which lock holders are made to hang, if that is part of the run. Its orders belong to no figure: they
    /// come in bursts and are there to be caught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale: Option<SaleTerms>,
}

/// Pieces of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductStock {
    /// The product.
    pub product: Uuid,
    /// How many came in.
    pub pieces: i64,
}

/// A limit that a figure of the run is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// Which figure.
    pub figure: Figure,
    /// The most that it may be: microseconds, or a count.
    pub limit: u64,
}

/// A figure that is measured in a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Figure {
    /// From the fault to the first sign that somebody noticed.
    Detected,
    /// From the fault to a successor in its place: another master, another process that serves.
    Promoted,
    /// From the fault to the first write that the broken part acknowledged again.
    Writable,
    /// From the fault to the first order that began after it and was acknowledged.
    FirstOrder,
    /// From the fault to ten seconds without a sign of it.
    SteadyAgain,
    /// The longest time without an acknowledged order, from the fault on.
    OrderGap,
    /// Orders that failed although they were repeated once.
    FailedOrders,
    /// Reads that failed.
    FailedReads,
    /// Logins that failed.
    FailedLogins,
}

impl Figure {
    /// All of them, in the order in which they come about.
    pub const ALL: [Self; 9] = [
        Self::Detected,
        Self::Promoted,
        Self::Writable,
        Self::FirstOrder,
        Self::SteadyAgain,
        Self::OrderGap,
        Self::FailedOrders,
        Self::FailedReads,
        Self::FailedLogins,
    ];

    /// Those that people ask for first: the times, and the orders that failed.
    pub const MAIN: [Self; 7] = [
        Self::Detected,
        Self::Promoted,
        Self::Writable,
        Self::FirstOrder,
        Self::SteadyAgain,
        Self::OrderGap,
        Self::FailedOrders,
    ];
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

/// Something that the recorder did as a customer, from the first byte sent to the last one read or given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Counts from 0.
    pub number: u64,
    /// In whose name.
    pub customer: Uuid,
    /// What was asked.
    pub action: Action,
    /// When the first request was sent.
    pub began: Micros,
    /// When the answer that counts had come, or the last try was given up.
    pub ended: Micros,
    /// How many requests it took: a good client repeats a broken keyed request once.
    pub attempts: u32,
    /// What is known of it.
    pub outcome: Outcome,
    /// The last answer's status, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there is no good answer: a problem's name, or what broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the answer said about an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Action {
    /// An order.
    Order {
        /// Its idempotency key.
        key: String,
        /// What is bought.
        product: Uuid,
        /// How many.
        quantity: i32,
    },
    /// An order that was acknowledged before is read.
    Read {
        /// The order.
        order: Uuid,
        /// The key that it was ordered with.
        key: String,
    },
    /// A customer logs in.
    Login,
}

/// What is known of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was answered as it should be; a "no" that the shop decided is such an answer.
    Ok,
    /// It was answered, and the answer says that nothing was done.
    Fail,
    /// It may or may not have been done.
    Unknown,
}

/// What the shop says about a key or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "decision",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Told {
    /// There is an order, and this is what it says.
    Confirmed(OrderSeen),
    /// The shop said no and keeps to it.
    Refused {
        /// Why: `sold-out`, `limit-reached`.
        verdict: String,
    },
    /// Nothing was decided.
    Absent,
}

/// An order as a customer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderSeen {
    /// The order.
    pub id: Uuid,
    /// What was bought.
    pub product: Uuid,
    /// How many.
    pub quantity: i32,
    /// The price of one, in the currency's smallest unit.
    pub unit_price_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A process was broken, or mended again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// When the signal had been delivered.
    pub at: Micros,
    /// What was done.
    pub kind: FaultKind,
    /// To which instance.
    pub instance: String,
    /// The process: `pid@start`, the start in ticks since boot.
    pub process: String,
    /// Processes of the instance that it was done to as well: a Postgres has one a connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// How it is known to have happened: the exit code, or the kernel's state of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Whether it is known to have happened.
    pub confirmed: bool,
}

/// What was done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it is there and does nothing.
    Stop,
    /// SIGCONT.
    Continue,
}

/// Something was seen to be different than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// When it was seen.
    pub at: Micros,
    /// What.
    pub seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "what",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Seen {
    /// An instance as the supervisor has it.
    Instance {
        /// Its name.
        instance: String,
        /// `running`, `starting`, `failed` or `stopped`.
        state: String,
        /// Whether it serves.
        ready: bool,
        /// Its role, if it has said one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// Its process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// How often it was started again.
        restarts: u64,
    },
    /// What the Sentinels agree on.
    Redis {
        /// The master's address, if a majority names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        master: Option<String>,
        /// The configuration epoch of that answer.
        epoch: u64,
        /// Whether a majority of Sentinels calls it down.
        down: bool,
        /// How many Sentinels answered.
        sentinels: u32,
    },
    /// A probe's write was acknowledged by Redis, or was not any more.
    RedisWritable {
        /// Whether it was.
        writable: bool,
    },
    /// Which Postgres answers.
    Postgres {
        /// Its system identifier.
        system: String,
        /// Its timeline.
        timeline: u32,
        /// When it started, as it says.
        started: String,
    },
    /// Postgres does not answer.
    PostgresGone,
}

/// The stock of the drill's products as Postgres had it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Books {
    /// When the answer had come.
    pub at: Micros,
    /// Each product.
    pub products: Vec<ProductBooks>,
    /// By how much the hold that is overdue the longest has outlived its time; none is overdue: 0.
    pub overdue_micros: Micros,
}

/// A product's stock, and what its orders add up to, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductBooks {
    /// The product.
    pub product: Uuid,
    /// All pieces that came in.
    pub received: i64,
    /// What may be sold.
    pub free: i64,
    /// What is kept for somebody.
    pub held: i64,
    /// What was sold.
    pub sold: i64,
    /// Pieces in orders.
    pub ordered: i64,
}

/// An order that Postgres holds at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookedOrder {
    /// Whose it is.
    pub customer: Uuid,
    /// The key that it was ordered with.
    pub key: String,
    /// What it says.
    pub order: OrderSeen,
}

/// What became of a key whose request was left open or refused, asked after its deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settlement {
    /// The operation.
    pub operation: u64,
    /// What reading the key said.
    pub by_key: Option<Told>,
    /// What repeating the request said afterwards.
    pub replay: Option<Told>,
}

/// The state in which the shop was left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// When it was seen.
    pub at: Micros,
    /// Redis servers that say they are master.
    pub redis_masters: Vec<String>,
    /// Replicas whose link to that master is up.
    pub redis_replicas: u32,
    /// How many there should be.
    pub redis_replicas_wanted: u32,
    /// The master that each Sentinel names, in the order of their names; one that does not answer is not there.
    pub sentinel_views: Vec<String>,
    /// How many Sentinels there should be.
    pub sentinels_wanted: u32,
    /// Instances that are not ready.
    pub not_ready: Vec<String>,
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
            .filter(|fault| fault.confirmed && fault.kind != FaultKind::Continue)
            .map(|fault| fault.at)
            .min()
    }
}

impl Operation {
    /// How long it took.
    pub fn took(&self) -> Micros {
        self.ended.saturating_sub(self.began)
    }

    /// The order that was acknowledged, if it was one.
    pub fn acknowledged(&self) -> Option<&OrderSeen> {
        match (&self.action, self.outcome, &self.told) {
            (Action::Order { .. }, Outcome::Ok, Some(Told::Confirmed(order))) => Some(order),
            _ => None,
        }
    }
}
