//! The page of drills: their data as the template shows them.

use serde::Serialize;

use super::drill_run::{RunView, rounded, run};
use super::load::{ReasonView, VerdictView, reason, verdict};
use super::origin::{Common, machine, moment};
use crate::drill::history::Figure;
use crate::drill::report::{DrillReport, DrillRun, ScenarioSummary, limit, show, words};
use crate::report::Verdict;
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
    /// The heads of the table of all runs, and its rows; empty where each run is shown closely.
    heads: Vec<&'static str>,
    runs: Vec<RowView>,
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
    hypothesis: String,
    verdict: VerdictView,
    runs: u64,
    /// What the runs say of all runs to come; empty if there was only one.
    bound: String,
    figures: Vec<FigureView>,
    shown: Vec<RunView>,
}

/// A figure over the runs of a scenario.
#[derive(Debug, Serialize)]
struct FigureView {
    name: &'static str,
    p50: String,
    p95: String,
    max: String,
    /// A place in percent a run, from none to the largest.
    dots: Vec<f64>,
    limit: Option<LimitView>,
}

#[derive(Debug, Serialize)]
struct LimitView {
    text: String,
    at: f64,
    verdict: VerdictView,
}

/// A run in a line.
#[derive(Debug, Serialize)]
struct RowView {
    name: String,
    verdict: VerdictView,
    figures: Vec<String>,
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
            .map(|summary| scenario(report, summary))
            .collect(),
        heads: Figure::MAIN.map(words).to_vec(),
        runs: if report.runs.len() > report.scenarios.len() {
            report.runs.iter().map(row).collect()
        } else {
            Vec::new()
        },
        origin: where_and_when(report),
        path: format!("reports/{}/{}", origin.environment, origin.id),
    }
}

fn scenario(report: &DrillReport, summary: &ScenarioSummary) -> ScenarioView {
    let runs: Vec<&DrillRun> = report
        .runs
        .iter()
        .filter(|run| run.scenario == summary.scenario)
        .collect();
    ScenarioView {
        name: summary.scenario.clone(),
        hypothesis: runs
            .first()
            .map_or_else(String::new, |run| run.hypothesis.clone()),
        verdict: verdict(summary.verdict),
        runs: summary.runs,
        bound: match summary.violation_bound {
            _ if summary.runs == 1 => String::new(),
            None if summary.judged == 0 => "None of them could be judged.".to_owned(),
            None => format!("{} with a violation.", summary.violations),
            Some(bound) => format!(
                "None with a violation: with 95 % confidence one is to be expected in at most {:.1} % of runs.",
                bound * 100.0
            ),
        },
        figures: Figure::ALL
            .into_iter()
            .filter_map(|figure| over_runs(figure, summary, &runs))
            .collect(),
        shown: shown(&runs),
    }
}

/// The runs that are worth a picture: whatever is no pass, and else the one that went longest without an order.
fn shown(runs: &[&DrillRun]) -> Vec<RunView> {
    let gap = |run: &&&DrillRun| run.judgement.figures.order_gap;
    let worst = runs.iter().max_by_key(gap).map(|run| run.run);
    let label = |one: &DrillRun| match (runs.len(), Some(one.run) == worst) {
        (1, _) => String::new(),
        (_, true) => format!("Run {}, the longest without an order", one.run),
        (_, false) => format!("Run {}", one.run),
    };
    runs.iter()
        .filter(|one| one.verdict != Verdict::Pass || Some(one.run) == worst)
        .map(|one| run(one, label(one)))
        .collect()
}

fn over_runs(figure: Figure, summary: &ScenarioSummary, runs: &[&DrillRun]) -> Option<FigureView> {
    let spread = summary.figures.get(&figure)?;
    let held_to = summary.objective(figure);
    let whole = held_to
        .map_or(0, |objective| objective.limit)
        .max(spread.max)
        .max(1) as f64
        * 1.08;
    let place = |value: u64| rounded(value as f64 / whole * 100.0);
    Some(FigureView {
        name: words(figure),
        p50: show(figure, spread.p50),
        p95: show(figure, spread.p95),
        max: show(figure, spread.max),
        // A single dot says something only beside a limit.
        dots: runs
            .iter()
            .filter(|_| runs.len() > 1 || held_to.is_some())
            .filter_map(|run| run.judgement.figures.get(figure))
            .map(place)
            .collect(),
        limit: held_to.map(|objective| LimitView {
            text: limit(figure, objective.limit, objective.over),
            at: place(objective.limit),
            verdict: verdict(objective.verdict),
        }),
    })
}

fn row(run: &DrillRun) -> RowView {
    let figures = &run.judgement.figures;
    RowView {
        name: format!("{}, run {}", run.scenario, run.run),
        verdict: verdict(run.verdict),
        figures: Figure::MAIN
            .map(|figure| {
                let value = figures.get(figure);
                value.map_or_else(|| "-".to_owned(), |value| show(figure, value))
            })
            .to_vec(),
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
