//! The failover drill, by the real binary on a real shop.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "local_target/shop.rs"]
#[expect(
    dead_code,
    reason = "the tests of the local target use more of it than these"
)]
mod shop;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use shop::TestShop;

/// One order process is killed under the recorder's own load; a busy machine is given time.
const PROFILE: &str = "drillProfiles:\n  default: { vus: 0, ordersPerSecond: 40, steady: 3s, deadline: 1m }\n\
                       objectives:\n  drills: { serviceOrderGap: 20s }\n";

fn write_environment(shop: &TestShop) {
    shop.write_environment("");
    let mut text = std::fs::read_to_string(shop.environment()).unwrap();
    text.push_str(PROFILE);
    std::fs::write(shop.environment(), text).unwrap();
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The one report in a folder of reports.
fn report_in(reports: &Path) -> PathBuf {
    let environment = reports.read_dir().unwrap().next().unwrap().unwrap().path();
    environment
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
}

fn pids(shop: &TestShop) -> Vec<(String, i64)> {
    let status = json(&shop.command(&["status", "-o", "json"]).output().unwrap());
    let instances = status["instances"].as_array().unwrap();
    instances
        .iter()
        .map(|row| {
            let name = row["instance"].as_str().unwrap().to_owned();
            (name, row["pid"].as_i64().unwrap_or(0))
        })
        .collect()
}

/// One shop for all, because it takes longer to bring up than to use.
#[test]
fn a_killed_process_is_proved_to_have_cost_nothing_and_the_proof_can_be_checked() {
    let shop = TestShop::new();
    write_environment(&shop);
    let up = shop.command(&["up", "--no-smoke"]).output().unwrap();
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    let before = pids(&shop);
    let reports = tempfile::tempdir().unwrap();
    let folder = reports.path().to_str().unwrap();
    let drill = [
        "failover-drill",
        "order",
        "--seed",
        "7",
        "--reports-dir",
        folder,
        "-o",
        "json",
    ];
    let output = shop.command(&drill).output().unwrap();
    let report = json(&output);
    // How fast this machine is, is not tested; what must be true is.
    for check in report["runs"][0]["judgement"]["checks"].as_array().unwrap() {
        assert_eq!(check["verdict"], "pass", "{check:#}");
    }
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{:#}",
        report["reasons"]
    );
    let fault = &report["runs"][0]["faults"][0];
    assert_eq!(
        (fault["kind"].as_str(), fault["confirmed"].as_bool()),
        (Some("kill"), Some(true))
    );
    let victim = fault["instance"].as_str().unwrap();
    let pid = |of: &[(String, i64)]| of.iter().find(|(name, _)| name == victim).unwrap().1;
    assert!(
        fault["process"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{}@", pid(&before)))
    );
    assert_ne!(pid(&pids(&shop)), pid(&before), "{victim} was not replaced");

    verify_notices_what_is_changed(&shop, reports.path());
    a_stopped_process_goes_on_after_healing(&shop);
    a_shop_that_is_down_is_left_alone(&shop, folder);
}

fn verify_notices_what_is_changed(shop: &TestShop, reports: &Path) {
    let path = report_in(reports);
    let verify = || {
        let arguments = ["report", "verify", path.to_str().unwrap(), "-o", "json"];
        shop.command(&arguments).output().unwrap()
    };
    let whole = verify();
    assert_eq!(json(&whole)["verdict"], "pass", "{:#}", json(&whole));
    let history = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with(".jsonl.zst"))
        .unwrap();
    // An order is taken out of the history, as if it had been lost: the sums and the verdict both tell.
    let text = zstd::decode_all(std::fs::File::open(&history).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut dropped = false;
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| {
            let drop = !dropped && line.starts_with("{\"record\":\"order\"");
            dropped |= drop;
            !drop
        })
        .collect();
    assert!(dropped);
    std::fs::write(
        &history,
        zstd::encode_all(kept.join("\n").as_bytes(), 3).unwrap(),
    )
    .unwrap();
    let spoiled = verify();
    assert_eq!(spoiled.status.code(), Some(1));
    let told = json(&spoiled).to_string();
    assert!(
        told.contains("changed") && told.contains("violations"),
        "{told}"
    );
}

fn a_stopped_process_goes_on_after_healing(shop: &TestShop) {
    let (_, pid) = pids(shop)
        .into_iter()
        .find(|(name, _)| name == "echo-0")
        .unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let healed = shop
        .command(&["failover-drill", "--heal"])
        .output()
        .unwrap();
    assert!(
        healed.status.success(),
        "{}",
        String::from_utf8_lossy(&healed.stderr)
    );
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(!state.contains(") T "), "{state}");
}

fn a_shop_that_is_down_is_left_alone(shop: &TestShop, folder: &str) {
    let down = shop.command(&["down"]).output().unwrap();
    assert!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    let arguments = ["failover-drill", "order", "--reports-dir", folder];
    let output = shop.command(&arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was broken"), "{said}");
}
