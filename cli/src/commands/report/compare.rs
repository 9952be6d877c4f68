//! What changed between two reports of one kind.

use super::super::Context;
use super::store_failure;
use crate::args::ReportCompareArgs;
use crate::drill::compare::{ComparingDrills, DrillChange, Runs, compare_drills};
use crate::drill::history::Figure;
use crate::drill::report::{show, words};
use crate::report::figures::with_unit;
use crate::report::{Comparing, Finding, Report, Reports, Side, compare};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

pub(super) fn run(
    reports: &Reports,
    args: &ReportCompareArgs,
    context: &Context,
) -> Result<(), Failure> {
    let read = |wanted: &str| {
        let folder = reports.find(wanted).map_err(store_failure)?;
        folder.report().map_err(store_failure)
    };
    let differences = match (read(&args.before)?, read(&args.after)?) {
        (Report::Load(before), Report::Load(after)) => {
            let comparing = compare(&before, &after);
            if context.ui.output() == OutputFormat::Json {
                return context.ui.json(&comparing);
            }
            context.ui.data(&text(&comparing))?;
            comparing.differences
        }
        (Report::Drill(before), Report::Drill(after)) => {
            let comparing = compare_drills(&before, &after);
            if context.ui.output() == OutputFormat::Json {
                return context.ui.json(&comparing);
            }
            context.ui.data(&drills(&comparing))?;
            comparing.differences
        }
        (before, after) => {
            let kind = |report: &Report| match report {
                Report::Load(_) => "a load test",
                Report::Drill(_) => "drills",
            };
            return Err(Failure::new(format!(
                "failed to compare {} with {}: one is a report of {}, the other one of {}",
                before.id(),
                after.id(),
                kind(&before),
                kind(&after)
            ))
            .hint("`shopctl report list` says which is which")
            .exit(ExitCode::Usage));
        }
    };
    for difference in &differences {
        context.ui.warn(difference);
    }
    if !differences.is_empty() {
        context
            .ui
            .hint("a change may come from what differs, and not from the shop");
    }
    Ok(())
}

/// What changed between two reports of drills.
fn drills(comparing: &ComparingDrills) -> String {
    let before_and_after = sides(&comparing.before, &comparing.after);
    if comparing.figures.is_empty() {
        return format!("{before_and_after}\nNo scenario was broken in both of them.\n");
    }
    format!(
        "{before_and_after}\n{}\nMedians, and from the smallest to the largest of several runs. Only runs that lie \
         wholly apart, four on either side, are called a change.\n",
        changes(&comparing.figures).render()
    )
}

/// A row a figure of each scenario.
pub(in crate::commands) fn changes(figures: &[DrillChange]) -> Table {
    let mut table = Table::new(["SCENARIO", "FIGURE", "BEFORE", "AFTER", "FINDING"]);
    for change in figures {
        table.row([
            change.scenario.as_str().into(),
            words(change.figure).into(),
            over_runs(change.figure, change.before).into(),
            over_runs(change.figure, change.after).into(),
            Cell::toned(
                match change.finding {
                    Finding::Faster => "better",
                    Finding::Slower => "worse",
                    Finding::NoDifference => "no difference",
                    Finding::TooFewData => "too few runs",
                },
                tone(change.finding),
            ),
        ]);
    }
    table
}

fn over_runs(figure: Figure, runs: Runs) -> String {
    let told =
        |value: Option<u64>| value.map_or_else(|| "never".to_owned(), |value| show(figure, value));
    if runs.runs == 1 {
        return told(runs.p50);
    }
    format!(
        "{} ({} to {})",
        told(runs.p50),
        told(runs.least),
        told(runs.most)
    )
}

fn sides(before: &Side, after: &Side) -> String {
    let side = |side: &Side| format!("{} ({}, commit {})", side.id, side.verdict, side.commit);
    format!("before  {}\nafter   {}\n", side(before), side(after))
}

fn text(comparing: &Comparing) -> String {
    let mut table = Table::new([
        "FIGURE",
        "BEFORE",
        "AFTER",
        "CHANGE",
        "95 % SURE",
        "FINDING",
    ]);
    for change in &comparing.figures {
        table.row([
            change.name.into(),
            with_unit(change.before, change.unit).into(),
            with_unit(change.after, change.unit).into(),
            signed_percent(change.ratio).into(),
            change
                .interval
                .map_or_else(
                    || "-".to_owned(),
                    |[low, high]| format!("{} to {}", signed_percent(low), signed_percent(high)),
                )
                .into(),
            Cell::toned(change.finding.words(), tone(change.finding)),
        ]);
    }
    format!(
        "{}\n{}\nA figure here is the mean over a run's seconds without its first tenth; `report show` has those of the whole run.\n",
        sides(&comparing.before, &comparing.after),
        table.render()
    )
}

fn tone(finding: Finding) -> Tone {
    match finding {
        Finding::Faster => Tone::Good,
        Finding::Slower => Tone::Bad,
        Finding::NoDifference => Tone::Plain,
        Finding::TooFewData => Tone::Doubtful,
    }
}

fn signed_percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}
