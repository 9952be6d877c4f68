//! What changed between two load tests.

use super::super::Context;
use super::{load_of, store_failure};
use crate::args::ReportCompareArgs;
use crate::report::figures::with_unit;
use crate::report::{Change, Comparing, Finding, Reports, compare};
use crate::ui::{Cell, Failure, OutputFormat, Table, Tone};

pub(super) fn run(
    reports: &Reports,
    args: &ReportCompareArgs,
    context: &Context,
) -> Result<(), Failure> {
    let read = |wanted: &str| {
        let folder = reports.find(wanted).map_err(store_failure)?;
        load_of(folder.report().map_err(store_failure)?)
    };
    let comparing = compare(&*read(&args.before)?, &*read(&args.after)?);
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&comparing);
    }
    context.ui.data(&text(&comparing))?;
    for difference in &comparing.differences {
        context.ui.warn(difference);
    }
    if !comparing.differences.is_empty() {
        context
            .ui
            .hint("a change may come from what differs, and not from the shop");
    }
    Ok(())
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
            finding(change),
        ]);
    }
    let side = |side: &crate::report::Side| {
        format!("{} ({}, commit {})", side.id, side.verdict, side.commit)
    };
    format!(
        "before  {}\nafter   {}\n\n{}",
        side(&comparing.before),
        side(&comparing.after),
        table.render()
    )
}

fn finding(change: &Change) -> Cell {
    let tone = match change.finding {
        Finding::Faster => Tone::Good,
        Finding::Slower => Tone::Bad,
        Finding::NoDifference => Tone::Plain,
        Finding::TooFewData => Tone::Doubtful,
    };
    Cell::toned(change.finding.words(), tone)
}

fn signed_percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}
