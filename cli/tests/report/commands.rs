//! `shopctl report`, by the real binary: what it prints, word for word, and how it ends.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use shopctl::report::{LoadFacts, LoadReport, Reports, Samples};
use snapbox::{Assert, Data};
use time::Duration;

use crate::fixture::{STARTED_AT, facts_at, samples, samples_with};

/// A folder with a README, in which the binary is run.
struct Project {
    folder: tempfile::TempDir,
}

/// How a command ended.
struct Ended {
    stdout: String,
    stderr: String,
    code: i32,
}

const README: &str = "# A shop\n\n<!-- evidence:begin -->\n<!-- evidence:end -->\n\nThe end.\n";

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("README.md"), README).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves a report that began so many minutes after the first.
    fn leave(
        &self,
        minutes: i64,
        samples: &Samples,
        change: impl FnOnce(&mut LoadFacts),
    ) -> PathBuf {
        let mut facts = facts_at(STARTED_AT + Duration::minutes(minutes));
        change(&mut facts);
        let draft = Reports::at(self.path().join("reports"))
            .begin(&facts.environment, &facts.id)
            .unwrap();
        let report = LoadReport::assemble(facts, samples);
        draft
            .finish_load(&report, samples)
            .unwrap()
            .path()
            .to_owned()
    }

    fn run(&self, line: &str) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
            .args(["report"])
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        Ended {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }

    /// All that is printed by some commands, and how they end.
    fn transcript(&self, lines: &[&str]) -> String {
        let mut text = String::new();
        for line in lines {
            let ended = self.run(line);
            writeln!(
                text,
                "$ shopctl report {line}\n{}{}[{}]\n",
                ended.stdout, ended.stderr, ended.code
            )
            .unwrap();
        }
        text
    }

    fn json(&self, line: &str) -> Json {
        serde_json::from_str(&self.run(line).stdout).unwrap()
    }
}

fn assert_golden(actual: &str, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    Assert::new()
        .action_env("SNAPSHOTS")
        .eq(actual, Data::read_from(&file, None).raw());
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

const FIRST: &str = "20261121T144205Z-browse";
const SECOND: &str = "20261121T151205Z-browse";

#[test]
fn reports_are_listed_shown_compared_verified_and_published() {
    let project = Project::new();
    project.leave(0, &samples(), |_| ());
    project.leave(30, &samples_with(2, 1.3), |facts| facts.hardware.cores = 4);
    let transcript = project.transcript(&[
        "list",
        "show",
        &format!("compare {FIRST}"),
        &format!("verify {FIRST}"),
        &format!("publish {FIRST}"),
        &format!("publish {FIRST}"),
        "list local",
        "list other",
    ]);
    assert_golden(&transcript, "report.txt");
    assert_golden(&text(&project.path().join("README.md")), "evidence.md");
    // What was published stands alone.
    fs::remove_dir_all(project.path().join("reports/local")).unwrap();
    let listed = project.json("list -o json");
    assert_eq!(
        listed["reports"][0]["path"],
        format!("reports/published/local/{FIRST}")
    );
    assert_eq!(project.run("verify").code, 0);
    assert_eq!(project.json("show latest -o json")["id"], FIRST);
    // The newest of a profile replaces it.
    project.leave(30, &samples_with(2, 1.3), |_| ());
    assert_eq!(project.run("publish").code, 0);
    let readme = text(&project.path().join("README.md"));
    assert!(
        readme.contains(SECOND) && !readme.contains(FIRST),
        "{readme}"
    );
}

#[test]
fn what_was_changed_is_named() {
    let project = Project::new();
    let path = project.leave(0, &samples(), |_| ());
    let report = path.join("report.json");
    let changed = text(&report)
        .replacen("\"requests\": 61942", "\"requests\": 71942", 1)
        .replacen("\"verdict\": \"pass\"", "\"verdict\": \"unknown\"", 1);
    fs::write(&report, changed).unwrap();
    fs::write(path.join("more.txt"), "").unwrap();
    fs::remove_file(path.join("report.md")).unwrap();
    assert_golden(
        &project.transcript(&["verify", "publish"]),
        "report-changed.txt",
    );
    let json = project.json("verify -o json");
    assert_eq!(json["verdict"], "fail");
    assert_eq!(text(&project.path().join("README.md")), README);
}

#[test]
fn samples_that_were_changed_are_noticed_though_the_sums_were_made_anew() {
    let project = Project::new();
    let path = project.leave(0, &samples(), |_| ());
    let mut other = samples();
    other.acknowledged.pop();
    let mut raw = Vec::new();
    other.write(&mut raw).unwrap();
    fs::write(path.join("samples.jsonl.zst"), &raw).unwrap();
    let sums = Command::new("sh")
        .args(["-c", "sha256sum [!S]*"])
        .current_dir(&path)
        .output()
        .unwrap()
        .stdout;
    fs::write(path.join("SHA256SUMS"), sums).unwrap();
    let ended = project.run("verify");
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .stdout
            .contains("totals.orders: the report says 8938, the samples 8937"),
        "{}",
        ended.stdout
    );
    fs::write(path.join("samples.jsonl.zst"), &raw[..raw.len() / 2]).unwrap();
    let ended = project.run("verify");
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .stdout
            .contains("samples.jsonl.zst: failed to unpack the samples"),
        "{}",
        ended.stdout
    );
}

#[test]
fn folders_that_are_no_reports_are_told_apart() {
    let project = Project::new();
    assert_golden(
        &project.transcript(&[
            "list",
            "show",
            "show nothing",
            "verify ./nowhere",
            "compare a b",
            "publish",
        ]),
        "report-none.txt",
    );
    let killed = project.path().join("reports/local/20261121T150000Z-browse");
    fs::create_dir_all(&killed).unwrap();
    fs::write(killed.join("k6.log"), "").unwrap();
    let newer = project.path().join("reports/local/20261121T160000Z-browse");
    fs::create_dir_all(&newer).unwrap();
    fs::write(newer.join("SHA256SUMS"), "").unwrap();
    fs::write(
        newer.join("report.json"),
        r#"{"schemaVersion":2,"kind":"load"}"#,
    )
    .unwrap();
    let other = project.path().join("reports/local/20261121T170000Z-other");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("SHA256SUMS"), "").unwrap();
    fs::write(
        other.join("report.json"),
        r#"{"schemaVersion":1,"kind":"load""#,
    )
    .unwrap();
    assert_golden(
        &project.transcript(&[
            "list",
            "show",
            "show 20261121T150000Z-browse",
            "show 20261121T160000Z-browse",
            "verify reports/local/20261121T170000Z-other",
        ]),
        "report-wrong.txt",
    );
    project.leave(0, &samples(), |_| ());
    assert_eq!(project.json("show -o json")["id"], FIRST);
}

#[test]
fn what_shows_nothing_is_published_only_when_told_so() {
    let project = Project::new();
    project.leave(0, &samples(), |facts| facts.interrupted = true);
    let ended = project.run("publish");
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .stderr
            .contains("it shows nothing, its verdict is UNKNOWN"),
        "{}",
        ended.stderr
    );
    assert_eq!(text(&project.path().join("README.md")), README);
    assert_eq!(project.run("publish --anyway").code, 0);
    assert!(text(&project.path().join("README.md")).contains("| UNKNOWN |"));
}

#[test]
fn a_report_that_names_itself_like_a_way_out_is_not_followed() {
    let project = Project::new();
    let path = project.leave(0, &samples(), |_| ());
    let report = path.join("report.json");
    let changed = text(&report).replacen(FIRST, "../../../outside", 1);
    fs::write(&report, changed).unwrap();
    let ended = project.run("publish --anyway");
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    assert!(
        ended.stderr.contains("which names no folder"),
        "{}",
        ended.stderr
    );
    assert!(!project.path().join("reports/published").exists());
}

#[test]
fn a_readme_without_a_place_for_the_table_is_left_alone() {
    let project = Project::new();
    project.leave(0, &samples(), |_| ());
    fs::write(project.path().join("README.md"), "nothing\n").unwrap();
    let ended = project.run("publish");
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("<!-- evidence:begin -->"),
        "{}",
        ended.stderr
    );
    assert!(!project.path().join("reports/published").exists());
}

#[test]
fn what_is_too_large_is_left_out_and_said() {
    let project = Project::new();
    let facts = facts_at(STARTED_AT);
    let draft = Reports::at(project.path().join("reports"))
        .begin("local", &facts.id)
        .unwrap();
    draft.write("k6.log", &vec![b'x'; (1 << 20) + 1]).unwrap();
    draft
        .finish_load(&LoadReport::assemble(facts, &samples()), &samples())
        .unwrap();
    let ended = project.run("publish");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("k6.log is left out: 1 MiB"),
        "{}",
        ended.stderr
    );
    let ended = project.run(&format!("verify reports/published/local/{FIRST}"));
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("left out when published"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_second_report_of_the_same_moment_gets_another_name() {
    let project = Project::new();
    let reports = Reports::at(project.path().join("reports"));
    assert_eq!(reports.begin("local", "a").unwrap().id(), "a");
    assert_eq!(reports.begin("local", "a").unwrap().id(), "a-2");
}

#[test]
fn the_published_schema_is_current_and_a_report_fits_it() {
    let project = Project::new();
    let current: Json = project.json("schema");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/report.schema.json");
    let published: Json = serde_json::from_str(&text(&file)).unwrap();
    assert!(
        current == published,
        "write it anew: shopctl report schema > reports/report.schema.json"
    );
    let path = project.leave(0, &samples(), |_| ());
    let report: Json = serde_json::from_str(&text(&path.join("report.json"))).unwrap();
    let validator = jsonschema::draft202012::new(&published).unwrap();
    validator.validate(&report).unwrap();
    let mut wrong = report;
    wrong["totals"]["requests"] = "many".into();
    assert!(!validator.is_valid(&wrong));
}
