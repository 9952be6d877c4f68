//! A report in short: good in a terminal and where markdown is shown.

use std::fmt::Write as _;

use super::document::Report;
use super::figures::{count, figure, milliseconds, objective, with_unit};
use super::model::{Comparison, LoadReport};
use super::words::{headline, summary};
use crate::drill::history::Figure;
use crate::drill::report::{DrillReport, limit, show, words};

/// The report in markdown.
pub fn markdown(report: &Report) -> String {
    match report {
        Report::Load(report) => load(report),
        Report::Drill(report) => drill(report),
    }
}

fn load(report: &LoadReport) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write!(
        text,
        "# {}: {}\n\n{}\n",
        report.verdict,
        escaped(&headline(report)),
        escaped(&summary(report))
    );
    if !report.reasons.is_empty() {
        text.push('\n');
        for reason in &report.reasons {
            let _ = writeln!(text, "- {}: {}", reason.verdict, escaped(&reason.text));
        }
    }
    let rows = report.objectives.iter().map(|seen| {
        let side = match seen.comparison {
            Comparison::AtMost => "at most",
            Comparison::AtLeast => "at least",
        };
        vec![
            objective(&seen.name).to_owned(),
            format!("{side} {}", with_unit(seen.limit, &seen.unit)),
            seen.measured.map_or_else(
                || "not measured".to_owned(),
                |value| with_unit(value, &seen.unit),
            ),
            seen.verdict.to_string(),
        ]
    });
    table(
        &mut text,
        "Objectives",
        &["objective", "limit", "measured", "verdict"],
        rows,
    );
    let rows = report.routes.iter().map(|route| {
        let mut row = vec![
            route.name.clone(),
            count(route.requests),
            count(route.failed),
        ];
        match route.latency {
            Some(latency) => {
                row.extend([latency.p50, latency.p95, latency.p99, latency.max].map(milliseconds));
            }
            None => row.extend(["-", "-", "-", "-"].map(str::to_owned)),
        }
        row
    });
    table(
        &mut text,
        "Routes",
        &["route", "requests", "failed", "p50", "p95", "p99", "max"],
        rows,
    );
    if let Some(accounting) = &report.accounting {
        let rows = accounting.checks.iter().map(|check| {
            let found = check
                .found
                .map_or_else(|| "-".to_owned(), |found| found.to_string());
            vec![
                check.name.clone(),
                check.expected.to_string(),
                found,
                check.verdict.to_string(),
            ]
        });
        table(
            &mut text,
            "The books",
            &["what", "expected", "found", "verdict"],
            rows,
        );
    }
    let software = &report.software;
    let _ = write!(
        text,
        "\n{} ran at {} on {} cores ({}), shopctl {} ({}), k6 {}, PostgreSQL {}, Redis {}; load average before: {}.\n",
        escaped(&report.id),
        report.started_at.date(),
        report.hardware.cores,
        escaped(report.hardware.cpu_model.as_deref().unwrap_or("not known")),
        escaped(&software.shopctl),
        escaped(&software.commit),
        escaped(software.k6.as_deref().unwrap_or("not known")),
        escaped(software.postgres.as_deref().unwrap_or("not known")),
        escaped(software.redis.as_deref().unwrap_or("not known")),
        figure(report.load_average.before.one_minute),
    );
    let _ = writeln!(
        text,
        "\n`report.html` shows it over time; `shopctl report verify {}` computes it again from its raw samples.",
        report.id
    );
    text
}

fn drill(report: &DrillReport) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "# {}: {}\n\n{}",
        report.verdict,
        escaped(&report.headline()),
        escaped(&report.summary())
    );
    if !report.reasons.is_empty() {
        text.push('\n');
        for reason in &report.reasons {
            let _ = writeln!(text, "- {}: {}", reason.verdict, escaped(&reason.text));
        }
    }
    let of_run = |run: &crate::drill::report::DrillRun, figure| {
        let measured = run.judgement.figures.get(figure);
        measured.map_or_else(|| "-".to_owned(), |value| show(figure, value))
    };
    let rows = report.runs.iter().map(|run| {
        let mut row = vec![
            run.scenario.clone(),
            run.run.to_string(),
            run.verdict.to_string(),
        ];
        row.extend(Figure::MAIN.map(|figure| of_run(run, figure)));
        row
    });
    let mut heads = vec!["scenario", "run", "verdict"];
    heads.extend(Figure::MAIN.map(words));
    table(&mut text, "Runs", &heads, rows);
    let rows = report.scenarios.iter().flat_map(|scenario| {
        scenario.figures.iter().map(move |(figure, spread)| {
            let held_to = scenario.objective(*figure);
            vec![
                scenario.scenario.clone(),
                words(*figure).to_owned(),
                spread.measured.to_string(),
                show(*figure, spread.p50),
                show(*figure, spread.p95),
                show(*figure, spread.max),
                held_to.map_or_else(String::new, |objective| {
                    limit(objective.figure, objective.limit, objective.over)
                }),
                held_to.map_or_else(String::new, |objective| objective.verdict.to_string()),
            ]
        })
    });
    let heads = [
        "scenario", "figure", "runs", "median", "p95", "max", "limit", "verdict",
    ];
    table(&mut text, "Over the runs", &heads, rows);
    text.push_str(&deeds(report));
    let rows = report.claims().into_iter().map(|claim| {
        vec![
            claim.claim,
            count(claim.looked_at),
            count(claim.violations),
            claim.verdict.to_string(),
        ]
    });
    let heads = ["what must be true", "looked at", "violations", "verdict"];
    table(&mut text, "Checked in the histories", &heads, rows);
    text.push_str(&circumstances(report));
    let _ = writeln!(
        text,
        "\n`shopctl report verify {}` computes all of it again from the raw histories alone.",
        report.origin.id
    );
    text
}

/// A line a run: the signals, and what was seen to come of them.
fn deeds(report: &DrillReport) -> String {
    let mut text = String::new();
    text.push_str("\n## What was done, and what came of it\n\n");
    for run in &report.runs {
        let faults = run.faults.iter().map(|fault| {
            let deed = fault.kind.done_to(&fault.instance);
            format!("{deed} (process {})", fault.process)
        });
        // All that runs on a host has the same evidence.
        let of_host = run.faults.iter().find(|fault| fault.kind.hits_a_machine());
        let evidence = of_host.and_then(|fault| fault.evidence.clone());
        let told: Vec<String> = faults
            .chain(evidence)
            .chain(run.consequences.iter().cloned())
            .collect();
        let _ = writeln!(
            text,
            "- {} run {}: {}",
            run.scenario,
            run.run,
            escaped(&told.join("; "))
        );
    }
    text
}

/// Where and when it was, with which programs.
fn circumstances(report: &DrillReport) -> String {
    let mut text = String::new();
    let origin = &report.origin;
    let software = &origin.software;
    let _ = writeln!(
        text,
        "\nRun `{}` of {}, seed {}, {} users in the background, on {} cores ({}), shopctl {} at commit {}, {}, {}; load \
         average {} before.",
        escaped(&origin.id),
        origin.started_at.date(),
        report.runs.first().map_or(0, |run| run.seed),
        origin.vus,
        origin.hardware.cores,
        escaped(origin.hardware.cpu_model.as_deref().unwrap_or("not known")),
        escaped(&software.shopctl),
        escaped(&software.commit),
        escaped(software.postgres.as_deref().unwrap_or("Postgres not known")),
        escaped(software.redis.as_deref().unwrap_or("Redis not known")),
        figure(origin.load_average.before.one_minute),
    );
    text
}

fn table(text: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows
        .map(|row| row.iter().map(|cell| escaped(cell)).collect())
        .collect();
    if rows.is_empty() {
        return;
    }
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .chain([head.len(), 3])
                .max()
                .unwrap_or(3)
        })
        .collect();
    // Writing to a text cannot fail.
    let _ = write!(text, "\n## {title}\n\n");
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    row(text, &heads, &widths);
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    row(text, &rules, &widths);
    for cells in &rows {
        row(text, cells, &widths);
    }
}

fn row(text: &mut String, cells: &[String], widths: &[usize]) {
    text.push('|');
    for (cell, width) in cells.iter().zip(widths) {
        // Writing to a text cannot fail.
        let _ = write!(text, " {cell:<width$} |");
    }
    text.push('\n');
}

/// Text that markdown takes for nothing but text, in one line.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '*' | '[' | ']' | '`' | '\\' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
