//! Counts what a check looked at.

use super::Check;
use crate::report::Verdict;

/// Examples that are kept.
const EXAMPLES: usize = 5;

/// What a check has seen so far.
#[derive(Debug)]
pub(super) struct Tally {
    claim: &'static str,
    looked_at: u64,
    violations: u64,
    unknown: u64,
    examples: Vec<String>,
}

impl Tally {
    pub(super) fn new(claim: &'static str) -> Self {
        Self {
            claim,
            looked_at: 0,
            violations: 0,
            unknown: 0,
            examples: Vec::new(),
        }
    }

    /// Looks at one thing.
    pub(super) fn expect(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        self.looked_at += 1;
        if !is_so {
            self.violations += 1;
            // What is wrong is shown before what is merely not known.
            if self.violations == 1 {
                self.examples.clear();
            }
            self.keep(otherwise);
        }
    }

    /// So many things were looked at elsewhere and found to be as they must be.
    pub(super) fn looked_at(&mut self, number: u64) {
        self.looked_at += number;
    }

    /// Something that should have been looked at could not be.
    pub(super) fn cannot_tell(&mut self, because: impl FnOnce() -> String) {
        self.unknown += 1;
        if self.violations == 0 {
            self.keep(because);
        }
    }

    fn keep(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    /// The outcome of a check that must have looked at something.
    pub(super) fn ended(mut self) -> Check {
        if self.looked_at == 0 && self.unknown == 0 {
            self.cannot_tell(|| "there was nothing to look at".to_owned());
        }
        self.ended_perhaps_empty()
    }

    /// The outcome of a check that may have had nothing to look at.
    pub(super) fn ended_perhaps_empty(self) -> Check {
        Check {
            claim: self.claim.to_owned(),
            verdict: if self.violations > 0 {
                Verdict::Fail
            } else if self.unknown > 0 {
                Verdict::Unknown
            } else {
                Verdict::Pass
            },
            looked_at: self.looked_at,
            violations: self.violations,
            examples: self.examples,
        }
    }
}
