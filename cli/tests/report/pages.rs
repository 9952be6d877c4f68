//! The forms of a report: the page and markdown.

use std::process::Command;

use shopctl::report::{LoadReport, Report, Reports, Samples, markdown, page};

use crate::fixture::{facts, samples};

fn report() -> LoadReport {
    LoadReport::assemble(facts(), &samples())
}

fn page_of(report: LoadReport) -> String {
    page(&Report::Load(Box::new(report))).unwrap()
}

#[test]
fn a_finished_report_has_all_its_forms_and_sums() {
    let folder = tempfile::tempdir().unwrap();
    let reports = Reports::at(folder.path());
    let draft = reports.begin("local", &facts().id).unwrap();
    draft.write("k6-summary.json", b"{}\n").unwrap();
    let finished = draft.finish_load(&report(), &samples()).unwrap();
    let files = finished.files().unwrap();
    assert_eq!(
        files,
        [
            "k6-summary.json",
            "report.html",
            "report.json",
            "report.md",
            "samples.jsonl.zst"
        ]
    );
    let mut check = Command::new("sha256sum");
    let check = check
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(finished.path())
        .status()
        .unwrap();
    assert!(check.success());
    assert_eq!(finished.report().unwrap(), Report::Load(Box::new(report())));
    let samples = finished.samples().unwrap().unwrap();
    assert_eq!(LoadReport::assemble(report().facts(), &samples), report());
}

#[test]
fn a_folder_that_cannot_be_written_is_noticed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reports");
    std::fs::write(&file, "").unwrap();
    let error = Reports::at(&file).begin("local", "a").unwrap_err();
    assert!(error.to_string().starts_with("failed to write "), "{error}");
}

#[test]
fn the_page_loads_nothing_and_shows_everything() {
    let page = page_of(report());
    for absent in ["http://", "https://", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("default-src 'none'"));
    for shown in [
        "PASS",
        "1,000 users at once for 60 s",
        "at most 200 ms",
        "POST &#x2f;orders",
        "every acknowledged order is in Postgres",
        "postgres-0",
        "Example CPU",
        "p95 limit 200 ms",
        "The load generator used 0.3",
        "scope=\"row\"",
        "role=\"img\" aria-label=\"Latency over 60 seconds: p99 at most",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(page.len() < 100 * 1024, "{} bytes", page.len());
}

#[test]
fn what_stands_in_a_report_is_text_and_nothing_else() {
    let evil = "<script>alert('1')</script>\"&|`";
    let mut report = report();
    report.profile.name = evil.to_owned();
    report.environment = evil.to_owned();
    report.software.os = Some(evil.to_owned());
    report.routes[0].name = evil.to_owned();
    report.instances[0].instance = evil.to_owned();
    report.totals.checks.by_name[0].name = evil.to_owned();
    let markdown = markdown(&Report::Load(Box::new(report.clone())));
    assert_eq!(
        markdown.matches('<').count(),
        markdown.matches("\\<").count(),
        "{markdown}"
    );
    let page = page_of(report);
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.matches("&lt;script&gt;").count() >= 6);
}

#[test]
fn a_report_of_nothing_and_one_of_an_hour_have_pages_too() {
    let empty = LoadReport::assemble(facts(), &Samples::default());
    let page = page_of(empty.clone());
    assert!(page.contains("UNKNOWN") && page.contains("no request was measured"));
    assert!(!markdown(&Report::Load(Box::new(empty))).contains("NaN"));
    let mut long = report();
    let minute = long.series.clone();
    long.series = (0..3_600u32)
        .map(|second| shopctl::report::Second {
            second,
            ..minute[second as usize % minute.len()].clone()
        })
        .collect();
    let page = page_of(long);
    assert!(
        page.contains("15 min") && page.len() < 250 * 1024,
        "{} bytes",
        page.len()
    );
    assert!(!page.contains("NaN"));
}
