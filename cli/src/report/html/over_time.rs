//! What happened over time, as charts.

use super::chart::{Chart, Condense, LimitLine, Line, chart};
use super::scale::Scale;
use crate::report::figures::with_unit;
use crate::report::model::{LoadReport, Second};
use crate::report::summary::Measure;

/// The charts of a load test, the most telling first.
pub(super) fn charts(report: &LoadReport) -> Vec<Chart> {
    let series = whole_seconds(report);
    [
        latency(report, series),
        rate(report, series),
        errors(report, series),
        cpu(series),
        stock(series),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Without the second in which the load ended: what was done in a part of it would look like a shop that broke down.
fn whole_seconds(report: &LoadReport) -> &[Second] {
    let begun = report.totals.offered_seconds.floor();
    match report.series.split_last() {
        // Where more seconds follow, requests took long: that is to be seen.
        Some((last, before))
            if before.len() > 1 && f64::from(last.second).total_cmp(&begun).is_eq() =>
        {
            before
        }
        _ => &report.series,
    }
}

fn line(
    name: &'static str,
    class: &'static str,
    values: Vec<Option<f64>>,
    condense: Condense,
) -> Line {
    Line {
        name,
        class,
        values,
        filled: false,
        condense,
    }
}

fn filled(line: Line) -> Line {
    Line {
        filled: true,
        ..line
    }
}

fn latency(report: &LoadReport, series: &[Second]) -> Option<Chart> {
    let lines = vec![
        line(
            "p99",
            "c3",
            values(series, |second| second.p99),
            Condense::Largest,
        ),
        line(
            "p95",
            "c2",
            values(series, |second| second.p95),
            Condense::Largest,
        ),
        line(
            "p50",
            "c1",
            values(series, |second| second.p50),
            Condense::Largest,
        ),
    ];
    let limits = [
        (Measure::LatencyP50, "p50 limit"),
        (Measure::LatencyP95, "p95 limit"),
        (Measure::LatencyP99, "p99 limit"),
    ];
    chart(
        "Latency",
        "ms",
        Scale::Logarithmic,
        lines,
        &limit_lines(report, &limits),
    )
}

fn rate(report: &LoadReport, series: &[Second]) -> Option<Chart> {
    let requests = values(series, |second| Some(second.requests as f64));
    let mut lines = vec![filled(line("requests", "c1", requests, Condense::Mean))];
    if report.totals.orders > 0 {
        let orders = values(series, |second| Some(second.orders as f64));
        lines.push(line("orders", "c4", orders, Condense::Mean));
    }
    let limits = limit_lines(report, &[(Measure::RequestsPerSecond, "at least")]);
    let title = match report.totals.orders {
        0 => "Requests a second",
        _ => "Requests and orders a second",
    };
    chart(title, "/s", Scale::Linear, lines, &limits)
}

fn errors(report: &LoadReport, series: &[Second]) -> Option<Chart> {
    if report.totals.failed_requests == 0 {
        return None;
    }
    let errors = values(series, |second| Some(second.errors as f64));
    let lines = vec![filled(line(
        "failed requests",
        "bad",
        errors,
        Condense::Largest,
    ))];
    chart("Failed requests a second", "/s", Scale::Linear, lines, &[])
}

fn cpu(series: &[Second]) -> Option<Chart> {
    let values = values(series, |second| second.cpu);
    let lines = vec![filled(line("CPU", "c2", values, Condense::Mean))];
    chart(
        "The shop's CPU, all processes together",
        "cores",
        Scale::Linear,
        lines,
        &[],
    )
}

fn stock(series: &[Second]) -> Option<Chart> {
    let left = carried(values(series, |second| {
        second.stock_left.map(|left| left as f64)
    }));
    let lines = vec![filled(line("stock", "c4", left, Condense::Mean))];
    chart("Stock left to sell", "pieces", Scale::Linear, lines, &[])
}

fn limit_lines(report: &LoadReport, wanted: &[(Measure, &str)]) -> Vec<LimitLine> {
    let named = |measure: Measure| {
        report
            .objectives
            .iter()
            .find(move |seen| seen.name == measure.name())
    };
    wanted
        .iter()
        .filter_map(|(measure, label)| {
            let seen = named(*measure)?;
            Some(LimitLine {
                value: seen.limit,
                label: format!("{label} {}", with_unit(seen.limit, &seen.unit)),
            })
        })
        .collect()
}

fn values(series: &[Second], of: impl Fn(&Second) -> Option<f64>) -> Vec<Option<f64>> {
    series.iter().map(of).collect()
}

/// What is looked at every few seconds stays as it is between them.
pub(super) fn carried(mut values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    let mut last = None;
    for value in &mut values {
        last = value.or(last);
        *value = last;
    }
    values
}
