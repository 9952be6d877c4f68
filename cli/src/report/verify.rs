//! Checks a report: no file was changed, and every figure follows from the raw samples.
//!
//! This shows that a report agrees with itself. Whoever makes up samples can make up a report that agrees with them;
//! against that helps only to run the test again.

use serde::Serialize;
use serde_json::Value as Json;

use super::document::Report;
use super::manifest::{Manifest, sum};
use super::model::LoadReport;
use super::store::{Folder, LEFT_OUT, MARKDOWN, PAGE, SAMPLES, SUMS, StoreError};
use super::verdict::Verdict;
use crate::drill::report::DrillReport;
use crate::drill::unpack;

/// How the name of a drill's history ends.
const HISTORY: &str = ".jsonl.zst";
/// How many differing figures are named.
const NAMED: usize = 20;
/// How far a figure may be off for having been written in decimal and read again.
const TOLERANCE: f64 = 1e-9;

/// What checking a report has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The report's name.
    pub id: String,
    /// Where it is.
    pub path: String,
    /// `pass`: everything could be checked and agrees; `fail`: something does not; `unknown`: not all could be checked.
    pub verdict: Verdict,
    /// The files.
    pub files: Vec<FileCheck>,
    /// What of `report.json` was computed again, and what came out.
    pub recomputed: Vec<Recomputed>,
}

/// Whether a file is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileCheck {
    /// Its name.
    pub name: String,
    /// Whether it is.
    pub state: FileState,
}

/// How a file differs from what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FileState {
    /// Not at all.
    Same,
    /// It has another sum.
    Changed,
    /// It is not there.
    Missing,
    /// It is there, and nobody wrote it.
    Added,
    /// It is not there, because publishing left it out and said so.
    LeftOut,
}

/// A part of a report and what came out when it was computed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recomputed {
    /// The part: a field of `report.json`.
    pub part: String,
    /// Whether it agrees. Unknown: what it is computed from is not there.
    pub verdict: Verdict,
    /// Which figures do not agree, or why it could not be computed.
    pub detail: Vec<String>,
}

/// Checks a report's folder. An error means that there is nothing to check.
pub fn verify(folder: &Folder) -> Result<Verification, StoreError> {
    let report = folder.report()?;
    let files = files(folder)?;
    let mut recomputed = match &report {
        Report::Load(report) => of_load(folder, report),
        Report::Drill(report) => of_drill(folder, report),
    };
    recomputed.extend(of_pages(folder, &report)?);
    let of_files = files.iter().map(|file| match file.state {
        FileState::Same | FileState::LeftOut => Verdict::Pass,
        FileState::Changed | FileState::Missing | FileState::Added => Verdict::Fail,
    });
    Ok(Verification {
        id: report.id().to_owned(),
        path: folder.path().display().to_string(),
        verdict: Verdict::all(of_files.chain(recomputed.iter().map(|part| part.verdict))),
        files,
        recomputed,
    })
}

/// A load test follows from its samples.
fn of_load(folder: &Folder, report: &LoadReport) -> Vec<Recomputed> {
    match folder.samples() {
        Ok(Some(samples)) => compare(
            report,
            &LoadReport::assemble(report.facts(), &samples),
            &PARTS,
        ),
        Ok(None) => vec![not_computed(
            Verdict::Unknown,
            format!("{SAMPLES} is not there"),
        )],
        Err(error) => {
            vec![not_computed(
                Verdict::Fail,
                format!("{SAMPLES}: {}", causes(&error)),
            )]
        }
    }
}

/// Drills follow from their histories.
fn of_drill(folder: &Folder, report: &DrillReport) -> Vec<Recomputed> {
    let mut names: Vec<String> = report.runs.iter().map(|run| run.history.clone()).collect();
    // A run that the report leaves out counts all the same.
    let left_out = folder.files().map(|files| {
        let is_history = |name: &String| name.ends_with(HISTORY) && !names.contains(name);
        files.into_iter().filter(is_history).collect::<Vec<_>>()
    });
    match left_out {
        Ok(left_out) => names.extend(left_out),
        Err(error) => return vec![not_computed(Verdict::Fail, causes(&error))],
    }
    let mut histories = Vec::new();
    for name in names {
        if name.contains('/') {
            let why = format!("{name} is not in the report's folder");
            return vec![not_computed(Verdict::Fail, why)];
        }
        match folder.read_if_there(&name) {
            Ok(Some(packed)) => match unpack(&packed) {
                Ok(history) => histories.push((name, history)),
                Err(error) => return vec![not_computed(Verdict::Fail, format!("{name}: {error}"))],
            },
            Ok(None) => {
                return vec![not_computed(
                    Verdict::Unknown,
                    format!("{name} is not there"),
                )];
            }
            Err(error) => return vec![not_computed(Verdict::Fail, format!("{name}: {error}"))],
        }
    }
    let computed = DrillReport::assemble(report.origin.clone(), &histories);
    compare(report, &computed, &DRILL_PARTS)
}

/// The page and the markdown follow from the report. Another version draws them otherwise, so only its own are made again.
fn of_pages(folder: &Folder, report: &Report) -> Result<Vec<Recomputed>, StoreError> {
    let commit = match report {
        Report::Load(report) => &report.software.commit,
        Report::Drill(report) => &report.origin.software.commit,
    };
    if commit != crate::COMMIT {
        return Ok(Vec::new());
    }
    let drawn = [
        (PAGE, super::html::page(report)?),
        (MARKDOWN, super::markdown::markdown(report)),
    ];
    let mut parts = Vec::new();
    for (name, text) in drawn {
        let Some(kept) = folder.read_if_there(name)? else {
            continue;
        };
        let same = kept == text.as_bytes();
        parts.push(Recomputed {
            part: format!("{name}, drawn again"),
            verdict: if same { Verdict::Pass } else { Verdict::Fail },
            detail: if same {
                Vec::new()
            } else {
                vec!["it does not show what report.json says".to_owned()]
            },
        });
    }
    Ok(parts)
}

/// Why something failed, from the nearest cause to the first.
fn causes(error: &StoreError) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.join(": ")
}

fn not_computed(verdict: Verdict, detail: String) -> Recomputed {
    Recomputed {
        part: "everything that was measured".to_owned(),
        verdict,
        detail: vec![detail],
    }
}

fn files(folder: &Folder) -> Result<Vec<FileCheck>, StoreError> {
    let text = folder.read(SUMS)?;
    let manifest = std::str::from_utf8(&text)
        .ok()
        .and_then(Manifest::read)
        .unwrap_or_default();
    let left_out = folder.read_if_there(LEFT_OUT)?.unwrap_or_default();
    let left_out = String::from_utf8_lossy(&left_out).into_owned();
    let there = folder.files()?;
    let mut checks = Vec::new();
    for (name, expected) in &manifest.sums {
        let state = match folder.read_if_there(name)? {
            Some(bytes) if sum(&bytes) == *expected => FileState::Same,
            Some(_) => FileState::Changed,
            None if left_out.lines().any(|line| line == name) => FileState::LeftOut,
            None => FileState::Missing,
        };
        checks.push(FileCheck {
            name: name.clone(),
            state,
        });
    }
    for name in there
        .into_iter()
        .filter(|name| !manifest.sums.contains_key(name))
    {
        checks.push(FileCheck {
            name,
            state: FileState::Added,
        });
    }
    Ok(checks)
}

/// The parts of a report of drills that follow from the histories.
const DRILL_PARTS: [(&str, &[&str]); 3] = [
    ("runs", &["runs"]),
    ("scenarios", &["scenarios"]),
    ("verdict", &["verdict", "reasons"]),
];

/// The parts of a report that follow from the samples.
const PARTS: [(&str, &[&str]); 6] = [
    ("totals", &["totals"]),
    ("percentiles", &["latency", "routes", "series"]),
    ("resources", &["instances", "generator"]),
    ("accounting", &["accounting"]),
    ("objectives", &["objectives"]),
    ("verdict", &["verdict", "reasons"]),
];

fn compare(
    reported: &impl Serialize,
    computed: &impl Serialize,
    parts: &[(&str, &[&str])],
) -> Vec<Recomputed> {
    let (reported, computed) = match (
        serde_json::to_value(reported),
        serde_json::to_value(computed),
    ) {
        (Ok(reported), Ok(computed)) => (reported, computed),
        (Err(error), _) | (_, Err(error)) => {
            return vec![not_computed(Verdict::Fail, error.to_string())];
        }
    };
    parts
        .iter()
        .map(|(part, fields)| {
            let mut differences = Vec::new();
            for field in *fields {
                differ(
                    field,
                    &reported[*field],
                    &computed[*field],
                    &mut differences,
                );
            }
            let more = differences.len().saturating_sub(NAMED);
            differences.truncate(NAMED);
            if more > 0 {
                differences.push(format!("and {more} more"));
            }
            let verdict = if differences.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Fail
            };
            Recomputed {
                part: (*part).to_owned(),
                verdict,
                detail: differences,
            }
        })
        .collect()
}

/// Collects where two documents differ, each with its place.
fn differ(place: &str, reported: &Json, computed: &Json, differences: &mut Vec<String>) {
    match (reported, computed) {
        (Json::Object(one), Json::Object(other)) => {
            for key in one
                .keys()
                .chain(other.keys().filter(|key| !one.contains_key(*key)))
            {
                let (one, other) = (one.get(key), other.get(key));
                differ(
                    &format!("{place}.{key}"),
                    one.unwrap_or(&Json::Null),
                    other.unwrap_or(&Json::Null),
                    differences,
                );
            }
        }
        (Json::Array(one), Json::Array(other)) if one.len() == other.len() => {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                let name = one
                    .get("name")
                    .or_else(|| one.get("instance"))
                    .and_then(Json::as_str);
                let place = name.map_or_else(
                    || format!("{place}[{number}]"),
                    |name| format!("{place}[{name}]"),
                );
                differ(&place, one, other, differences);
            }
        }
        (Json::Array(one), Json::Array(other)) => {
            differences.push(format!(
                "{place}: the report has {}, the samples give {}",
                one.len(),
                other.len()
            ));
        }
        (one, other) if same(one, other) => {}
        (one, other) => differences.push(format!(
            "{place}: the report says {}, the samples {}",
            said(one),
            said(other)
        )),
    }
}

fn same(one: &Json, other: &Json) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => {
            (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0)
        }
        _ => one == other,
    }
}

fn said(value: &Json) -> String {
    match value {
        Json::Null => "nothing".to_owned(),
        value => value.to_string(),
    }
}
