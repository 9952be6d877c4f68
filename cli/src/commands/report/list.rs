//! The reports that there are.

use serde_json::{Value as Json, json};

use super::super::Context;
use super::{cell, store_failure, unreadable};
use crate::args::ReportListArgs;
use crate::report::figures::{count, figure, milliseconds};
use crate::report::{Listed, Report, Reports};
use crate::ui::{Cell, Failure, OutputFormat, Table, Tone};

pub(super) fn run(
    reports: &Reports,
    args: &ReportListArgs,
    context: &Context,
) -> Result<(), Failure> {
    let mut listed = reports.list().map_err(store_failure)?;
    if let Some(environment) = &args.of {
        listed.retain(|listed| listed.environment == *environment);
    }
    if context.ui.output() == OutputFormat::Json {
        let reports: Vec<Json> = listed.iter().map(json_of).collect();
        return context.ui.json(&json!({ "reports": reports }));
    }
    if listed.is_empty() {
        context.ui.say(&format!(
            "There are no reports in {}",
            reports.root().display()
        ));
        context
            .ui
            .hint("`shopctl loadtest` and `shopctl failover-drill` make one");
        return Ok(());
    }
    let mut table = Table::new([
        "REPORT",
        "ENVIRONMENT",
        "VERDICT",
        "REQUESTS/S",
        "P95",
        "FAILED",
        "ORDERS",
        "",
    ]);
    for listed in &listed {
        table.row(row(listed));
    }
    context.ui.data(&table.render())
}

fn row(listed: &Listed) -> Vec<Cell> {
    let mut row: Vec<Cell> = vec![
        listed.id.as_str().into(),
        listed.environment.as_str().into(),
    ];
    match &listed.report {
        Ok(Report::Load(report)) => row.extend([
            cell(report.verdict),
            figure(report.totals.requests_per_second).into(),
            report
                .latency
                .map_or_else(|| "-".to_owned(), |latency| milliseconds(latency.p95))
                .into(),
            count(report.totals.failed_requests).into(),
            count(report.totals.orders).into(),
            Cell::toned(if listed.published { "published" } else { "" }, Tone::Faint),
        ]),
        Ok(Report::Drill(report)) => row.extend([
            cell(report.verdict),
            "-".into(),
            "-".into(),
            "-".into(),
            match report.runs.len() {
                1 => "1 run".into(),
                runs => format!("{runs} runs").into(),
            },
            Cell::toned(if listed.published { "published" } else { "" }, Tone::Faint),
        ]),
        Err(error) => row.extend([Cell::toned(unreadable(error), Tone::Doubtful)]),
    }
    row
}

fn json_of(listed: &Listed) -> Json {
    let mut json = json!({
        "id": listed.id,
        "environment": listed.environment,
        "path": listed.folder.path(),
        "published": listed.published,
    });
    match &listed.report {
        Ok(Report::Load(report)) => {
            json["kind"] = json!(report.kind);
            json["verdict"] = json!(report.verdict);
            json["requestsPerSecond"] = json!(report.totals.requests_per_second);
            json["p95"] = json!(report.latency.map(|latency| latency.p95));
            json["failedRequests"] = json!(report.totals.failed_requests);
            json["orders"] = json!(report.totals.orders);
        }
        Ok(Report::Drill(report)) => {
            json["kind"] = json!(report.kind);
            json["verdict"] = json!(report.verdict);
            json["runs"] = json!(report.runs.len());
        }
        Err(error) => json["problem"] = json!(unreadable(error)),
    }
    json
}
