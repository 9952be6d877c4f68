//! What the README shows and names is there and valid.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    std::fs::read_to_string(project().join("README.md")).unwrap()
}

/// The blocks of code of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    text.split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_environment_that_the_readme_shows_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(&readme(), "yaml");
    assert!(!blocks.is_empty(), "the README shows no environment");
    for (number, block) in blocks.iter().enumerate() {
        let file = folder.path().join(format!("readme-{number}.yaml"));
        std::fs::write(&file, block).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
            .args(["env", "validate"])
            .arg(&file)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{said}");
    }
}

#[test]
fn every_file_that_the_readme_names_is_there() {
    let text = readme();
    let links = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://") && !link.starts_with('#'));
    let quoted = text.split('`').skip(1).step_by(2).filter(|word| {
        let known = ["cli/", "docs/", "environments/", "services/", "templates/"];
        known.iter().any(|folder| word.starts_with(folder)) && !word.contains(' ')
    });
    let mut named: Vec<&str> = links.chain(quoted).collect();
    named.sort_unstable();
    named.dedup();
    assert!(named.len() > 3, "{named:?}");
    for path in named {
        let path = path.split('#').next().unwrap();
        assert!(
            project().join(path).exists(),
            "the README names {path}, which is not there"
        );
    }
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let text = readme();
    // In its table; what comes later is named elsewhere.
    let commands = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `shopctl "))
        .filter_map(|rest| rest.split([' ', '`']).next());
    let mut named: Vec<&str> = commands.collect();
    named.sort_unstable();
    named.dedup();
    assert!(named.len() > 5, "{named:?}");
    for command in named {
        let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
            .args([command, "--help"])
            .output()
            .unwrap();
        assert!(output.status.success(), "there is no `shopctl {command}`");
    }
}
