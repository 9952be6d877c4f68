//! What a report says in a sentence, the same on the page, in markdown and in the terminal.

use super::figures::{count, figure, milliseconds};
use super::model::LoadReport;
use super::verdict::Verdict;

/// What was done.
pub fn headline(report: &LoadReport) -> String {
    let profile = &report.profile;
    let users = match profile.rate {
        Some(rate) => format!("{} iterations a second", count(rate.into())),
        None => format!("{} users at once", count(profile.vus.into())),
    };
    format!(
        "{users} for {} s: {} on {}",
        figure(report.totals.offered_seconds),
        profile.name,
        report.environment
    )
}

/// What came of it.
pub fn summary(report: &LoadReport) -> String {
    let totals = &report.totals;
    let speed = match report.latency {
        Some(latency) => format!(
            "{} requests a second, {} of 100 within {}",
            figure(totals.requests_per_second),
            95,
            milliseconds(latency.p95)
        ),
        None => "No request was answered".to_owned(),
    };
    let books = match &report.accounting {
        Some(accounting)
            if accounting
                .checks
                .iter()
                .all(|check| check.verdict == Verdict::Pass) =>
        {
            format!(
                "; all {} orders that customers were promised are in Postgres, exactly",
                count(accounting.acknowledged)
            )
        }
        Some(accounting)
            if accounting
                .checks
                .iter()
                .any(|check| check.verdict == Verdict::Fail) =>
        {
            "; the books do not agree with what customers were told".to_owned()
        }
        Some(_) => "; whether the books agree is not known".to_owned(),
        None => String::new(),
    };
    let end = match report.verdict {
        Verdict::Pass => "Every objective holds",
        Verdict::Fail => "Something does not hold",
        Verdict::Unknown => "This shows neither that it holds nor that it does not",
    };
    format!("{end}. {speed}{books}.")
}
