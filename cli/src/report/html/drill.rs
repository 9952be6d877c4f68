//! The page of drills: their data as the template shows them.

use std::fmt::Write as _;

use serde::Serialize;

use super::load::{ReasonView, VerdictView, reason, verdict};
use super::origin::{Common, machine, moment};
use crate::drill::history::{FaultKind, Figure};
use crate::drill::report::{DrillReport, DrillRun, Timeline, show, words};
use crate::report::figures::count;

/// What the template shows.
#[derive(Debug, Serialize)]
pub(super) struct View {
    title: String,
    id: String,
    verdict: VerdictView,
    headline: String,
    summary: String,
    reasons: Vec<ReasonView>,
    claims: Vec<ClaimView>,
    scenarios: Vec<ScenarioView>,
    runs: Vec<RunView>,
    origin: Vec<[String; 2]>,
    path: String,
}

#[derive(Debug, Serialize)]
struct ClaimView {
    claim: String,
    looked_at: String,
    violations: String,
    verdict: VerdictView,
    examples: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ScenarioView {
    name: String,
    runs: u64,
    violations: u64,
    bound: String,
    figures: Vec<[String; 4]>,
}

#[derive(Debug, Serialize)]
struct RunView {
    name: String,
    hypothesis: String,
    verdict: VerdictView,
    faults: Vec<String>,
    figures: Vec<[String; 2]>,
    objectives: Vec<ObjectiveView>,
    operations: Vec<OperationsView>,
    picture: Picture,
}

#[derive(Debug, Serialize)]
struct ObjectiveView {
    name: &'static str,
    measured: String,
    limit: String,
    verdict: VerdictView,
}

#[derive(Debug, Serialize)]
struct OperationsView {
    kind: String,
    all: String,
    failed: String,
    unknown: String,
    repeated: String,
    longest: String,
}

/// The run over time. Places are in percent.
#[derive(Debug, Serialize)]
struct Picture {
    description: String,
    /// Bars of answered operations, from the bottom; of failed ones, on top of them.
    bars: Vec<Bar>,
    /// How slow the slowest was, on a logarithmic scale.
    slowest: String,
    marks: Vec<Mark>,
    columns: Vec<Mark>,
}

#[derive(Debug, Serialize)]
struct Bar {
    left: f64,
    width: f64,
    orders: f64,
    ok: f64,
    failed: f64,
}

#[derive(Debug, Serialize)]
struct Mark {
    at: f64,
    label: String,
    class: &'static str,
}

/// The data of a report as the template shows them.
pub(super) fn view(report: &DrillReport) -> View {
    let origin = &report.origin;
    View {
        title: format!("{}: drills of {}", report.verdict, origin.environment),
        id: origin.id.clone(),
        verdict: verdict(report.verdict),
        headline: report.headline(),
        summary: report.summary(),
        reasons: report.reasons.iter().map(reason).collect(),
        claims: report
            .claims()
            .into_iter()
            .map(|claim| ClaimView {
                claim: claim.claim,
                looked_at: count(claim.looked_at),
                violations: count(claim.violations),
                verdict: verdict(claim.verdict),
                examples: claim.examples,
            })
            .collect(),
        scenarios: report
            .scenarios
            .iter()
            .map(|scenario| ScenarioView {
                name: scenario.scenario.clone(),
                runs: scenario.runs,
                violations: scenario.violations,
                bound: scenario
                    .violation_bound
                    .map_or_else(|| "-".to_owned(), |bound| format!("{:.1} %", bound * 100.0)),
                figures: scenario
                    .figures
                    .iter()
                    .map(|(figure, spread)| {
                        [
                            words(*figure).to_owned(),
                            show(*figure, spread.p50),
                            show(*figure, spread.p95),
                            show(*figure, spread.max),
                        ]
                    })
                    .collect(),
            })
            .collect(),
        runs: report.runs.iter().map(run).collect(),
        origin: where_and_when(report),
        path: format!("reports/{}/{}", origin.environment, origin.id),
    }
}

fn where_and_when(report: &DrillReport) -> Vec<[String; 2]> {
    let origin = &report.origin;
    let seed = report.runs.first().map_or(0, |run| run.seed);
    let mut rows = vec![
        [
            "Time".to_owned(),
            format!(
                "{} to {}",
                moment(origin.started_at),
                moment(origin.ended_at)
            ),
        ],
        [
            "Profile".to_owned(),
            format!(
                "{} ({} users in the background), seed {seed}",
                origin.profile, origin.vus
            ),
        ],
    ];
    rows.extend(machine(&Common {
        environment: &origin.environment,
        environment_sha256: &origin.environment_sha256,
        software: &origin.software,
        hardware: &origin.hardware,
        load_average: &origin.load_average,
    }));
    rows
}

/// The figures of a run, in the order in which they come about.
const FIGURES: [Figure; 6] = [
    Figure::Detected,
    Figure::Promoted,
    Figure::Writable,
    Figure::FirstOrder,
    Figure::SteadyAgain,
    Figure::OrderGap,
];

fn run(run: &DrillRun) -> RunView {
    let figures = &run.judgement.figures;
    let shown = |figure, value: Option<u64>| {
        value.map_or_else(|| "-".to_owned(), |value| show(figure, value))
    };
    RunView {
        name: format!("{}, run {}", run.scenario, run.run),
        hypothesis: run.hypothesis.clone(),
        verdict: verdict(run.verdict),
        faults: run
            .faults
            .iter()
            .map(|fault| {
                let signal = match fault.kind {
                    FaultKind::Kill => "SIGKILL",
                    FaultKind::Stop => "SIGSTOP",
                    FaultKind::Continue => "SIGCONT",
                };
                let evidence = fault.evidence.as_deref().unwrap_or("no evidence");
                format!(
                    "{signal} to {} (process {}): {evidence}",
                    fault.instance, fault.process
                )
            })
            .collect(),
        figures: FIGURES
            .into_iter()
            .map(|figure| [words(figure).to_owned(), shown(figure, figures.get(figure))])
            .collect(),
        objectives: run
            .judgement
            .objectives
            .iter()
            .map(|objective| ObjectiveView {
                name: words(objective.figure),
                measured: shown(objective.figure, objective.measured),
                limit: format!("at most {}", show(objective.figure, objective.limit)),
                verdict: verdict(objective.verdict),
            })
            .collect(),
        operations: figures
            .operations
            .iter()
            .map(|(kind, counts)| OperationsView {
                kind: kind.clone(),
                all: count(counts.all),
                failed: count(counts.failed),
                unknown: count(counts.unknown),
                repeated: count(counts.repeated),
                longest: show(Figure::OrderGap, counts.longest),
            })
            .collect(),
        picture: picture(run),
    }
}

fn picture(run: &DrillRun) -> Picture {
    let timeline = &run.timeline;
    let length = timeline.step.max(1) * timeline.steps.len().max(1) as u64;
    let most = timeline
        .steps
        .iter()
        .map(|step| step.orders + step.ok + step.failed)
        .max()
        .unwrap_or(1)
        .max(1);
    let width = 100.0 / timeline.steps.len().max(1) as f64;
    let height = |number: u32| f64::from(number) / f64::from(most) * 100.0;
    let place = |at: u64| at.saturating_sub(timeline.from) as f64 / length as f64 * 100.0;
    let failed: u32 = timeline.steps.iter().map(|step| step.failed).sum();
    Picture {
        description: format!(
            "{} over {:.0} seconds; {failed} operations failed",
            run.scenario,
            length as f64 / 1e6
        ),
        bars: timeline
            .steps
            .iter()
            .enumerate()
            .map(|(number, step)| Bar {
                left: rounded(number as f64 * width),
                width: rounded(width),
                orders: rounded(height(step.orders)),
                ok: rounded(height(step.ok)),
                failed: rounded(height(step.failed)),
            })
            .collect(),
        slowest: slowest(timeline),
        marks: marks(run, place),
        columns: (0..=length / 5_000_000)
            .map(|number| Mark {
                at: rounded(number as f64 * 5e6 / length as f64 * 100.0),
                label: format!("{} s", number * 5),
                class: "column",
            })
            .collect(),
    }
}

/// The fault and the times that count from it.
fn marks(run: &DrillRun, place: impl Fn(u64) -> f64) -> Vec<Mark> {
    let Some(fault) = run.timeline.fault else {
        return Vec::new();
    };
    let figures = &run.judgement.figures;
    let mut marks = vec![Mark {
        at: rounded(place(fault)),
        label: "fault".to_owned(),
        class: "fault",
    }];
    for (figure, label) in [
        (Figure::Detected, "detected"),
        (Figure::Promoted, "successor"),
        (Figure::Writable, "writable"),
        (Figure::SteadyAgain, "as before"),
    ] {
        if let Some(after) = figures.get(figure) {
            marks.push(Mark {
                at: rounded(place(fault + after)),
                label: format!("{label} {}", show(figure, after)),
                class: "mark",
            });
        }
    }
    marks
}

/// A line from 1 ms at the bottom to 10 s at the top, each decade as high as the next.
fn slowest(timeline: &Timeline) -> String {
    let count = timeline.steps.len().max(1) as f64;
    let mut path = String::new();
    let mut pen = 'M';
    for (number, step) in timeline.steps.iter().enumerate() {
        if step.slowest == 0 {
            pen = 'M';
            continue;
        }
        let decades = (step.slowest as f64 / 1_000.0).max(1.0).log10().min(4.0);
        let across = (number as f64 + 0.5) / count * 1_000.0;
        let _ = write!(path, "{pen}{:.1} {:.1}", across, 100.0 - decades * 25.0);
        pen = 'L';
    }
    path
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
