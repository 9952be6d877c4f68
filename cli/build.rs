//! Finds the commit that is built, for `--version` and for the check that `shopd` is of the same one.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SHOPCTL_COMMIT");
    // A file that is added to what is compiled in changes none of the sources.
    println!("cargo::rerun-if-changed=../environments");
    println!("cargo::rerun-if-changed=../templates");
    let commit = std::env::var("SHOPCTL_COMMIT").ok().or_else(commit);
    let commit = commit.as_deref().unwrap_or("unknown");
    println!("cargo::rustc-env=SHOPCTL_COMMIT={commit}");
}

fn commit() -> Option<String> {
    // HEAD moves with a checkout, the reflog with every commit.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
