//! The published schema and the shipped environments.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use shopctl::project::Project;

fn environments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../environments")
}

fn published() -> Json {
    let text = std::fs::read_to_string(environments().join("environment.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Environment files of a folder, as JSON, with their texts.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?)))
        .collect();
    files.sort();
    files
}

#[test]
fn the_published_schema_is_current() {
    let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
        .args(["env", "schema"])
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let current: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        current == published(),
        "write it anew: shopctl env schema > environments/environment.schema.json"
    );
}

#[test]
fn every_shipped_environment_names_the_schema_and_fits_it() {
    let validator = jsonschema::draft202012::new(&published()).unwrap();
    let project = Project::at(environments().join(".."));
    let files = files(&environments());
    assert!(!files.is_empty());
    for (path, text) in files {
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            "# yaml-language-server: $schema=environment.schema.json",
            "{}",
            path.display()
        );
        let name = path.file_stem().unwrap().to_str().unwrap();
        let loaded = project
            .load(name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        validator
            .validate(loaded.file.effective())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let written: Json = serde_saphyr::from_str(&text).unwrap();
        validator
            .validate(&written)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// An editor with the schema and `shopctl` must not disagree about the form of a file. What only makes sense together
/// (ports that overlap, percentiles) and the YAML itself are shopctl's alone.
#[test]
fn a_file_that_the_schema_refuses_is_refused_by_shopctl_too() {
    let validator = jsonschema::draft202012::new(&published()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    let project = Project::at(&folder);
    let mut refused = 0;
    for (path, text) in files(&folder) {
        let Ok(written) = serde_saphyr::from_str::<Json>(&text) else {
            continue;
        };
        if !validator.is_valid(&written) {
            refused += 1;
            assert!(
                project.load(path.to_str().unwrap()).is_err(),
                "{}",
                path.display()
            );
        }
    }
    assert!(
        refused >= 15,
        "only {refused} files are wrong by the schema"
    );
}
