//! What ran where, as the page shows it.

use time::OffsetDateTime;
use time::macros::format_description;

use crate::report::figures::{bytes, count, figure};
use crate::report::model::LoadReport;
use crate::report::origin::{Hardware, LoadAverage, LoadAverages, Software};

pub(super) fn moment(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at.to_offset(time::UtcOffset::UTC)
        .format(&form)
        .unwrap_or_default()
}

/// The rows of the table.
pub(super) fn origin(report: &LoadReport) -> Vec<[String; 2]> {
    let profile = &report.profile;
    let mut rows = vec![
        (
            "Time",
            format!(
                "{} to {}",
                moment(report.started_at),
                moment(report.ended_at)
            ),
        ),
        (
            "Profile",
            format!(
                "{} ({} users, {} s, {} ms think time, {} logins/s at most)",
                profile.name,
                count(profile.vus.into()),
                figure(profile.duration_seconds),
                count(profile.think_time_milliseconds),
                profile.logins_per_second
            ),
        ),
    ];
    if let Some(rate) = profile.rate {
        rows.push((
            "Rate",
            format!(
                "{} iterations a second, whatever the answers take",
                count(rate.into())
            ),
        ));
    }
    if let Some(stock) = profile.stock {
        rows.push(("Stock", format!("{} pieces", count(stock.into()))));
    }
    if let Some(script) = &profile.script {
        rows.push(("Script", script.clone()));
    }
    let mut rows: Vec<[String; 2]> = rows
        .into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect();
    rows.extend(machine(&Common {
        environment: &report.environment,
        environment_sha256: &report.environment_sha256,
        software: &report.software,
        hardware: &report.hardware,
        load_average: &report.load_average,
    }));
    rows
}

/// What every kind of report says of where it was made.
pub(super) struct Common<'a> {
    pub(super) environment: &'a str,
    pub(super) environment_sha256: &'a str,
    pub(super) software: &'a Software,
    pub(super) hardware: &'a Hardware,
    pub(super) load_average: &'a LoadAverages,
}

/// The rows that every kind of report has.
pub(super) fn machine(common: &Common<'_>) -> Vec<[String; 2]> {
    let (software, hardware) = (common.software, common.hardware);
    let version =
        |version: &Option<String>| version.clone().unwrap_or_else(|| "not known".to_owned());
    let load = |load: LoadAverage| {
        [load.one_minute, load.five_minutes, load.fifteen_minutes]
            .map(|value| format!("{value:.2}"))
            .join(", ")
    };
    let rows = [
        (
            "Machine",
            format!(
                "{}, {} cores, {} of memory",
                version(&hardware.cpu_model),
                hardware.cores,
                bytes(hardware.memory_bytes)
            ),
        ),
        (
            "System",
            format!(
                "{}, kernel {}",
                version(&software.os),
                version(&software.kernel)
            ),
        ),
        (
            "shopctl",
            format!("{}, commit {}", software.shopctl, software.commit),
        ),
        ("k6", version(&software.k6)),
        ("PostgreSQL", version(&software.postgres)),
        ("Redis", version(&software.redis)),
        (
            "Environment",
            format!(
                "{}, SHA-256 {}",
                common.environment, common.environment_sha256
            ),
        ),
        ("Load average before", load(common.load_average.before)),
        ("Load average after", load(common.load_average.after)),
    ];
    rows.into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect()
}
