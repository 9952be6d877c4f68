//! What the runs of a scenario have in common.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DrillRun;
use super::spread::{Spread, median, spread};
use super::words::{show, words};
use crate::drill::history::{Figure, Over};
use crate::drill::judge::JudgedObjective;
use crate::report::{Reason, Verdict};

/// What the runs of a scenario have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioSummary {
    /// The scenario.
    pub scenario: String,
    /// All runs and all limits together.
    pub verdict: Verdict,
    /// How many runs there were.
    pub runs: u64,
    /// How many of them were judged, one way or the other.
    pub judged: u64,
    /// In how many of these something that must be true was not.
    pub violations: u64,
    /// With 95 % confidence a violation is at most so likely in a run: 1 − 0.05^(1/n) after n runs without one, which is
    /// about 3/n (the rule of three). Absent if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation_bound: Option<f64>,
    /// What the scenario is held to, judged over its runs: by the largest figure of all, or by the median.
    pub objectives: Vec<JudgedObjective>,
    /// How the figures spread over the runs.
    pub figures: BTreeMap<Figure, Spread>,
}

pub(super) fn summaries(runs: &[DrillRun]) -> Vec<ScenarioSummary> {
    let mut by_scenario: Vec<(&str, Vec<&DrillRun>)> = Vec::new();
    for run in runs {
        match by_scenario
            .iter_mut()
            .find(|(scenario, _)| *scenario == run.scenario)
        {
            Some((_, runs)) => runs.push(run),
            None => by_scenario.push((&run.scenario, vec![run])),
        }
    }
    by_scenario
        .into_iter()
        .map(|(scenario, runs)| summary(scenario, &runs))
        .collect()
}

fn summary(scenario: &str, runs: &[&DrillRun]) -> ScenarioSummary {
    let violated = |run: &&&DrillRun| {
        run.judgement
            .checks
            .iter()
            .any(|check| check.verdict == Verdict::Fail)
    };
    let violations = runs.iter().filter(violated).count() as u64;
    let judged = runs
        .iter()
        .filter(|run| {
            let checks = &run.judgement.checks;
            checks.iter().all(|check| check.verdict != Verdict::Unknown)
                || checks.iter().any(|check| check.verdict == Verdict::Fail)
        })
        .count() as u64;
    let objectives = objectives(runs);
    ScenarioSummary {
        scenario: scenario.to_owned(),
        verdict: Verdict::all(
            runs.iter()
                .map(|run| run.verdict)
                .chain(objectives.iter().map(|objective| objective.verdict)),
        ),
        runs: runs.len() as u64,
        judged,
        violations,
        violation_bound: (violations == 0 && judged > 0)
            .then(|| 1.0 - 0.05_f64.powf(1.0 / judged as f64)),
        objectives,
        figures: Figure::ALL
            .into_iter()
            .filter_map(|figure| {
                let measured = runs
                    .iter()
                    .filter_map(|run| run.judgement.figures.get(figure))
                    .collect();
                Some((figure, spread(measured)?))
            })
            .collect(),
    }
}

impl ScenarioSummary {
    /// The limit that a figure is held to, if it is to one.
    pub fn objective(&self, figure: Figure) -> Option<&JudgedObjective> {
        self.objectives
            .iter()
            .find(|objective| objective.figure == figure)
    }
}

/// Judges each limit over all runs.
fn objectives(runs: &[&DrillRun]) -> Vec<JudgedObjective> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    first
        .judgement
        .objectives
        .iter()
        .map(|objective| {
            let of_runs: Vec<JudgedObjective> = runs
                .iter()
                .flat_map(|run| &run.judgement.objectives)
                .filter(|other| other.figure == objective.figure)
                .copied()
                .collect();
            match objective.over {
                Over::EachRun => worst(objective, &of_runs),
                Over::Median => in_the_median(objective, &of_runs),
            }
        })
        .collect()
}

fn worst(objective: &JudgedObjective, runs: &[JudgedObjective]) -> JudgedObjective {
    let never = runs
        .iter()
        .any(|run| run.measured.is_none() && run.verdict == Verdict::Fail);
    JudgedObjective {
        measured: runs
            .iter()
            .filter_map(|run| run.measured)
            .max()
            .filter(|_| !never),
        verdict: Verdict::all(runs.iter().map(|run| run.verdict)),
        ..*objective
    }
}

/// What never came is longer than anything. What was not measured may have been anything: then the median fails if it
/// would with the shortest of times, and is not known otherwise.
fn in_the_median(objective: &JudgedObjective, runs: &[JudgedObjective]) -> JudgedObjective {
    let came = |run: &JudgedObjective| match (run.measured, run.verdict) {
        (Some(measured), _) => Some(measured),
        (None, Verdict::Fail) => Some(u64::MAX),
        (None, _) => None,
    };
    let of_known: Vec<u64> = runs.iter().filter_map(came).collect();
    let known = of_known.len() == runs.len();
    let mut at_best = of_known;
    at_best.resize(runs.len(), 0);
    at_best.sort_unstable();
    let median = median(&at_best);
    JudgedObjective {
        // Half of what never came is no time either.
        measured: median.filter(|median| known && *median < u64::MAX / 2),
        verdict: match median {
            Some(median) if median > objective.limit => Verdict::Fail,
            Some(_) if known => Verdict::Pass,
            _ => Verdict::Unknown,
        },
        ..*objective
    }
}

/// Why the runs of a scenario together are not a pass, as far as each of them does not say so itself.
pub(super) fn reasons(scenario: &ScenarioSummary) -> Vec<Reason> {
    scenario
        .objectives
        .iter()
        .filter(|objective| objective.over == Over::Median && objective.verdict != Verdict::Pass)
        .map(|objective| Reason {
            verdict: objective.verdict,
            text: format!(
                "{}: {} {}, the limit is {}",
                scenario.scenario,
                words(objective.figure),
                came(objective, scenario.runs),
                show(objective.figure, objective.limit)
            ),
        })
        .collect()
}

fn came(objective: &JudgedObjective, runs: u64) -> String {
    match (objective.measured, runs) {
        (None, _) if objective.verdict == Verdict::Fail => "never came".to_owned(),
        (None, _) => "was not measured in every run".to_owned(),
        (Some(measured), 1) => format!("was {}", show(objective.figure, measured)),
        (Some(measured), runs) => format!(
            "was {} in the median of {runs} runs",
            show(objective.figure, measured)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;
    use crate::drill::history::{History, Objective};
    use crate::drill::sample::honest;

    /// The sample is writable again after 2.4 s.
    fn held_to(limit: u64) -> History {
        let mut history = honest();
        history.plan.objectives = vec![Objective {
            figure: Figure::Writable,
            limit,
            over: Over::Median,
        }];
        history
    }

    fn objective(measured: Option<u64>, verdict: Verdict) -> JudgedObjective {
        JudgedObjective {
            figure: Figure::Writable,
            limit: 2_700_000,
            over: Over::Median,
            measured,
            verdict,
        }
    }

    fn judged(runs: &[(Option<u64>, Verdict)]) -> (Option<u64>, Verdict) {
        let runs: Vec<JudgedObjective> = runs
            .iter()
            .map(|(measured, verdict)| objective(*measured, *verdict))
            .collect();
        let judged = in_the_median(&runs[0], &runs);
        (judged.measured, judged.verdict)
    }

    #[test]
    fn a_median_holds_although_one_run_was_slow() {
        let quick = (Some(2_500_000), Verdict::Pass);
        let slow = (Some(3_500_000), Verdict::Fail);
        assert_eq!(
            judged(&[quick, slow, quick]),
            (Some(2_500_000), Verdict::Pass)
        );
        assert_eq!(
            judged(&[quick, slow, slow]),
            (Some(3_500_000), Verdict::Fail)
        );
        assert_eq!(judged(&[quick, slow]), (Some(3_000_000), Verdict::Fail));
        assert_eq!(judged(&[slow]), (Some(3_500_000), Verdict::Fail));
    }

    #[test]
    fn what_never_came_counts_as_longer_than_anything_and_what_nobody_saw_leaves_it_open() {
        let quick = (Some(2_500_000), Verdict::Pass);
        let slow = (Some(3_500_000), Verdict::Fail);
        let never = (None, Verdict::Fail);
        let unseen = (None, Verdict::Unknown);
        assert_eq!(judged(&[never, never, quick]), (None, Verdict::Fail));
        assert_eq!(judged(&[never, quick]), (None, Verdict::Fail));
        assert_eq!(
            judged(&[never, quick, quick]),
            (Some(2_500_000), Verdict::Pass)
        );
        assert_eq!(judged(&[unseen, quick, quick]), (None, Verdict::Unknown));
        assert_eq!(judged(&[unseen, slow, slow]), (None, Verdict::Fail));
    }

    #[test]
    fn a_limit_of_the_median_fails_the_scenario_and_no_single_run() {
        let runs: Vec<DrillRun> = [2_000_000, 2_000_000]
            .map(|limit| run("x", &held_to(limit)))
            .into();
        assert!(runs.iter().all(|run| run.verdict == Verdict::Pass));
        let summary = &summaries(&runs)[0];
        assert_eq!(summary.objectives[0].verdict, Verdict::Fail);
        let reasons = reasons(summary);
        assert_eq!(
            reasons[0].text,
            "redis-master: writable again was 2.40 s in the median of 2 runs, the limit is 2.00 s"
        );
        assert!(super::reasons(&summaries(&[run("x", &held_to(2_400_000))])[0]).is_empty());
    }

    #[test]
    fn a_drill_that_is_left_out_of_a_report_is_missed() {
        let of = |number| {
            let mut history = honest();
            (history.plan.number, history.plan.of) = (number, 3);
            ("x".to_owned(), history)
        };
        assert_eq!(super::super::missing(&[of(1), of(2), of(3)]), None);
        let missing = super::super::missing(&[of(1), of(3)]).unwrap();
        assert_eq!(missing.verdict, Verdict::Unknown);
        assert_eq!(super::super::missing(&[("x".to_owned(), honest())]), None);
    }

    #[test]
    fn a_limit_of_each_run_is_judged_by_the_worst() {
        let mut histories = [honest(), honest()];
        for (history, limit) in histories.iter_mut().zip([20_000, 19_999]) {
            history.plan.objectives = vec![Objective {
                figure: Figure::OrderGap,
                limit,
                over: Over::EachRun,
            }];
        }
        let runs: Vec<DrillRun> = histories.iter().map(|history| run("x", history)).collect();
        let objective = summaries(&runs)[0].objectives[0];
        assert_eq!(
            (objective.measured, objective.verdict),
            (Some(20_000), Verdict::Fail)
        );
    }

    #[test]
    fn the_bound_on_a_violation_follows_the_rule_of_three() {
        let history = crate::drill::sample::honest();
        let runs: Vec<DrillRun> = (0..100).map(|_| run("x", &history)).collect();
        let summary = &summaries(&runs)[0];
        assert_eq!((summary.judged, summary.violations), (100, 0));
        let bound = summary.violation_bound.unwrap();
        assert!((bound - 0.0295).abs() < 0.0005, "{bound}");
        let mut lost = history;
        lost.orders.pop();
        let summary = &summaries(&[run("x", &lost)])[0];
        assert_eq!((summary.violations, summary.violation_bound), (1, None));
    }
}
