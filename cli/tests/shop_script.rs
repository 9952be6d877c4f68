//! The script `shop`, with programs in place of cargo and shopctl that say how they were called.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Stubs(tempfile::TempDir);

impl Stubs {
    fn new() -> Self {
        let stubs = Self(tempfile::tempdir().unwrap());
        stubs.program("bin/cargo", "exit \"${BUILD_CODE:-0}\"");
        stubs.program("bin/cc", "exit 0");
        let shopctl =
            "echo \"shopctl $*\"\n[ \"$*\" != 'doctor --quiet' ] || exit \"${DOCTOR_CODE:-0}\"";
        stubs.program("target/release/shopctl", shopctl);
        stubs.program("target/release/shopd", "exit 0");
        stubs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shop");
        Command::new(script)
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .env("HOME", self.0.path())
            .env("CARGO_TARGET_DIR", self.path("target"))
            .envs(variables.iter().copied())
            .args(arguments)
            .output()
            .unwrap()
    }
}

#[test]
fn it_ends_with_the_codes_that_shopctl_has() {
    let stubs = Stubs::new();
    let code = |variables: &[(&str, &str)], arguments: &[&str]| {
        let output = stubs.run(variables, arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), errors)
    };
    assert_eq!(code(&[], &["status"]).0, 0);
    let (failed, errors) = code(&[("BUILD_CODE", "101")], &["status"]);
    assert!(
        failed == 1 && errors.contains("the build failed"),
        "{errors}"
    );
    let (wrong, errors) = code(&[], &["test", "one"]);
    assert!(
        wrong == 2 && errors.contains("takes no arguments"),
        "{errors}"
    );
}

#[test]
fn only_an_up_that_can_begin_installs_what_is_missing() {
    let stubs = Stubs::new();
    let called = |doctor: &str, arguments: &[&str]| {
        let output = stubs.run(&[("DOCTOR_CODE", doctor)], arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    let installed = "shopctl doctor --install --yes\nshopctl up\n";
    assert_eq!(called("3", &["up"]), installed);
    assert_eq!(called("0", &["up"]), "shopctl up\n");
    // The environment file is wrong, which `up` tells.
    assert_eq!(called("2", &["up"]), "shopctl up\n");
    assert_eq!(called("3", &["up", "--help"]), "shopctl up --help\n");
    assert_eq!(called("3", &["up", "-h"]), "shopctl up -h\n");
    assert_eq!(called("3", &["status"]), "shopctl status\n");
}
