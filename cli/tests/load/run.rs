//! A load test as the tests run it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use super::shop::TestShop;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Objectives that any machine meets: what is tested is whether they are judged, not how fast this machine is.
const EASY: &str = "minimumRequestsPerSecond: 10, p50: 5s, p95: 10s, p99: 20s";

/// Adds to the environment file what a load is held to, and profiles that end soon.
pub(crate) fn write_environment(shop: &TestShop, objectives: &str) {
    shop.write_environment("");
    let mut text = std::fs::read_to_string(shop.environment()).unwrap();
    let more = format!(
        "objectives:\n  load: {{ {objectives} }}\n\
         loadProfiles:\n  \
           browse: {{ vus: 50, duration: 5s, thinkTime: 200ms, loginsPerSecond: 1 }}\n  \
           flash-sale: {{ vus: 60, duration: 4s, stock: 20, thinkTime: 200ms }}\n",
    );
    text.push_str(&more);
    std::fs::write(shop.environment(), text).unwrap();
}

pub(crate) fn write_easy_environment(shop: &TestShop) {
    write_environment(shop, EASY);
}

/// A load test that ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) stderr: String,
}

impl Ended {
    /// Fails unless it ended with this code.
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n{:#}\n{:#}",
            self.stderr,
            self.report["reasons"],
            self.report["generator"]
        );
        self
    }

    /// The reasons in one text.
    pub(crate) fn reasons(&self) -> String {
        self.report["reasons"].to_string()
    }

    /// The accounting's checks that do not agree.
    pub(crate) fn disagreeing(&self) -> Vec<String> {
        self.report["accounting"]["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["verdict"] != "pass")
            .map(ToString::to_string)
            .collect()
    }

    pub(crate) fn number(&self, pointer: &str) -> f64 {
        self.report
            .pointer(pointer)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("no number at {pointer}"))
    }
}

/// A load test that runs.
pub(crate) struct Running {
    child: Child,
    stderr: std::thread::JoinHandle<String>,
    said: std::sync::mpsc::Receiver<String>,
}

impl Running {
    /// Begins one; the answer is JSON.
    pub(crate) fn begin(shop: &TestShop, arguments: &[&str]) -> Self {
        let mut child = shop
            .command(&["loadtest", "-o", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (teller, said) = std::sync::mpsc::channel();
        let stderr = std::thread::spawn(move || {
            let mut all = String::new();
            for line in lines.map_while(Result::ok) {
                all.push_str(&line);
                all.push('\n');
                // Nobody may be interested.
                let _ = teller.send(line);
            }
            all
        });
        Self {
            child,
            stderr,
            said,
        }
    }

    /// Waits until it says something like this.
    pub(crate) fn until_it_says(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self
                .said
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("it did not say {part:?}"));
            if line.contains(part) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn ended(self) -> Ended {
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Ended {
            code: output.status.code(),
            report: serde_json::from_str(&text).unwrap_or(Value::Null),
            stderr: self.stderr.join().unwrap(),
        }
    }
}

/// Runs one to its end.
pub(crate) fn load(shop: &TestShop, arguments: &[&str]) -> Ended {
    Running::begin(shop, arguments).ended()
}

/// The folders of reports.
pub(crate) fn reports(shop: &TestShop) -> Vec<PathBuf> {
    folders(&shop.project().join("reports/test"))
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = parent
        .read_dir()
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    folders.sort();
    folders
}
