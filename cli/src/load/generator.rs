//! k6 as a process: what it is started with, what it writes, and how it is stopped.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::fs::{CWD, FileType, Mode};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, Command};

use super::csv::SYSTEM_TAGS;
use super::error::LoadError;
use super::plan::LoadPlan;
use crate::shop::Shop;

/// k6 writes in bursts, and must not wait for us in between.
const PIPE_BYTES: usize = 1 << 20;
/// How long k6 may take to read a script.
const INSPECTION: Duration = Duration::from_secs(30);
/// What k6 gives requests under way at the end, unless a script says otherwise.
const GRACEFUL_STOP: Duration = Duration::from_secs(30);
/// How long a script may take that does not say how long it takes.
const LONGEST: Duration = Duration::from_hours(24);
/// How many different things that k6 says are kept.
const MOST_SAID: usize = 20;

/// The names of files in the working folder.
const MEASUREMENTS: &str = "measurements.csv";
const CONSOLE: &str = "console.log";
/// What k6 sums up at its end.
pub(super) const SUMMARY: &str = "summary.json";

/// How k6 finds the shop.
#[derive(Clone, Copy, Debug)]
pub struct WayIn<'a> {
    /// Its URL, as its customers know it.
    pub url: &'a str,
    /// The name in the URL and where that is, for one that no resolver knows.
    pub at: Option<(&'a str, SocketAddr)>,
}

impl<'a> WayIn<'a> {
    /// To a shop whose URL says where it is.
    pub fn direct(shop: &'a Shop) -> Self {
        Self {
            url: shop.url(),
            at: None,
        }
    }
}

/// What k6 is started with.
pub(super) struct Start<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// The script.
    pub(super) script: &'a Path,
    /// A folder that only this test uses.
    pub(super) folder: &'a Path,
    /// What is asked for.
    pub(super) plan: &'a LoadPlan,
    /// Where the shop is.
    pub(super) way: WayIn<'a>,
}

/// What a load will be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// How long it lasts at most.
    pub(super) lasts: Duration,
    /// How many users there are at most.
    pub(super) vus: u32,
}

/// A k6 that runs.
pub(super) struct Generator {
    /// The process.
    pub(super) process: GeneratorProcess,
    /// What was measured, as CSV.
    pub(super) measurements: PipeLines,
    /// What the script says.
    pub(super) console: PipeLines,
}

/// The process of a k6 that runs.
pub(super) struct GeneratorProcess {
    child: Child,
    pid: i32,
    stderr: Lines<BufReader<ChildStderr>>,
    said: Said,
}

/// What k6 said, each thing once and how often.
#[derive(Debug, Default)]
pub(super) struct Said(BTreeMap<String, u64>, Vec<String>);

impl Said {
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if let Some(count) = self.0.get_mut(line) {
            *count += 1;
        } else if self.1.len() < MOST_SAID {
            self.0.insert(line.to_owned(), 1);
            self.1.push(line.to_owned());
        }
    }

    /// The lines in the order in which they came first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.1
            .iter()
            .map(|line| match self.0.get(line) {
                Some(1) | None => line.clone(),
                Some(times) => format!("{line} ({times} times)"),
            })
            .collect()
    }
}

impl Start<'_> {
    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(verb);
        // Variables of the user's own would change what is measured: a `K6_VUS` wins over the script.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("K6_") {
                command.env_remove(name);
            }
        }
        if let Some((name, address)) = self.way.at {
            command
                .env("SHOP_NAME", name)
                .env("SHOP_ADDRESS", address.to_string());
        }
        command
            // `inspect` would leave them out.
            .arg("--include-system-env-vars")
            .env("SHOP_URL", self.way.url)
            .env("SHOP_DATA", self.folder.join(super::script::DATA))
            .env("K6_CSV_TIME_FORMAT", "unix_milli")
            .env("K6_CSV_SAVE_INTERVAL", "200ms")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Lets k6 read the script without running it.
    pub(super) async fn inspect(&self) -> Result<Expected, LoadError> {
        let mut command =
            self.command(&["inspect", "--execution-requirements", "--log-format=raw"]);
        command
            .arg(self.script)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        end_with_us(&mut command);
        let refused = |said| LoadError::Refused {
            script: self.script.to_owned(),
            said,
        };
        let output = tokio::time::timeout(INSPECTION, command.output())
            .await
            .map_err(|_| {
                let seconds = INSPECTION.as_secs();
                refused(vec![format!(
                    "it was not read within {seconds} s: what stands outside of functions must end"
                )])
            })?
            .map_err(|source| self.not_started(source))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(refused(
                said.lines()
                    .map(|line| line.trim_end().to_owned())
                    .filter(|line| !line.is_empty())
                    .collect(),
            ));
        }
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let plan = self.plan;
        let said = told["totalDuration"].as_str().and_then(duration);
        // k6 does not let itself be told here what the command line says.
        let wished = plan
            .duration_wished
            .then(|| plan.profile.duration.to_std() + GRACEFUL_STOP);
        let said_vus = told["maxVUs"]
            .as_u64()
            .and_then(|vus| u32::try_from(vus).ok());
        Ok(Expected {
            lasts: said.max(wished).unwrap_or(LONGEST),
            vus: match said_vus {
                Some(vus) if !plan.vus_wished => vus,
                _ => plan.profile.vus,
            },
        })
    }

    fn not_started(&self, source: io::Error) -> LoadError {
        LoadError::Start {
            path: self.program.to_owned(),
            source,
        }
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<Generator, LoadError> {
        let measurements = PipeLines::make(self.folder.join(MEASUREMENTS))?;
        let console = PipeLines::make(self.folder.join(CONSOLE))?;
        let mut command = self.command(&["run", "--quiet", "--no-usage-report", "--address="]);
        command
            .arg("--system-tags")
            .arg(SYSTEM_TAGS)
            .arg("--log-format=raw")
            .arg("--console-output")
            .arg(&console.path)
            // In a variable: behind `csv=` a path with another `=` would be taken for options.
            .env("K6_CSV_FILENAME", &measurements.path)
            .args(["--out", "csv"]);
        if self.plan.script.is_some() {
            let profile = &self.plan.profile;
            command
                .arg("--summary-export")
                .arg(self.folder.join(SUMMARY));
            if self.plan.vus_wished {
                command.arg("--vus").arg(profile.vus.to_string());
            }
            if self.plan.duration_wished {
                command.arg("--duration").arg(profile.duration.to_string());
            }
        } else {
            command.current_dir(self.folder);
        }
        command
            .arg(self.script)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C on a terminal reaches shopctl alone, which then stops k6 in good order.
            .process_group(0);
        end_with_us(&mut command);
        let mut child = command.spawn().map_err(|source| self.not_started(source))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let (Some(pid), Some(stderr)) = (pid, child.stderr.take()) else {
            return Err(self.not_started(io::Error::other("it ended at once")));
        };
        Ok(Generator {
            process: GeneratorProcess {
                child,
                pid,
                stderr: BufReader::new(stderr).lines(),
                said: Said::default(),
            },
            measurements,
            console,
        })
    }
}

/// A load that nobody measures any more must end: k6 is told to stop when shopctl dies, however it dies.
#[allow(
    unsafe_code,
    reason = "what a child does before exec can only be given this way"
)]
fn end_with_us(command: &mut Command) {
    // SAFETY: it makes one system call, and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?));
    }
}

impl GeneratorProcess {
    /// Its process.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end, and takes notice of what it says meanwhile. May be dropped and asked again.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                biased;
                line = self.stderr.next_line() => match line {
                    Ok(Some(line)) => self.said.line(&line),
                    // It has closed its stderr: nothing more is said before its end.
                    _ => return self.child.wait().await,
                },
                status = self.child.wait() => {
                    let status = status?;
                    while let Ok(Ok(Some(line))) =
                        tokio::time::timeout(Duration::from_millis(100), self.stderr.next_line()).await
                    {
                        self.said.line(&line);
                    }
                    return Ok(status);
                }
            }
        }
    }

    /// What it said.
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// Asks it to stop: requests under way are given up, and the end is summed up as usual.
    pub(super) fn stop(&self) {
        // When it has ended already there is nobody to ask.
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGINT);
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}

/// The lines that come out of a named pipe.
pub(super) struct PipeLines {
    path: PathBuf,
    receiver: pipe::Receiver,
    pending: Vec<u8>,
}

impl PipeLines {
    fn make(path: PathBuf) -> Result<Self, LoadError> {
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(|error| LoadError::file("make the pipe", &path)(error.into()))?;
        // Opened for writing too: without a writer of our own it would be at its end before k6 comes.
        let receiver = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path)
            .map_err(LoadError::file("open the pipe", &path))?;
        // A smaller one works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&receiver, PIPE_BYTES);
        Ok(Self {
            path,
            receiver,
            pending: Vec::new(),
        })
    }

    /// Waits for something to be written and gives the lines that are complete. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> io::Result<Vec<String>> {
        let mut part = Vec::with_capacity(PIPE_BYTES / 4);
        self.receiver.read_buf(&mut part).await?;
        self.pending.extend_from_slice(&part);
        Ok(self.complete())
    }

    /// What is left when its writer has ended.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let mut part = vec![0; PIPE_BYTES / 4];
        while let Ok(read @ 1..) = self.receiver.try_read(&mut part) {
            self.pending.extend_from_slice(&part[..read]);
        }
        self.complete()
    }

    fn complete(&mut self) -> Vec<String> {
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.pending.split_off(end + 1);
        let whole = std::mem::replace(&mut self.pending, rest);
        String::from_utf8_lossy(&whole)
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// A folder that only this user can look into.
pub(super) fn private_folder(path: &Path) -> Result<(), LoadError> {
    std::fs::create_dir_all(path).map_err(LoadError::file("make", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(LoadError::file("close", path))
}

/// A duration as Go writes it: `1h0m30s`, `1m30.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_ends);
        let unit_ends = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        let seconds = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    (total > 0.0).then(|| Duration::from_secs_f64(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_k6_writes_them() {
        assert_eq!(duration("1h0m30s"), Some(Duration::from_secs(3_630)));
        assert_eq!(duration("1m1.5s"), Some(Duration::from_millis(61_500)));
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("soon"), None);
        assert_eq!(duration(""), None);
    }

    #[test]
    fn what_k6_says_again_and_again_is_kept_once_with_how_often() {
        let mut said = Said::default();
        for line in ["b failed", "a failed", "b failed", " "] {
            said.line(line);
        }
        assert_eq!(said.lines(), ["b failed (2 times)", "a failed"]);
        for number in 0..100 {
            said.line(&format!("line {number}"));
        }
        assert_eq!(said.lines().len(), MOST_SAID);
    }
}
