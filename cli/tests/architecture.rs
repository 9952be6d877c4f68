//! The invariants of ARCHITECTURE.md that can be read from the sources.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The sources, by their path under `src`, without tests and comments.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let code = sources(&root);
    assert!(code.len() > 20, "{} sources", code.len());
    code.into_iter()
        .map(|(path, text)| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let before_tests = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let lines = before_tests
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

fn assert_absent(words: &[&str], applies: impl Fn(&str) -> bool) {
    let mut looked_at = 0;
    for (name, text) in code().iter().filter(|(name, _)| applies(name)) {
        looked_at += 1;
        for word in words {
            assert!(!text.contains(word), "{name} mentions `{word}`");
        }
    }
    assert!(looked_at > 0, "there are no such sources");
}

fn is_in(name: &str, modules: &[&str]) -> bool {
    modules
        .iter()
        .any(|module| name == format!("{module}.rs") || name.starts_with(&format!("{module}/")))
}

#[test]
fn environment_plan_and_render_know_no_runtime_no_file_and_no_clock() {
    let words = [
        "tokio",
        "std::fs",
        "File::",
        "Instant",
        "SystemTime",
        "now_utc",
        "std::process",
        "std::net",
        "std::env",
    ];
    assert_absent(&words, |name| {
        is_in(
            name,
            &[
                "environment",
                "catalogue",
                "document",
                "value",
                "plan",
                "render",
            ],
        )
    });
}

#[test]
fn what_hosts_need_follows_from_what_was_seen_alone() {
    let words = [
        "tokio",
        "std::fs",
        "File::",
        "Instant",
        "SystemTime",
        "now_utc",
        "std::process",
        "dyn Host",
    ];
    let pure = [
        "config",
        "marker",
        "model",
        "plan",
        "preflight",
        "wanted",
        "yaml",
    ];
    let pure: Vec<String> = pure
        .iter()
        .map(|name| format!("bootstrap/{name}"))
        .collect();
    let pure: Vec<&str> = pure.iter().map(String::as_str).collect();
    assert_absent(&words, |name| is_in(name, &pure));
}

#[test]
fn only_host_runs_programs_for_a_cluster() {
    assert_absent(&["process::Command", "Process::new"], |name| {
        is_in(name, &["bootstrap"])
    });
}

#[test]
fn what_a_report_says_follows_from_its_samples_alone() {
    let words = [
        "tokio",
        "std::fs",
        "File::",
        "Instant",
        "SystemTime",
        "now_utc",
        "std::process",
        "std::env",
        "rand::",
    ];
    let pure = [
        "accounting",
        "compare",
        "figures",
        "histogram",
        "html",
        "judge",
        "markdown",
        "model",
        "summary",
        "verdict",
        "words",
    ];
    let pure: Vec<String> = pure.iter().map(|name| format!("report/{name}")).collect();
    let pure: Vec<&str> = pure.iter().map(String::as_str).collect();
    assert_absent(&words, |name| is_in(name, &pure));
}

#[test]
fn what_is_decided_about_objects_follows_from_the_objects_alone() {
    let words = [
        "tokio",
        "std::fs",
        "File::",
        "Instant",
        "SystemTime",
        "now_utc",
        "Client",
        "async",
    ];
    let pure = [
        "changes", "conflict", "diff", "object", "prune", "ready", "stage",
    ];
    let pure: Vec<String> = pure.iter().map(|name| format!("cluster/{name}")).collect();
    let pure: Vec<&str> = pure.iter().map(String::as_str).collect();
    assert_absent(&words, |name| is_in(name, &pure));
}

#[test]
fn only_ui_prints() {
    let words = [
        "println!",
        "eprintln!",
        "print!(",
        "eprint!(",
        "anstream",
        "indicatif",
        "io::stdout",
    ];
    assert_absent(&words, |name| !is_in(name, &["ui"]));
}

#[test]
fn only_args_knows_clap() {
    assert_absent(&["clap"], |name| !is_in(name, &["args"]));
}

#[test]
fn only_document_and_render_parse_yaml() {
    assert_absent(&["saphyr"], |name| !is_in(name, &["document", "render"]));
}

#[test]
fn the_core_knows_no_component_by_name() {
    // Those that are not also words for what the shop deals in.
    let words = [
        "\"postgres\"",
        "\"redis\"",
        "\"sentinel\"",
        "\"gateway\"",
        "\"auth\"",
    ];
    assert_absent(&words, |name| {
        is_in(
            name,
            &[
                "environment",
                "catalogue",
                "document",
                "plan",
                "render",
                "project",
            ],
        )
    });
}
