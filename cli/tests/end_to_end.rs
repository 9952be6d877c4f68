//! Bare hosts to a proved shop on k3s and back, on the lab's hosts: the short form of `lab/e2e`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod skipped;

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is missing for a lab with k3s on this machine.
fn lacks() -> Option<String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Some("to make hosts takes root".to_owned());
    }
    let namespace = ["--mount", "--net", "--pid", "--fork", "true"];
    let made = Command::new("unshare").args(namespace).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return Some("no namespaces can be made here".to_owned());
    }
    let cache = cache();
    let named = std::env::var_os("SHOPCTL_K3S_BINARY").map(PathBuf::from);
    let cached = std::fs::read_dir(cache.join("k3s")).ok();
    let mut cached = cached.into_iter().flatten().flatten();
    if !named.is_some_and(|file| file.is_file())
        && !cached.any(|version| version.path().join("k3s").is_file())
    {
        return Some("there is no k3s in the cache, and SHOPCTL_K3S_BINARY names none".to_owned());
    }
    None
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cache")))
        .unwrap_or_default()
        .join("shopctl")
}

#[test]
fn bare_hosts_become_a_proved_shop_and_are_as_before_after_it() {
    if let Some(reason) = lacks() {
        skipped::say_skipped(&reason);
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(project.join("lab/e2e"))
        .arg("short")
        .env("SHOPCTL", env!("CARGO_BIN_EXE_shopctl"))
        .env_remove("SHOPCTL_E2E_LAB")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // A program that it needs, and that nobody here has.
    if output.status.code() == Some(3) {
        skipped::say_skipped(&said);
        return;
    }
    assert!(
        output.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&output.stdout),
    );
}
