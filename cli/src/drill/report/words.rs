//! A report and its figures in words.

use std::fmt::Write as _;

use super::DrillReport;
use crate::drill::check::Check;
use crate::drill::history::{Figure, Over};
use crate::report::Verdict;

impl DrillReport {
    /// What was broken, in a line.
    pub fn headline(&self) -> String {
        let names: Vec<&str> = self
            .scenarios
            .iter()
            .map(|scenario| scenario.scenario.as_str())
            .collect();
        match names.as_slice() {
            [] => "nothing was broken".to_owned(),
            [one] => format!("{one} broken {} under load", times(self.runs.len())),
            [first, .., last] if names.len() > 4 => format!(
                "{} scenarios from {first} to {last}, {} runs",
                names.len(),
                self.runs.len()
            ),
            several => format!("{}: {} runs", several.join(", "), self.runs.len()),
        }
    }

    /// What held, in a sentence or two.
    pub fn summary(&self) -> String {
        let claims = self.claims();
        let held = claims
            .iter()
            .filter(|claim| claim.verdict == Verdict::Pass)
            .count();
        let judged: u64 = self.scenarios.iter().map(|scenario| scenario.judged).sum();
        let violations: u64 = self
            .scenarios
            .iter()
            .map(|scenario| scenario.violations)
            .sum();
        let mut text = format!("{held} of {} claims hold in every run.", claims.len());
        if violations == 0 && judged > 0 {
            let bound = 1.0 - 0.05_f64.powf(1.0 / judged as f64);
            let _ = write!(
                text,
                " No violation in {}: with 95 % confidence one is to be expected in at most {:.1} % of runs.",
                runs(judged),
                bound * 100.0
            );
        } else if violations > 0 {
            let _ = write!(
                text,
                " Something that must be true was not in {}.",
                runs(violations)
            );
        }
        text
    }

    /// Each claim over all runs.
    pub fn claims(&self) -> Vec<Check> {
        let mut claims: Vec<Check> = Vec::new();
        for check in self.runs.iter().flat_map(|run| &run.judgement.checks) {
            match claims.iter_mut().find(|claim| claim.claim == check.claim) {
                Some(claim) => {
                    claim.verdict = claim.verdict.and(check.verdict);
                    claim.looked_at += check.looked_at;
                    claim.violations += check.violations;
                    claim.examples.extend(check.examples.iter().cloned());
                    claim.examples.truncate(5);
                }
                None => claims.push(check.clone()),
            }
        }
        claims
    }
}

fn runs(number: u64) -> String {
    match number {
        1 => "1 run".to_owned(),
        more => format!("{more} runs"),
    }
}

fn times(number: usize) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// A figure's value as people read it.
pub fn show(figure: Figure, value: u64) -> String {
    match figure {
        Figure::FailedOrders | Figure::FailedReads | Figure::FailedLogins => value.to_string(),
        _ if value < 1_000_000 => format!("{:.0} ms", value as f64 / 1e3),
        _ => format!("{:.2} s", value as f64 / 1e6),
    }
}

/// A figure in words.
pub fn words(figure: Figure) -> &'static str {
    match figure {
        Figure::Detected => "detected",
        Figure::Promoted => "successor in place",
        Figure::Writable => "writable again",
        Figure::FirstOrder => "first order",
        Figure::SteadyAgain => "as before",
        Figure::OrderGap => "longest time without an order",
        Figure::FailedOrders => "failed orders",
        Figure::FailedReads => "failed reads",
        Figure::FailedLogins => "failed logins",
    }
}

/// A limit as people read it.
pub fn limit(figure: Figure, limit: u64, over: Over) -> String {
    let limit = show(figure, limit);
    match over {
        Over::EachRun => format!("at most {limit}"),
        Over::Median => format!("at most {limit} in the median"),
    }
}
