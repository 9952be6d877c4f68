//! What a smoke test answers.

use serde::Serialize;
use time::OffsetDateTime;

/// The answer of `shopctl smoke`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SmokeReport {
    /// Whether every check passed.
    pub passed: bool,
    /// Whether Ctrl-C ended it before its last check.
    pub interrupted: bool,
    /// The environment.
    pub environment: String,
    /// Where the shop was entered.
    pub url: String,
    /// The tag of all that was made.
    pub tag: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// How long it took.
    pub milliseconds: u64,
    /// How the requests of the flash sale were answered; none if it did not end as it must.
    pub flash_sale: Option<FlashSale>,
    /// The checks, in the order in which they ended.
    pub checks: Vec<Check>,
}

/// The requests of the flash sale by how they were answered in the end. All kinds together are all requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashSale {
    /// Pieces on sale.
    pub pieces: usize,
    /// Customers who wanted one each.
    pub customers: usize,
    /// Requests at once: some customers asked twice under one key.
    pub requests: usize,
    /// First answers that were an order.
    pub orders: usize,
    /// Second answers under the same key that were the same order.
    pub orders_repeated: usize,
    /// First answers that were "sold out".
    pub sold_out: usize,
    /// Second answers under the same key that were "sold out" as well.
    pub sold_out_repeated: usize,
    /// How often somebody was asked to come back and did, before one of these answers.
    pub asked_to_come_back: usize,
    /// How long it took from the first request to the last answer.
    pub milliseconds: u64,
}

/// A check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What it is about.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub milliseconds: u64,
    /// What was found.
    pub detail: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// All was as it must be.
    Passed,
    /// Something was not as it must be.
    Failed,
    /// It could not be tried, because what it needs had failed, or Ctrl-C ended it.
    Skipped,
}
