//! What must be true of a history, whatever was broken.
//!
//! Each check looks at the records alone, says how many things it looked at, and shows the first few that are wrong.
//! What it could not look at is unknown and never counts as held.

mod books;
mod ending;
mod offered;
mod orders;
mod outcome;
mod reads;
mod stale_lock;
mod tally;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::History;
use crate::report::Verdict;
use tally::Tally;

/// One thing that must be true, and whether it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What must be true, as a sentence.
    pub claim: String,
    /// Whether it is; `unknown` if it could not be looked at.
    pub verdict: Verdict,
    /// How many things were looked at.
    pub looked_at: u64,
    /// How many of them are not as they must be.
    pub violations: u64,
    /// The first few of those, or why nothing could be looked at.
    pub examples: Vec<String>,
}

/// Everything that must be true, judged.
pub fn check(history: &History) -> Vec<Check> {
    let mut checks = vec![
        offered::fault_happened(history),
        offered::nothing_else_broke(history),
        offered::offered(history),
    ];
    checks.extend(offered::background(history));
    checks.extend(outcome::checks(history));
    checks.extend(orders::checks(history));
    checks.extend(books::checks(history));
    checks.push(reads::never_go_back(history));
    checks.extend(stale_lock::checks(history));
    checks.extend(ending::checks(history));
    checks
}
