//! The failover drill, by the real binary on a real shop.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "local_target/shop.rs"]
#[expect(
    dead_code,
    reason = "the tests of the local target use more of it than these"
)]
mod shop;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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
    a_lock_holder_that_comes_back_too_late_does_no_harm(&shop);
    what_somebody_else_kills_meanwhile_is_told(&shop);
    an_interrupted_drill_tells_what_it_saw_and_leaves_nothing(&shop);
    a_drill_that_is_killed_is_healed(&shop);
    a_stopped_process_goes_on_after_healing(&shop);
    a_shop_that_is_down_is_left_alone(&shop, folder);
}

/// A drill under way, and where it keeps what it sees.
struct UnderWay {
    process: std::process::Child,
    reports: tempfile::TempDir,
}

impl UnderWay {
    /// Begins a drill and waits until something is broken.
    fn broken(shop: &TestShop, scenario: &str) -> Self {
        let reports = tempfile::tempdir().unwrap();
        let folder = reports.path().to_str().unwrap();
        let arguments = [
            "failover-drill",
            scenario,
            "--seed",
            "7",
            "--reports-dir",
            folder,
            "-o",
            "json",
        ];
        let process = shop
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let drill = Self { process, reports };
        let deadline = Instant::now() + Duration::from_mins(2);
        while !drill.history().contains("\"record\":\"fault\"") {
            assert!(Instant::now() < deadline, "nothing was broken");
            std::thread::sleep(Duration::from_millis(20));
        }
        drill
    }

    /// What it has written down so far.
    fn history(&self) -> String {
        let files = self.reports.path().read_dir().unwrap();
        files
            .flat_map(|environment| environment.unwrap().path().read_dir().unwrap())
            .filter_map(|report| report.unwrap().path().read_dir().ok())
            .flatten()
            .map(|file| file.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "jsonl")
            })
            .map(|path| std::fs::read_to_string(path).unwrap_or_default())
            .collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }
}

/// The state of every process of an instance, by the kernel's letter.
fn states(shop: &TestShop, instance: &str) -> Vec<char> {
    let (_, pid) = pids(shop)
        .into_iter()
        .find(|(name, _)| name == instance)
        .unwrap();
    let stat = |pid: i64| -> Option<(char, i64)> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        Some((state, fields.next()?.parse().ok()?))
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i64>().ok())
        .filter_map(|other| {
            let (state, parent) = stat(other)?;
            (other == pid || parent == pid).then_some(state)
        })
        .collect()
}

fn check<'a>(report: &'a Value, claim: &str) -> &'a Value {
    let checks = report["runs"][0]["judgement"]["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["claim"].as_str().unwrap().starts_with(claim))
        .unwrap_or_else(|| panic!("nobody looked whether {claim}: {report:#}"))
}

fn a_lock_holder_that_comes_back_too_late_does_no_harm(shop: &TestShop) {
    let drill = UnderWay::broken(shop, "order-hang");
    let output = drill.process.wait_with_output().unwrap();
    let report = json(&output);
    for claim in [
        "a stale lock holder's release does nothing",
        "what a stale lock holder had begun is Postgres's decision",
        "nothing was sold twice",
        "nothing else broke",
    ] {
        assert_eq!(check(&report, claim)["verdict"], "pass", "{report:#}");
    }
    let kinds: Vec<&str> = report["runs"][0]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.first(), Some(&"stop"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"continue"), "{kinds:?}");
}

fn what_somebody_else_kills_meanwhile_is_told(shop: &TestShop) {
    let drill = UnderWay::broken(shop, "product");
    let (_, pid) = pids(shop)
        .into_iter()
        .find(|(name, _)| name == "echo-0")
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    let output = drill.process.wait_with_output().unwrap();
    let report = json(&output);
    let other = check(&report, "nothing else broke");
    assert_eq!(other["verdict"], "unknown", "{report:#}");
    assert!(other["examples"].to_string().contains("echo-0"), "{other}");
    assert_ne!(report["verdict"], "pass");
    assert_ne!(output.status.code(), Some(0));
}

fn an_interrupted_drill_tells_what_it_saw_and_leaves_nothing(shop: &TestShop) {
    let drill = UnderWay::broken(shop, "postgres-hang");
    let stopped = states(shop, "postgres-0");
    assert!(
        stopped.len() > 5 && stopped.iter().all(|state| matches!(state, 'T' | 'Z')),
        "{stopped:?}"
    );
    drill.signal(Signal::SIGINT);
    let output = drill.process.wait_with_output().unwrap();
    let report = json(&output);
    assert_eq!(output.status.code(), Some(5), "{report:#}");
    assert_eq!(report["verdict"], "unknown");
    let faults = report["runs"][0]["faults"].as_array().unwrap();
    assert_eq!(faults.last().unwrap()["kind"], "continue", "{faults:?}");
    assert_eq!(faults.last().unwrap()["confirmed"], true, "{faults:?}");
    assert!(!states(shop, "postgres-0").contains(&'T'));
    let path = report_in(drill.reports.path());
    let arguments = ["report", "verify", path.to_str().unwrap(), "-o", "json"];
    let verified = shop.command(&arguments).output().unwrap();
    assert_eq!(json(&verified)["verdict"], "pass", "{:#}", json(&verified));
    // It took its test data with it.
    let healed = shop.succeed(&["failover-drill", "--heal", "-o", "json"]);
    let healed: Value = serde_json::from_str(&healed.stdout).unwrap();
    assert_eq!(healed["removed"].as_array().unwrap().len(), 0, "{healed}");
}

fn a_drill_that_is_killed_is_healed(shop: &TestShop) {
    let mut drill = UnderWay::broken(shop, "postgres-hang");
    drill.signal(Signal::SIGKILL);
    drill.process.wait().unwrap();
    assert!(states(shop, "postgres-0").contains(&'T'));
    let healed = shop.succeed(&["failover-drill", "--heal", "-o", "json"]);
    let healed: Value = serde_json::from_str(&healed.stdout).unwrap();
    assert_eq!(healed["continued"], serde_json::json!(["postgres-0"]));
    assert_eq!(healed["removed"].as_array().unwrap().len(), 1, "{healed}");
    assert!(!states(shop, "postgres-0").contains(&'T'));

    // `up` undoes it as well.
    let mut drill = UnderWay::broken(shop, "postgres-hang");
    drill.signal(Signal::SIGKILL);
    drill.process.wait().unwrap();
    let up = shop.succeed(&["up", "--no-smoke"]);
    assert!(
        up.stderr.contains("postgres-0 was stopped"),
        "{}",
        up.stderr
    );
    assert!(!states(shop, "postgres-0").contains(&'T'));
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
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
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
