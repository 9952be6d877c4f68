//! The verdict of a load test. Pure: no clock, no file, and the same values give the same verdict for ever.

use super::model::{Comparison, LoadReport, Objective, Reason};
use super::samples::GeneratorPoint;
use super::summary::Measure;
use super::verdict::Verdict;

/// The share of all cores from which on the load generator is out of CPU in a second.
const BUSY: f64 = 0.9;
/// The share of such seconds from which on it was out of CPU as a whole.
const TOO_OFTEN: f64 = 0.1;
/// How late its users may go on after they have thought or been answered, on average over a second and over the run, in
/// milliseconds. Whatever delays them delays the
/// reading of answers too; how long its threads wait for a core says less, since most of that time nobody waits for them.
const LATE: f64 = 25.0;

/// Whether the load generator was out of CPU: it used all cores too often, or its users went on too late.
/// `None`: nobody looked.
pub(super) fn out_of_cpu(points: &[GeneratorPoint], cores_available: f64) -> Option<bool> {
    if points.is_empty() {
        return None;
    }
    let busy = points
        .iter()
        .filter(|point| point.cpu >= BUSY * cores_available)
        .count();
    let late: Vec<f64> = points.iter().filter_map(|point| point.late).collect();
    let late_seconds = late.iter().filter(|late| **late > LATE).count();
    let too_late = late.iter().sum::<f64>() > LATE * late.len() as f64
        || late_seconds as f64 > TOO_OFTEN * late.len() as f64;
    Some(busy as f64 > TOO_OFTEN * points.len() as f64 || too_late)
}

/// How far the load was really offered.
#[derive(Clone, Copy, Debug)]
struct Offered {
    /// All that was asked for was begun.
    wholly: bool,
    /// What was begun was measured by a generator that had time to.
    trustworthy: bool,
}

fn offered(report: &LoadReport) -> Offered {
    let trustworthy = !report.interrupted && report.generator.saturated == Some(false);
    Offered {
        wholly: trustworthy && report.totals.dropped_iterations == 0,
        trustworthy,
    }
}

/// Judges each objective.
///
/// One that holds under less than the load that was asked for shows nothing, so it is unknown. A latency or an error
/// that is too high under less load is a failure all the same, unless the generator may have measured itself. A rate
/// that is too low may be the generator's fault whenever load was left out.
pub(super) fn judge_objectives(report: &mut LoadReport) {
    let offered = offered(report);
    for objective in &mut report.objectives {
        let Some(measured) = objective.measured else {
            objective.verdict = Verdict::Unknown;
            continue;
        };
        let counts = match Measure::named(&objective.name) {
            Some(Measure::RequestsPerSecond) => offered.wholly,
            _ => offered.trustworthy,
        };
        objective.verdict = match objective.comparison.holds(measured, objective.limit) {
            true if offered.wholly => Verdict::Pass,
            false if counts => Verdict::Fail,
            _ => Verdict::Unknown,
        };
    }
}

/// The verdict and its reasons, from a report whose objectives and accounting have been judged.
///
/// A wrong count, a failed check, an answer that says the shop broke, and a missed objective are failures whatever
/// else there is. Then, what was not measured is unknown.
pub(super) fn judge(report: &LoadReport) -> (Verdict, Vec<Reason>) {
    let mut reasons = failures(report);
    reasons.extend(doubts(report));
    reasons.sort_by_key(|reason| reason.verdict != Verdict::Fail);
    (
        Verdict::all(reasons.iter().map(|reason| reason.verdict)),
        reasons,
    )
}

fn failures(report: &LoadReport) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |verdict, text| reasons.push(Reason { verdict, text });
    for check in report
        .accounting
        .iter()
        .flat_map(|accounting| &accounting.checks)
    {
        if check.verdict == Verdict::Pass {
            continue;
        }
        let found = check
            .found
            .map_or_else(|| "not looked at".to_owned(), |found| found.to_string());
        let detail = if check.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", check.detail)
        };
        add(
            check.verdict,
            format!(
                "{}: expected {}, found {found}{detail}",
                check.name, check.expected
            ),
        );
    }
    for check in report
        .totals
        .checks
        .by_name
        .iter()
        .filter(|check| check.failed > 0)
    {
        let all = check.passed + check.failed;
        add(
            Verdict::Fail,
            format!(
                "check \"{}\" failed {} of {all} times",
                check.name, check.failed
            ),
        );
    }
    for (status, count) in report.totals.statuses.range(500..600) {
        add(
            Verdict::Fail,
            format!("{count} answers with status {status}"),
        );
    }
    reasons.extend(objectives(report));
    reasons
}

/// What is to be said of the objectives that do not hold, or of which that is not known.
fn objectives(report: &LoadReport) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut shows_nothing = Vec::new();
    for objective in &report.objectives {
        let (words, told) = told(objective);
        let Some(measured) = objective.measured else {
            reasons.push(Reason {
                verdict: Verdict::Unknown,
                text: format!("{words} was not measured"),
            });
            continue;
        };
        let text = match (
            objective.verdict,
            objective.comparison.holds(measured, objective.limit),
        ) {
            (Verdict::Pass, _) => continue,
            (Verdict::Unknown, true) => {
                shows_nothing.push(words);
                continue;
            }
            (Verdict::Fail, _) if objective.name == Measure::ErrorRatio.name() => {
                format!("{told}{}", refusals(report))
            }
            (Verdict::Fail, _) => told,
            (Verdict::Unknown, false) => {
                format!("{told}, which may be the load generator's doing")
            }
        };
        reasons.push(Reason {
            verdict: objective.verdict,
            text,
        });
    }
    if !shows_nothing.is_empty() {
        reasons.push(Reason {
            verdict: Verdict::Unknown,
            text: format!(
                "less than the whole load shows nothing about {}",
                shows_nothing.join(", ")
            ),
        });
    }
    reasons
}

/// Which answers that are no failure of the shop's were counted as failed, besides those that are named anyway.
fn refusals(report: &LoadReport) -> String {
    let statuses = &report.totals.statuses;
    let told: Vec<String> = statuses
        .range(400..500)
        .filter(|(status, count)| **status != 409 && **count > 0)
        .chain(statuses.get_key_value(&0))
        .map(|(status, count)| match status {
            0 => format!("{count} requests had no answer"),
            429 => format!("{count} answers with status 429, which asks customers to wait"),
            _ => format!("{count} answers with status {status}"),
        })
        .collect();
    if told.is_empty() {
        String::new()
    } else {
        format!(": {}", told.join(", "))
    }
}

/// What people call an objective, and in which relation to its limit what was measured is.
fn told(objective: &Objective) -> (String, String) {
    let side = match objective.comparison {
        Comparison::AtMost => "at most",
        Comparison::AtLeast => "at least",
    };
    let measure = Measure::named(&objective.name);
    let words = match measure {
        Some(measure) => measure.words(),
        None => objective.name.as_str(),
    };
    let value = |value: f64| match measure {
        Some(measure) => measure.told(value),
        None => format!("{value} {}", objective.unit),
    };
    let measured = objective.measured.map_or_else(String::new, value);
    let told = format!(
        "{words} is {measured} and must be {side} {}",
        value(objective.limit)
    );
    (words.to_owned(), told)
}

fn doubts(report: &LoadReport) -> Vec<Reason> {
    let totals = &report.totals;
    let doubts = [
        (
            report.interrupted,
            "it was interrupted, so the load was not offered for as long as was asked for"
                .to_owned(),
        ),
        (totals.requests == 0, "no request was measured".to_owned()),
        (
            totals.dropped_iterations > 0,
            match totals.dropped_iterations {
                1 => "1 iteration was dropped, so the load was not wholly offered".to_owned(),
                dropped => {
                    format!("{dropped} iterations were dropped, so the load was not wholly offered")
                }
            },
        ),
        (
            report.generator.saturated == Some(true),
            "the load generator was out of CPU, so the load was not really offered".to_owned(),
        ),
        (
            report.generator.saturated.is_none(),
            "nobody saw whether the load generator was out of CPU".to_owned(),
        ),
    ];
    doubts
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, text)| Reason {
            verdict: Verdict::Unknown,
            text,
        })
        .collect()
}
