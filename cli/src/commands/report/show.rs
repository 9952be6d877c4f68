//! A report in short.

use super::super::Context;
use super::{cell, store_failure, tone};
use crate::args::ReportArg;
use crate::report::figures::{count, figure, milliseconds, objective, sparkline, with_unit};
use crate::report::{Comparison, LoadReport, Report, Reports, Verdict, words};
use crate::ui::{Failure, OutputFormat, Table};

/// How wide a row of bars is.
const WIDTH: usize = 40;

pub(super) fn run(reports: &Reports, args: &ReportArg, context: &Context) -> Result<(), Failure> {
    let folder = reports.find(&args.report).map_err(store_failure)?;
    let report = folder.report().map_err(store_failure)?;
    if context.ui.output() == OutputFormat::Json {
        return match &report {
            Report::Load(report) => context.ui.json(report),
            Report::Drill(report) => context.ui.json(report),
        };
    }
    context.ui.data(&match &report {
        Report::Load(report) => text(report),
        Report::Drill(report) => crate::commands::drill::in_short(report),
    })?;
    context
        .ui
        .say(&format!("The page: {}", folder.page().display()));
    Ok(())
}

/// A load test in short, as text with styles.
pub(in crate::commands) fn text(report: &LoadReport) -> String {
    let style = tone(report.verdict).style().bold();
    let mut parts = vec![format!(
        "{style}{}{style:#}  {}\n{}\n",
        report.verdict,
        words::headline(report),
        words::summary(report)
    )];
    if !report.reasons.is_empty() {
        let reasons = report.reasons.iter().map(|reason| {
            let style = tone(reason.verdict).style();
            format!("  {style}{}{style:#}  {}\n", reason.verdict, reason.text)
        });
        parts.push(reasons.collect());
    }
    parts.extend(
        [
            over_time(report),
            objectives(report),
            routes(report),
            books(report),
        ]
        .into_iter()
        .flatten(),
    );
    parts.join("\n")
}

fn over_time(report: &LoadReport) -> Option<String> {
    let rows = [
        (
            "requests/s",
            report
                .series
                .iter()
                .map(|second| Some(second.requests as f64))
                .collect::<Vec<_>>(),
            "/s",
        ),
        (
            "p95",
            report.series.iter().map(|second| second.p95).collect(),
            "ms",
        ),
        (
            "orders/s",
            report
                .series
                .iter()
                .map(|second| Some(second.orders as f64))
                .collect(),
            "/s",
        ),
        (
            "CPU",
            report.series.iter().map(|second| second.cpu).collect(),
            "cores",
        ),
    ];
    let mut table = Table::new(["OVER TIME", "", "AT MOST"]);
    let mut any = false;
    for (name, values, unit) in rows {
        let Some(most) = values
            .iter()
            .flatten()
            .copied()
            .reduce(f64::max)
            .filter(|most| *most > 0.0)
        else {
            continue;
        };
        any = true;
        let most = match unit {
            "ms" => milliseconds(most),
            "/s" => format!("{}/s", figure(most)),
            unit => format!("{} {unit}", figure(most)),
        };
        table.row([name.into(), sparkline(&values, WIDTH).into(), most.into()]);
    }
    any.then(|| table.render())
}

fn objectives(report: &LoadReport) -> Option<String> {
    let mut table = Table::new(["OBJECTIVE", "LIMIT", "MEASURED", "VERDICT"]);
    for seen in &report.objectives {
        let side = match seen.comparison {
            Comparison::AtMost => "at most",
            Comparison::AtLeast => "at least",
        };
        table.row([
            objective(&seen.name).into(),
            format!("{side} {}", with_unit(seen.limit, &seen.unit)).into(),
            seen.measured
                .map_or_else(
                    || "not measured".to_owned(),
                    |value| with_unit(value, &seen.unit),
                )
                .into(),
            cell(seen.verdict),
        ]);
    }
    (!report.objectives.is_empty()).then(|| table.render())
}

fn routes(report: &LoadReport) -> Option<String> {
    let mut table = Table::new(["ROUTE", "REQUESTS", "FAILED", "P50", "P95", "P99"]);
    for route in &report.routes {
        let latencies = route
            .latency
            .map(|latency| [latency.p50, latency.p95, latency.p99].map(milliseconds));
        let [p50, p95, p99] = latencies.unwrap_or_else(|| ["-", "-", "-"].map(str::to_owned));
        table.row([
            route.name.as_str().into(),
            count(route.requests).into(),
            count(route.failed).into(),
            p50.into(),
            p95.into(),
            p99.into(),
        ]);
    }
    (!report.routes.is_empty()).then(|| table.render())
}

/// What does not agree; all of it in one line when everything does.
fn books(report: &LoadReport) -> Option<String> {
    let accounting = report.accounting.as_ref()?;
    let mut table = Table::new(["THE BOOKS", "EXPECTED", "FOUND", "VERDICT"]);
    let wrong: Vec<_> = accounting
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .collect();
    if wrong.is_empty() {
        let all = count(u64::try_from(accounting.checks.len()).unwrap_or(u64::MAX));
        let orders = count(accounting.acknowledged);
        return Some(format!(
            "The books agree: {orders} orders, {all} of {all} checks passed\n"
        ));
    }
    for check in wrong {
        table.row([
            check.name.as_str().into(),
            check.expected.to_string().into(),
            check
                .found
                .map_or_else(|| "-".to_owned(), |found| found.to_string())
                .into(),
            cell(check.verdict),
        ]);
    }
    Some(table.render())
}
