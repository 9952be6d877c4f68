//! Keeps a report in the repository and shows its figures in the README, between two markers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::document::Report;
use super::figures::{count, figure, milliseconds, percent};
use super::manifest::Manifest;
use super::markdown::escaped;
use super::model::LoadReport;
use super::store::{
    Folder, LEFT_OUT, MARKDOWN, PUBLISHED, REPORT, Reports, SUMS, StoreError, write,
};
use super::verdict::Verdict;
use crate::drill::history::Figure;
use crate::drill::report::{DrillReport, ScenarioSummary, show};

/// Where the table begins in the README.
pub const BEGIN: &str = "<!-- evidence:begin -->";
/// Where it ends.
pub const END: &str = "<!-- evidence:end -->";
/// The largest file that is kept in the repository.
const MOST_BYTES: usize = 1 << 20;

/// What publishing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The report's folder in the repository.
    pub folder: Folder,
    /// Files that are too large to be kept, with their sizes.
    pub left_out: Vec<(String, usize)>,
    /// Whether the README says something else now.
    pub readme_changed: bool,
}

/// Why a report cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Reports or the README cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The report names itself, its environment or its profile like a way to another folder.
    #[error("failed to publish {path}: its report says that it is `{name}`, which names no folder")]
    Name {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        name: String,
    },
    /// The README has no place for the table.
    #[error("failed to find the evidence's markers in {path}: {problem}")]
    Markers {
        /// The README.
        path: PathBuf,
        /// What is wrong with them.
        problem: &'static str,
    },
}

/// Keeps a report and shows it. Doing so again changes nothing.
pub fn publish(
    reports: &Reports,
    folder: &Folder,
    readme: &Path,
) -> Result<Published, PublishError> {
    let text = fs::read_to_string(readme).map_err(|source| StoreError::Read {
        path: readme.to_owned(),
        source,
    })?;
    // A README without a place for the table is noticed before anything is written.
    replaced(&text, "").map_err(|problem| PublishError::Markers {
        path: readme.to_owned(),
        problem,
    })?;
    let report = folder.report()?;
    let profile = match &report {
        Report::Load(load) => &load.profile.name,
        Report::Drill(drills) => &drills.origin.profile,
    };
    for name in [report.environment(), report.id(), profile] {
        if !is_plain(name) {
            return Err(PublishError::Name {
                path: folder.path().to_owned(),
                name: name.to_owned(),
            });
        }
    }
    let (kept, left_out) = keep(reports, folder, &report)?;
    let table = table(reports, readme)?;
    let new = replaced(&text, &table).map_err(|problem| PublishError::Markers {
        path: readme.to_owned(),
        problem,
    })?;
    let readme_changed = new != text;
    if readme_changed {
        let temporary = readme.with_extension("md.new");
        write(&temporary, new.as_bytes())?;
        fs::rename(&temporary, readme).map_err(|source| StoreError::Write {
            path: readme.to_owned(),
            source,
        })?;
    }
    Ok(Published {
        folder: kept,
        left_out,
        readme_changed,
    })
}

/// Whether a name is that of a folder, and nothing that leads elsewhere or that markdown takes for something else.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// Copies a report to those that are kept, without what is too large.
fn keep(
    reports: &Reports,
    folder: &Folder,
    report: &Report,
) -> Result<(Folder, Vec<(String, usize)>), StoreError> {
    let path = reports
        .root()
        .join(PUBLISHED)
        .join(report.environment())
        .join(report.id());
    let kept = Folder::at(&path);
    if same(folder.path(), &path) {
        return Ok((kept, Vec::new()));
    }
    fs::create_dir_all(&path).map_err(|source| StoreError::Write {
        path: path.clone(),
        source,
    })?;
    let sums = folder.read(SUMS)?;
    let listed = std::str::from_utf8(&sums)
        .ok()
        .and_then(Manifest::read)
        .unwrap_or_default()
        .sums;
    let mut left_out = Vec::new();
    for name in listed.keys() {
        let Some(bytes) = folder.read_if_there(name)? else {
            continue;
        };
        // Without the report itself there would be nothing to publish.
        if bytes.len() > MOST_BYTES && ![REPORT, MARKDOWN].contains(&name.as_str()) {
            left_out.push((name.clone(), bytes.len()));
        } else {
            write(&path.join(name), &bytes)?;
        }
    }
    if !left_out.is_empty() {
        let names: String = left_out
            .iter()
            .map(|(name, _)| {
                [
                    name, "
",
                ]
                .concat()
            })
            .collect();
        write(&path.join(LEFT_OUT), names.as_bytes())?;
    }
    // As they came: they tell of what was left out too.
    write(&path.join(SUMS), &sums)?;
    Ok((kept, left_out))
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The newest published load test of each environment and profile, and the newest published drills of each environment
/// and scenario.
fn table(reports: &Reports, readme: &Path) -> Result<String, StoreError> {
    let mut loads = BTreeMap::new();
    let mut drills = BTreeMap::new();
    // The newest come first, and stay.
    for listed in reports
        .list()?
        .into_iter()
        .filter(|listed| listed.published)
    {
        let kept = reports
            .root()
            .join(PUBLISHED)
            .join(&listed.environment)
            .join(&listed.id);
        let link = link(readme, &kept.join(MARKDOWN)).display().to_string();
        match listed.report {
            Ok(Report::Load(report)) => {
                let place = (report.environment.clone(), report.profile.name.clone());
                loads
                    .entry(place)
                    .or_insert_with(|| load_row(&report, &link));
            }
            Ok(Report::Drill(report)) => {
                for scenario in &report.scenarios {
                    let place = (report.origin.environment.clone(), scenario.scenario.clone());
                    drills
                        .entry(place)
                        .or_insert_with(|| drill_row(&report, scenario, &link));
                }
            }
            Err(_) => {}
        }
    }
    let mut tables = Vec::new();
    if !loads.is_empty() {
        tables.push(
            "| load test | verdict | requests/s | p50 | p95 | p99 | failed requests | orders, checked in Postgres | measured |\n\
             |---|---|---|---|---|---|---|---|---|\n"
                .to_owned()
                + &loads.into_values().collect::<String>(),
        );
    }
    if !drills.is_empty() {
        tables.push(
            "| drill | verdict | runs | violations | writable again | first order | longest time without an order | failed orders | measured |\n\
             |---|---|---|---|---|---|---|---|---|\n"
                .to_owned()
                + &drills.into_values().collect::<String>(),
        );
    }
    Ok(tables.join("\n"))
}

/// The way from a file to another one, as links in the first one are read.
fn link(from: &Path, to: &Path) -> PathBuf {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (from, to) = (whole(from), whole(to));
    let folder: Vec<_> = from
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .collect();
    let target: Vec<_> = to.components().collect();
    let shared = folder
        .iter()
        .zip(&target)
        .take_while(|(one, other)| one == other)
        .count();
    std::iter::repeat_n(Path::new(".."), folder.len() - shared)
        .chain(target[shared..].iter().map(AsRef::as_ref))
        .collect()
}

fn load_row(report: &LoadReport, link: &str) -> String {
    let latency = |of: fn(&super::model::Latency) -> f64| {
        report
            .latency
            .as_ref()
            .map_or_else(|| "-".to_owned(), |latency| milliseconds(of(latency)))
    };
    format!(
        "| `{}` on `{}`, {} users, {} s | {} | {} | {} | {} | {} | {} | {} | [{}]({link}), commit {} |\n",
        report.profile.name,
        report.environment,
        count(report.profile.vus.into()),
        figure(report.totals.offered_seconds),
        report.verdict,
        figure(report.totals.requests_per_second),
        latency(|latency| latency.p50),
        latency(|latency| latency.p95),
        latency(|latency| latency.p99),
        count(report.totals.failed_requests),
        books(report),
        report.started_at.date(),
        escaped(&report.software.commit),
    )
}

/// A scenario over its runs: medians, and the worst in parentheses.
fn drill_row(report: &DrillReport, scenario: &ScenarioSummary, link: &str) -> String {
    let spread = |figure: Figure| {
        let Some(spread) = scenario.figures.get(&figure) else {
            return "-".to_owned();
        };
        if spread.p50 == spread.max {
            return show(figure, spread.max);
        }
        format!(
            "{} (at most {})",
            show(figure, spread.p50),
            show(figure, spread.max)
        )
    };
    let verdict = scenario.verdict;
    let violations = match (scenario.violations, scenario.violation_bound) {
        (0, Some(bound)) => format!("0 (95 % sure: at most {} of runs)", percent(bound)),
        (0, None) => "not known".to_owned(),
        (violations, _) => format!("**{violations}**"),
    };
    format!(
        "| `{}` on `{}` | {verdict} | {} | {violations} | {} | {} | {} | {} | [{}]({link}), commit {} |\n",
        escaped(&scenario.scenario),
        report.origin.environment,
        scenario.runs,
        spread(Figure::Writable),
        spread(Figure::FirstOrder),
        spread(Figure::OrderGap),
        spread(Figure::FailedOrders),
        report.origin.started_at.date(),
        escaped(&report.origin.software.commit),
    )
}

fn books(report: &LoadReport) -> String {
    let Some(accounting) = &report.accounting else {
        return "none".to_owned();
    };
    let verdict = Verdict::all(accounting.checks.iter().map(|check| check.verdict));
    let orders = count(accounting.acknowledged);
    match verdict {
        Verdict::Pass => format!("{orders}, exact"),
        Verdict::Fail => format!("{orders}, **wrong**"),
        Verdict::Unknown => format!("{orders}, not checked"),
    }
}

/// The README with the table between its markers.
fn replaced(readme: &str, table: &str) -> Result<String, &'static str> {
    let (before, rest) = readme.split_once(BEGIN).ok_or("the first one is missing")?;
    let (table_before, after) = rest
        .split_once(END)
        .ok_or("the second one does not follow the first one")?;
    // What stands between them is replaced, so it must be certain which ones are meant.
    if [before, after].iter().any(|text| text.contains(END))
        || [table_before, after]
            .iter()
            .any(|text| text.contains(BEGIN))
    {
        return Err("one of them is there twice");
    }
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_the_folder_of_the_readme() {
        let way = |from, to| link(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(
            way("/none/README.md", "/none/reports/a/report.md"),
            "reports/a/report.md"
        );
        assert_eq!(
            way("/none/docs/README.md", "/none/r/report.md"),
            "../r/report.md"
        );
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let readme = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(
            replaced(&readme, "new\n").unwrap(),
            format!("before\n{BEGIN}\nnew\n{END}\nafter\n")
        );
        // Prose that mentions a marker would be taken for one, and what follows it for the table.
        for wrong in [
            format!("between {BEGIN} and the other\n{readme}"),
            format!("until {END}\n{readme}"),
            format!("{readme}until {END}\n"),
            format!("{readme}{BEGIN}\n"),
            format!("{BEGIN}\n"),
            format!("{END}\n{BEGIN}\n"),
        ] {
            assert!(replaced(&wrong, "new\n").is_err(), "{wrong}");
        }
    }
}
