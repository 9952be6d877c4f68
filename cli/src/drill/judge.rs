//! A run's verdict, from its history alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Check, check};
use super::history::{Figure, History, Over, Seen};
use super::measure::{Figures, measure};
use crate::report::Verdict;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// All in all, but for the limits of a median: those belong to all runs together.
    pub verdict: Verdict,
    /// Whether the shop was as well as before within the time that it had.
    pub recovered: Verdict,
    /// What must be true of every run.
    pub checks: Vec<Check>,
    /// What this scenario is held to.
    pub objectives: Vec<JudgedObjective>,
    /// What was measured.
    pub figures: Figures,
}

/// A limit, and what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgedObjective {
    /// Which figure.
    pub figure: Figure,
    /// The most that it may be: microseconds, or a count.
    pub limit: u64,
    /// Over which runs it is judged.
    pub over: Over,
    /// What it was.
    pub measured: Option<u64>,
    /// Whether it was within the limit.
    pub verdict: Verdict,
}

/// Judges a run.
pub fn judge(history: &History) -> Judgement {
    let checks = check(history);
    let figures = measure(history);
    let objectives: Vec<JudgedObjective> = history
        .plan
        .objectives
        .iter()
        .map(|objective| {
            let measured = figures.get(objective.figure);
            JudgedObjective {
                figure: objective.figure,
                limit: objective.limit,
                over: objective.over,
                measured,
                verdict: match measured {
                    Some(measured) if measured <= objective.limit => Verdict::Pass,
                    Some(_) => Verdict::Fail,
                    None if must_come(objective.figure, history) && came_to_its_end(history) => {
                        Verdict::Fail
                    }
                    None => Verdict::Unknown,
                },
            }
        })
        .collect();
    let recovered = match figures.steady_again {
        Some(_) => Verdict::Pass,
        None if came_to_its_end(history) => Verdict::Fail,
        None => Verdict::Unknown,
    };
    let verdict = Verdict::all(
        checks
            .iter()
            .map(|check| check.verdict)
            .chain(
                objectives
                    .iter()
                    .filter(|objective| objective.over == Over::EachRun)
                    .map(|objective| objective.verdict),
            )
            .chain([recovered]),
    );
    Judgement {
        verdict,
        recovered,
        checks,
        objectives,
        figures,
    }
}

/// A time that never came although the run went on to its end is worse than any limit. Redis is writable again only if it
/// was not.
fn must_come(figure: Figure, history: &History) -> bool {
    match figure {
        Figure::FirstOrder | Figure::SteadyAgain => true,
        Figure::Writable => history
            .sights
            .iter()
            .filter(|sight| Some(sight.at) >= history.fault_at())
            .any(|sight| sight.seen == Seen::RedisWritable { writable: false }),
        _ => false,
    }
}

fn came_to_its_end(history: &History) -> bool {
    history.ending.is_some() && history.fault_at().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::history::{Objective, Outcome};
    use crate::drill::sample::{FAULT_AT, honest};

    fn with(objectives: &[(Figure, u64)]) -> History {
        let mut history = honest();
        history.plan.objectives = objectives
            .iter()
            .map(|&(figure, limit)| Objective {
                figure,
                limit,
                over: Over::EachRun,
            })
            .collect();
        history
    }

    #[test]
    fn a_run_within_its_limits_holds() {
        let judged = judge(&with(&[
            (Figure::Writable, 2_500_000),
            (Figure::FailedOrders, 0),
        ]));
        assert_eq!(judged.verdict, Verdict::Pass, "{judged:#?}");
        assert_eq!(judged.objectives[0].measured, Some(2_400_000));
    }

    #[test]
    fn a_missed_limit_fails_the_run_whatever_else_is_unknown() {
        let mut history = with(&[(Figure::Writable, 2_000_000)]);
        assert_eq!(judge(&history).verdict, Verdict::Fail);
        history.faults[0].confirmed = false;
        history.ending = None;
        history.orders.pop();
        assert_eq!(judge(&history).verdict, Verdict::Fail);
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let mut history = with(&[(Figure::Writable, 2_500_000)]);
        history.sights.clear();
        let judged = judge(&history);
        assert_eq!(judged.objectives[0].verdict, Verdict::Unknown);
        assert_eq!(judged.verdict, Verdict::Unknown);
    }

    #[test]
    fn a_redis_that_is_never_writable_again_fails() {
        let mut history = with(&[(Figure::Writable, 2_500_000)]);
        history.sights.pop();
        assert_eq!(judge(&history).objectives[0].verdict, Verdict::Fail);
    }

    #[test]
    fn a_shop_that_never_recovers_fails() {
        let mut history = with(&[(Figure::FirstOrder, 5_000_000)]);
        for operation in &mut history.operations {
            if operation.began >= FAULT_AT {
                operation.outcome = Outcome::Unknown;
                operation.told = None;
            }
        }
        let judged = judge(&history);
        assert_eq!(judged.objectives[0].verdict, Verdict::Fail);
        assert_eq!(judged.recovered, Verdict::Fail);
        assert_eq!(judged.verdict, Verdict::Fail);
    }
}
