//! What is tried and what must hold: the first record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Micros, SaleTerms};

/// What is tried and what must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`HISTORY_VERSION`](super::HISTORY_VERSION).
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
    /// Which of the drills of its series this is, from 1; 0: not known.
    #[serde(default)]
    pub number: u32,
    /// How many drills the series was to have; 0: not known.
    #[serde(default)]
    pub of: u32,
    /// Users that load the shop in the background.
    #[serde(default)]
    pub users: u32,
    /// What the run is held to.
    pub objectives: Vec<Objective>,
    /// What must come of the fault for it to have been the one that was meant.
    #[serde(default)]
    pub expected: Vec<Expected>,
    /// The sale in which lock holders are made to hang, if that is part of the run. Its orders belong to no figure: they
    /// come in bursts and are there to be caught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale: Option<SaleTerms>,
}

/// What must come of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expected {
    /// The Sentinels name another Redis master, with a higher configuration epoch.
    AnotherMaster,
    /// The same data are served by a Postgres that started later.
    PostgresStartedAgain,
    /// For a while fewer than a majority of Sentinels answer, and the master stays.
    NoFailoverPossible,
    /// Who hangs is replaced by another process.
    Replaced,
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
    /// Over which runs.
    #[serde(default)]
    pub over: Over,
}

/// Over which runs a limit is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Over {
    /// Every run has to keep it.
    #[default]
    EachRun,
    /// The median of all runs of the scenario has to keep it: a time that hangs on when timers happen to fire.
    Median,
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
