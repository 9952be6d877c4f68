//! What a smoke test answers.

use serde::Serialize;
use time::OffsetDateTime;

/// The answer of `shopctl smoke`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SmokeReport {
    /// Whether every check passed.
    pub passed: bool,
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
    /// The checks, in the order in which they ended.
    pub checks: Vec<Check>,
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
    /// It could not be tried, because what it needs had failed.
    Skipped,
}
