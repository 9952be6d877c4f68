//! The report of drills: what each run has shown, and what the runs of a scenario have in common.
//!
//! Pure: made from histories and a few facts after a drill, and made again from the same when it is verified.

use std::fmt::Write as _;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::check::Check;
use super::history::{Fault, Figure, History, Micros, Outcome, Phase};
use super::judge::{Judgement, judge};
use crate::environment::Target;
use crate::report::{Hardware, LoadAverages, Reason, SCHEMA_VERSION, Software, Verdict};

/// How many steps the picture of a run has at most.
const STEPS: u64 = 240;

/// What drills have shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// The version of the report's form.
    pub schema_version: u32,
    /// The kind of report: `drill`.
    pub kind: String,
    /// What is known of where and when, apart from the histories.
    pub origin: DrillFacts,
    /// What it has shown.
    pub verdict: Verdict,
    /// Why it is not a pass: what failed first, then what is not known.
    pub reasons: Vec<Reason>,
    /// Every run, in order.
    pub runs: Vec<DrillRun>,
    /// What the runs of each scenario have in common.
    pub scenarios: Vec<ScenarioSummary>,
}

/// What no history says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillFacts {
    /// The report's name: when it began and what was broken.
    pub id: String,
    /// The environment's name.
    pub environment: String,
    /// Where the shop ran.
    pub target: Target,
    /// The profile's name.
    pub profile: String,
    /// How many users loaded the shop in the background.
    pub vus: u32,
    /// When the first run began.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: OffsetDateTime,
    /// When the last run ended.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended_at: OffsetDateTime,
    /// Why not all runs that were asked for took place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<String>,
    /// The programs.
    pub software: Software,
    /// The machine.
    pub hardware: Hardware,
    /// The SHA-256 of the effective environment, in hexadecimal.
    pub environment_sha256: String,
    /// How busy the machine was.
    pub load_average: LoadAverages,
    /// What each run said besides, in the order of the runs.
    pub notes: Vec<Vec<String>>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillRun {
    /// What was broken.
    pub scenario: String,
    /// Which run of the scenario, from 1.
    pub run: u32,
    /// What moment and victims were drawn from.
    pub seed: u64,
    /// What was expected.
    pub hypothesis: String,
    /// What was done to whom.
    pub faults: Vec<Fault>,
    /// What it has shown.
    pub verdict: Verdict,
    /// Every check, objective and figure.
    pub judgement: Judgement,
    /// The run in steps, for its picture.
    pub timeline: Timeline,
    /// The file of the raw history.
    pub history: String,
}

/// A run in equal steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// When the first step begins, in microseconds since the run began.
    pub from: Micros,
    /// How long a step is, in microseconds.
    pub step: Micros,
    /// When the fault was, in microseconds since the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Micros>,
    /// The steps.
    pub steps: Vec<TimelineStep>,
}

/// What became of the operations that began within a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineStep {
    /// Orders that were acknowledged.
    pub orders: u32,
    /// Other operations that were answered as they should be.
    pub ok: u32,
    /// Operations that failed or were not answered.
    pub failed: u32,
    /// The slowest took so many microseconds.
    pub slowest: Micros,
}

/// What the runs of a scenario have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioSummary {
    /// The scenario.
    pub scenario: String,
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
    /// How the figures spread over the runs.
    pub figures: BTreeMap<Figure, Spread>,
}

/// How a figure spreads over runs: microseconds, or a count. Percentiles by the nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// In how many runs it was measured.
    pub measured: u64,
    /// The median.
    pub p50: u64,
    /// The 95th percentile.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

impl DrillReport {
    /// Makes the report of histories; each comes with the name of its file.
    pub fn assemble(origin: DrillFacts, histories: &[(String, History)]) -> Self {
        let runs: Vec<DrillRun> = histories
            .iter()
            .map(|(file, history)| run(file, history))
            .collect();
        let mut reasons: Vec<Reason> = runs.iter().flat_map(reasons).collect();
        // What was not looked at follows from it.
        let cut_short = origin.cut_short.as_ref().map(|why| Reason {
            verdict: Verdict::Unknown,
            text: why.clone(),
        });
        reasons.splice(0..0, cut_short);
        if runs.is_empty() {
            reasons.push(Reason {
                verdict: Verdict::Unknown,
                text: "nothing was broken".to_owned(),
            });
        }
        reasons.sort_by_key(|reason| reason.verdict != Verdict::Fail);
        Self {
            schema_version: SCHEMA_VERSION,
            kind: "drill".to_owned(),
            origin,
            verdict: Verdict::all(reasons.iter().map(|reason| reason.verdict)),
            reasons,
            scenarios: summaries(&runs),
            runs,
        }
    }
}

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

fn run(file: &str, history: &History) -> DrillRun {
    let judgement = judge(history);
    DrillRun {
        scenario: history.plan.scenario.clone(),
        run: history.plan.run,
        seed: history.plan.seed,
        hypothesis: history.plan.hypothesis.clone(),
        faults: history.faults.clone(),
        verdict: judgement.verdict,
        judgement,
        timeline: timeline(history),
        history: file.to_owned(),
    }
}

/// Why a run is not a pass.
fn reasons(run: &DrillRun) -> Vec<Reason> {
    let name = format!("{} run {}", run.scenario, run.run);
    let judgement = &run.judgement;
    let mut reasons: Vec<Reason> = judgement
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .map(|check| Reason {
            verdict: check.verdict,
            text: format!(
                "{name}: {}: {}",
                check.claim,
                check.examples.first().map_or("", String::as_str)
            ),
        })
        .collect();
    for objective in &judgement.objectives {
        if objective.verdict == Verdict::Pass {
            continue;
        }
        let measured = objective
            .measured
            .map_or("never came".to_owned(), |measured| {
                format!("was {}", show(objective.figure, measured))
            });
        reasons.push(Reason {
            verdict: objective.verdict,
            text: format!(
                "{name}: {} {measured}, the limit is {}",
                words(objective.figure),
                show(objective.figure, objective.limit)
            ),
        });
    }
    // Without a fault, or without an end, the checks above say so.
    let ran = run.timeline.fault.is_some()
        && reasons.iter().all(|reason| reason.verdict == Verdict::Fail);
    if judgement.figures.steady_again.is_none() && ran && run.verdict == Verdict::Fail {
        reasons.push(Reason {
            verdict: run.verdict,
            text: format!("{name}: the shop was not as before within the time that it had"),
        });
    }
    reasons
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

fn summaries(runs: &[DrillRun]) -> Vec<ScenarioSummary> {
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
    ScenarioSummary {
        scenario: scenario.to_owned(),
        runs: runs.len() as u64,
        judged,
        violations,
        violation_bound: (violations == 0 && judged > 0)
            .then(|| 1.0 - 0.05_f64.powf(1.0 / judged as f64)),
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

fn spread(mut values: Vec<u64>) -> Option<Spread> {
    values.sort_unstable();
    let rank = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).copied()
    };
    Some(Spread {
        measured: values.len() as u64,
        p50: rank(50)?,
        p95: rank(95)?,
        max: rank(100)?,
    })
}

fn timeline(history: &History) -> Timeline {
    let from = history.began(Phase::Steady).unwrap_or(0);
    let end = history
        .began(Phase::Draining)
        .or_else(|| {
            history
                .operations
                .iter()
                .map(|operation| operation.began)
                .max()
        })
        .unwrap_or(from);
    let step = (end.saturating_sub(from) / STEPS).max(1);
    let count = end.saturating_sub(from).div_ceil(step).min(STEPS + 1);
    let mut steps = vec![TimelineStep::default(); usize::try_from(count).unwrap_or(0)];
    for operation in &history.operations {
        let Some(after) = operation.began.checked_sub(from) else {
            continue;
        };
        let place = usize::try_from(after / step).unwrap_or(usize::MAX);
        let Some(at) = steps.get_mut(place) else {
            continue;
        };
        if operation.outcome != Outcome::Ok {
            at.failed += 1;
        } else if operation.acknowledged().is_some() {
            at.orders += 1;
        } else {
            at.ok += 1;
        }
        at.slowest = at.slowest.max(operation.took());
    }
    Timeline {
        from,
        step,
        fault: history.fault_at(),
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_by_the_nearest_rank() {
        let spread = spread((1..=10).collect()).unwrap();
        assert_eq!((spread.p50, spread.p95, spread.max), (5, 10, 10));
        assert_eq!(super::spread(Vec::new()), None);
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

    #[test]
    fn a_timeline_counts_every_operation_once() {
        let history = crate::drill::sample::honest();
        let timeline = timeline(&history);
        let all: u32 = timeline
            .steps
            .iter()
            .map(|step| step.orders + step.ok + step.failed)
            .sum();
        assert_eq!(all as usize, history.operations.len());
        assert!(timeline.steps.len() as u64 <= STEPS + 1);
    }
}
