//! The page of a load test: its data as the template shows them.

use super::chart::{Chart, spark};
use super::origin::origin;
use super::over_time::{carried, charts};
use crate::report::figures::{bytes, count, figure, milliseconds, objective, percent, with_unit};
use crate::report::model::{AccountingCheck, Comparison, Latency, LoadReport, Objective, Reason};
use crate::report::verdict::Verdict;
use crate::report::words::{headline, summary};
use serde::Serialize;

/// What the template shows.
#[derive(Debug, Serialize)]
pub(super) struct View {
    title: String,
    id: String,
    verdict: VerdictView,
    headline: String,
    summary: String,
    reasons: Vec<ReasonView>,
    figures: Vec<Figure>,
    objectives: Vec<ObjectiveView>,
    charts: Vec<Chart>,
    routes: Vec<RouteView>,
    statuses: Vec<[String; 2]>,
    checks: Vec<CheckView>,
    instances: Vec<InstanceView>,
    generator: String,
    accounting: Option<Vec<AccountingView>>,
    origin: Vec<[String; 2]>,
    path: String,
}

/// A verdict: its word, and the class of its look.
#[derive(Debug, Serialize)]
pub(super) struct VerdictView {
    word: String,
    class: &'static str,
}

pub(super) fn verdict(verdict: Verdict) -> VerdictView {
    VerdictView {
        word: verdict.to_string(),
        class: match verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Unknown => "unknown",
        },
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ReasonView {
    verdict: VerdictView,
    text: String,
}

/// One of the large numbers.
#[derive(Debug, Serialize)]
struct Figure {
    value: String,
    unit: String,
    name: String,
    note: String,
}

/// An objective with its bar: measured and limit in percent of the bar.
#[derive(Debug, Serialize)]
struct ObjectiveView {
    name: String,
    verdict: VerdictView,
    measured: String,
    limit: String,
    bar: f64,
    mark: f64,
}

#[derive(Debug, Serialize)]
struct RouteView {
    name: String,
    requests: String,
    failed: String,
    has_failed: bool,
    percentiles: Vec<String>,
    /// From the median to the 99th percentile, in percent of the widest route, on a logarithmic scale.
    from: f64,
    width: f64,
}

#[derive(Debug, Serialize)]
struct CheckView {
    name: String,
    passed: String,
    failed: String,
    verdict: VerdictView,
}

#[derive(Debug, Serialize)]
struct InstanceView {
    name: String,
    cpu_mean: String,
    cpu_max: String,
    cpu: String,
    memory_max: String,
    memory: String,
}

#[derive(Debug, Serialize)]
struct AccountingView {
    name: String,
    expected: String,
    found: String,
    verdict: VerdictView,
    detail: String,
}

/// The data of a report as the template shows them.
pub(super) fn view(report: &LoadReport) -> View {
    View {
        title: format!(
            "{}: load test `{}` of {}",
            report.verdict, report.profile.name, report.environment
        ),
        id: report.id.clone(),
        verdict: verdict(report.verdict),
        headline: headline(report),
        summary: summary(report),
        reasons: report.reasons.iter().map(reason).collect(),
        figures: figures(report),
        objectives: report.objectives.iter().map(objective_view).collect(),
        charts: charts(report),
        routes: routes(report),
        statuses: report
            .totals
            .statuses
            .iter()
            .map(|(status, seen)| [status_name(*status), count(*seen)])
            .collect(),
        checks: report
            .totals
            .checks
            .by_name
            .iter()
            .map(|check| CheckView {
                name: check.name.clone(),
                passed: count(check.passed),
                failed: count(check.failed),
                verdict: verdict(if check.failed == 0 {
                    Verdict::Pass
                } else {
                    Verdict::Fail
                }),
            })
            .collect(),
        instances: instances(report),
        generator: generator(report),
        accounting: report
            .accounting
            .as_ref()
            .map(|accounting| accounting.checks.iter().map(accounting_view).collect()),
        origin: origin(report),
        path: format!("reports/{}/{}", report.environment, report.id),
    }
}

pub(super) fn reason(reason: &Reason) -> ReasonView {
    ReasonView {
        verdict: verdict(reason.verdict),
        text: reason.text.clone(),
    }
}

fn status_name(status: u16) -> String {
    if status == 0 {
        "no answer".to_owned()
    } else {
        status.to_string()
    }
}

fn figures(report: &LoadReport) -> Vec<Figure> {
    let totals = &report.totals;
    let figure_of = |value: String, unit: &str, name: &str, note: String| Figure {
        value,
        unit: unit.to_owned(),
        name: name.to_owned(),
        note,
    };
    let mut figures = vec![figure_of(
        figure(totals.requests_per_second),
        "/s",
        "requests",
        format!(
            "{} in {} s",
            count(totals.requests),
            figure(totals.offered_seconds)
        ),
    )];
    if let Some(latency) = report.latency {
        let (value, unit) = split(&milliseconds(latency.p95));
        let note = format!(
            "median {}, p99 {}",
            milliseconds(latency.p50),
            milliseconds(latency.p99)
        );
        figures.push(figure_of(value, &unit, "latency, p95", note));
    }
    let answers_5xx: u64 = totals.statuses.range(500..600).map(|(_, seen)| seen).sum();
    figures.push(figure_of(
        count(totals.failed_requests),
        "",
        "failed requests",
        format!(
            "{} of all; answers 5xx: {}",
            percent(totals.error_ratio.unwrap_or(0.0)),
            count(answers_5xx)
        ),
    ));
    figures.push(figure_of(
        count(totals.checks.failed),
        "",
        "failed checks",
        format!("of {}", count(totals.checks.passed + totals.checks.failed)),
    ));
    if let Some(accounting) = &report.accounting {
        let wrong = accounting
            .checks
            .iter()
            .filter(|check| check.verdict != Verdict::Pass)
            .count();
        let note = if wrong == 0 {
            "all in Postgres, exactly".to_owned()
        } else {
            format!("{wrong} counts do not agree")
        };
        figures.push(figure_of(
            count(accounting.acknowledged),
            "",
            "orders",
            note,
        ));
    }
    let used: f64 = report
        .instances
        .iter()
        .filter_map(|instance| instance.cpu_mean)
        .sum();
    if used > 0.0 {
        let generator = report
            .generator
            .cpu_mean
            .map_or_else(|| "?".to_owned(), figure);
        figures.push(figure_of(
            figure(used),
            " cores",
            "the shop's CPU",
            format!(
                "k6 took {generator} of {}",
                figure(report.generator.cores_available)
            ),
        ));
    }
    figures
}

/// A number and its unit, apart.
fn split(text: &str) -> (String, String) {
    text.split_once(' ').map_or_else(
        || (text.to_owned(), String::new()),
        |(value, unit)| (value.to_owned(), format!(" {unit}")),
    )
}

fn objective_view(seen: &Objective) -> ObjectiveView {
    let side = match seen.comparison {
        Comparison::AtMost => "at most",
        Comparison::AtLeast => "at least",
    };
    let whole = seen.limit.max(seen.measured.unwrap_or(0.0)) * 1.15;
    let share = |value: f64| {
        if whole > 0.0 {
            (value / whole * 1_000.0).round() / 10.0
        } else {
            0.0
        }
    };
    ObjectiveView {
        name: objective(&seen.name).to_owned(),
        verdict: verdict(seen.verdict),
        measured: seen.measured.map_or_else(
            || "not measured".to_owned(),
            |value| with_unit(value, &seen.unit),
        ),
        limit: format!("{side} {}", with_unit(seen.limit, &seen.unit)),
        bar: share(seen.measured.unwrap_or(0.0)),
        mark: share(seen.limit),
    }
}

fn routes(report: &LoadReport) -> Vec<RouteView> {
    let all = (
        "all routes",
        report.totals.requests,
        report.totals.failed_requests,
        report.latency,
    );
    let each = report.routes.iter().map(|route| {
        (
            route.name.as_str(),
            route.requests,
            route.failed,
            route.latency,
        )
    });
    let rows: Vec<_> = if report.routes.len() > 1 {
        [all].into_iter().chain(each).collect()
    } else {
        each.collect()
    };
    let seen = || rows.iter().filter_map(|(.., latency)| *latency);
    let least = seen()
        .map(|latency| latency.p50)
        .fold(f64::INFINITY, f64::min)
        .max(0.01);
    let most = seen()
        .map(|latency| latency.p99)
        .fold(least * 1.01, f64::max);
    let place = |value: f64| {
        let share = (value.max(least) / least).ln() / (most / least).ln();
        (share.clamp(0.0, 1.0) * 1_000.0).round() / 10.0
    };
    rows.iter()
        .map(|(name, requests, failed, latency)| RouteView {
            name: (*name).to_owned(),
            requests: count(*requests),
            failed: count(*failed),
            has_failed: *failed > 0,
            percentiles: latency
                .map_or_else(|| vec!["-".to_owned(); 5], |latency| percentiles(&latency)),
            from: latency.map_or(0.0, |latency| place(latency.p50)),
            width: latency.map_or(0.0, |latency| {
                (place(latency.p99) - place(latency.p50)).max(1.0)
            }),
        })
        .collect()
}

fn percentiles(latency: &Latency) -> Vec<String> {
    [
        latency.p50,
        latency.p95,
        latency.p99,
        latency.p999,
        latency.max,
    ]
    .map(figure)
    .to_vec()
}

fn instances(report: &LoadReport) -> Vec<InstanceView> {
    let points = || {
        report
            .instances
            .iter()
            .flat_map(|instance| &instance.series)
    };
    let cpu = points().map(|point| point.cpu).fold(0.0, f64::max);
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
    report
        .instances
        .iter()
        .map(|instance| {
            let over_time = |of: &dyn Fn(usize) -> f64| -> Vec<Option<f64>> {
                let end = instance
                    .series
                    .last()
                    .map_or(0, |point| point.second as usize + 1);
                let mut values = vec![None; end.min(report.series.len().max(1))];
                for (place, point) in instance.series.iter().enumerate() {
                    if let Some(value) = values.get_mut(point.second as usize) {
                        *value = Some(of(place));
                    }
                }
                carried(values)
            };
            let most = instance.resident_max_bytes.unwrap_or(0);
            InstanceView {
                name: instance.instance.clone(),
                cpu_mean: shown(instance.cpu_mean),
                cpu_max: shown(instance.cpu_max),
                cpu: spark(&over_time(&|place| instance.series[place].cpu), cpu),
                memory_max: instance
                    .resident_max_bytes
                    .map_or_else(|| "-".to_owned(), bytes),
                memory: spark(
                    &over_time(&|place| instance.series[place].resident_bytes as f64),
                    most as f64 * 1.25,
                ),
            }
        })
        .collect()
}

/// What the load generator used, in a sentence.
fn generator(report: &LoadReport) -> String {
    let generator = &report.generator;
    let Some(cpu) = generator.cpu_mean else {
        return "Nobody looked at what the load generator used.".to_owned();
    };
    let late = generator
        .late_milliseconds
        .map_or_else(String::new, |late| {
            format!(
                ", and its users went on {} late after they had thought",
                milliseconds(late)
            )
        });
    format!(
        "The load generator used {} of {} cores on average{late}.",
        figure(cpu),
        figure(generator.cores_available)
    )
}

fn accounting_view(check: &AccountingCheck) -> AccountingView {
    AccountingView {
        name: check.name.clone(),
        expected: signed(check.expected),
        found: check.found.map_or_else(|| "-".to_owned(), signed),
        verdict: verdict(check.verdict),
        detail: check.detail.clone(),
    }
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", count(number.unsigned_abs()))
}
