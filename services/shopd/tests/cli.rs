//! The command line of the real binary: what it says, where, and with which exit code.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use snapbox::cmd::{Command, cargo_bin};
use snapbox::str;
use tempfile::TempDir;

const ECHO: &str =
    "instance = 'echo-0'\n[http]\nlisten = '127.0.0.1:0'\nadminListen = '127.0.0.1:0'\n";

fn shopd(arguments: &[&str]) -> Command {
    Command::new(cargo_bin!("shopd")).args(arguments)
}

/// A folder with a configuration in it; commands run inside, so that paths in their output are the same everywhere.
fn folder_with(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(name), text).expect("a file in it");
    folder
}

fn in_folder(folder: &Path, arguments: &[&str]) -> Command {
    shopd(arguments).current_dir(folder)
}

#[test]
fn the_version_names_the_commit() {
    let output = shopd(&["--version"]).output().expect("an output");
    let text = String::from_utf8(output.stdout).expect("text");
    let commit = text
        .strip_prefix("shopd 0.1.0 (")
        .and_then(|rest| rest.strip_suffix(")\n"))
        .unwrap_or_else(|| panic!("{text:?}"));
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown", "{commit:?}");
}

#[test]
fn a_missing_file_is_wrong_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    in_folder(folder.path(), &["echo", "--config", "nowhere.toml"])
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r"
error: failed to read configuration nowhere.toml: No such file or directory (os error 2)

"]]);
}

#[test]
fn a_typing_error_is_named_with_its_place_and_what_would_be_right() {
    let folder = folder_with("echo.toml", &ECHO.replace("adminListen", "adminlisten"));
    in_folder(folder.path(), &["echo", "--config", "echo.toml", "--check-config"])
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r"
error: failed to understand configuration echo.toml:4:1: unknown field `adminlisten`, expected one of `listen`, `adminListen`, `workers`, `drainSeconds` (in `adminlisten = '127.0.0.1:0'`)

"]]);
}

#[test]
fn a_missing_key_is_named() {
    let folder = folder_with("echo.toml", "instance = 'echo-0'\n");
    in_folder(folder.path(), &["echo", "--config", "echo.toml"])
        .assert()
        .code(2)
        .stderr_eq(str![[r"
error: failed to understand configuration echo.toml:1:1: missing field `http` (in `instance = 'echo-0'`)

"]]);
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_place() {
    let folder = folder_with("echo.toml", "[http\nlisten = 1\n");
    let output = in_folder(folder.path(), &["echo", "--config", "echo.toml"])
        .output()
        .expect("output");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.starts_with("error: failed to understand configuration echo.toml:1:"),
        "{message}"
    );
}

#[test]
fn a_good_file_is_called_good_and_nothing_is_started() {
    let folder = folder_with("echo.toml", ECHO);
    in_folder(
        folder.path(),
        &["echo", "--config", "echo.toml", "--check-config"],
    )
    .assert()
    .success()
    .stdout_eq("echo.toml is good for echo\n")
    .stderr_eq("");
}

#[test]
fn values_that_cannot_be_used_are_found_without_starting() {
    let text = format!("{ECHO}[upstreams.echo]\nendpoints = []\n");
    let folder = folder_with("gateway.toml", &text.replace("echo-0", "gateway-0"));
    let arguments = ["gateway", "--config", "gateway.toml", "--check-config"];
    let output = in_folder(folder.path(), &arguments)
        .output()
        .expect("output");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("echo"), "{message}");
    assert!(message.contains("endpoint"), "{message}");
}

#[test]
fn a_filter_that_makes_no_sense_is_wrong_input() {
    let folder = folder_with("echo.toml", &format!("{ECHO}[log]\nlevel = 'loud=very'\n"));
    in_folder(folder.path(), &["echo", "--config", "echo.toml", "--check-config"])
        .assert()
        .code(2)
        .stderr_eq(str![[r#"
error: failed to understand log.level "loud=very": error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5

"#]]);
}

#[test]
fn a_taken_port_is_a_failure_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let folder = folder_with("echo.toml", &ECHO.replacen("127.0.0.1:0", &address, 1));
    let output = in_folder(folder.path(), &["echo", "--config", "echo.toml"])
        .output()
        .expect("output");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let expected = format!(
        "error: failed to run echo: failed to listen on {address} (public API): the port is taken\n"
    );
    assert_eq!(message, expected);
}

#[test]
fn an_unreadable_secret_is_named_and_nothing_is_started() {
    let text = "[postgres]\nhost = '127.0.0.1'\nport = 1\ndatabase = 'shop'\nuser = 'postgres'\n\
                passwordFile = 'superuser.password'\n\
                [auditor]\nname = 'shop_auditor'\npasswordFile = 'auditor.password'\n";
    let folder = folder_with("provision.toml", text);
    in_folder(folder.path(), &["provision", "--config", "provision.toml"])
        .assert()
        .code(1)
        .stderr_eq(str![[r"
error: failed to read the secret for the Postgres superuser from superuser.password: No such file or directory (os error 2)

"]]);
    std::fs::write(folder.path().join("superuser.password"), "\n").expect("an empty secret");
    in_folder(folder.path(), &["provision", "--config", "provision.toml"])
        .assert()
        .code(1)
        .stderr_eq(str![[r"
error: failed to use the secret for the Postgres superuser from superuser.password: the file is empty

"]]);
}
