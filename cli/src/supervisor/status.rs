//! What the supervisor sees: plain data for `status`, for waiting and for drills.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The supervisor and its instances at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupervisorStatus {
    /// The supervisor's pid.
    pub pid: i32,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// The commit that it was built from.
    pub commit: String,
    /// The instances, in the order in which they were given.
    pub instances: Vec<InstanceStatus>,
    /// A replacement of changed instances that goes on or that stopped half-way.
    #[serde(default)]
    pub rollout: Option<Rollout>,
}

/// One instance at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The component that it is a replica of.
    pub component: String,
    /// Its name.
    pub instance: String,
    /// What it said that it is: `master`, `replica`, `sentinel`, `primary`. Unknown until it has answered.
    pub role: Option<String>,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Whether its last answer said that it can serve. A running process may be alive but not ready.
    pub ready: bool,
    /// Where it can be reached.
    pub address: String,
    /// Its process, if there is one.
    pub pid: Option<i32>,
    /// How often it was started again because it died or hung. Replacements that were asked for do not count.
    pub restarts: u64,
    /// When its process started, or since when there is none.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Digest of the specification that its process was started with.
    #[serde(default)]
    pub spec_hash: Option<String>,
    /// How the process before ended.
    #[serde(default)]
    pub last_exit: Option<Exit>,
    /// What the last probe brought.
    #[serde(default)]
    pub last_probe: Option<ProbeReport>,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It has a process that has been ready.
    Running,
    /// It has a process that has not been ready yet.
    Starting,
    /// It should have a process and has none; it is tried again after a pause.
    Failed,
    /// It has no process, as wanted.
    Stopped,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Its pid; none if it could not be started.
    pub pid: Option<i32>,
    /// Its exit code, if it had one and it could be seen. A process that was adopted has another parent: then
    /// neither code nor signal is known.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Why the supervisor ended it, if it did, or why it could not be started.
    pub reason: Option<String>,
}

/// What a probe brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeReport {
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How it ended.
    pub outcome: ProbeOutcome,
    /// What the process said, or what failed.
    pub detail: Option<String>,
    /// Failed probes in a row.
    pub failures: u32,
}

/// The three ways in which a probe ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeOutcome {
    /// It can serve.
    Ready,
    /// It answered that it cannot serve now. Alive: never a reason to kill it.
    Alive,
    /// It did not answer.
    Silent,
}

/// The replacement of changed instances, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Whether it goes on.
    pub state: RolloutState,
    /// The instance that is being replaced, or at which it stopped.
    pub instance: String,
    /// Those that still run with the specification before.
    pub waiting: Vec<String>,
    /// Why it stopped.
    pub reason: Option<String>,
}

/// Whether a replacement goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutState {
    /// It goes on.
    Replacing,
    /// An instance did not become ready; the others were left as they are.
    Stopped,
}

/// What `apply` sets in motion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// New or stopped instances that are started.
    pub started: Vec<String>,
    /// Changed instances that are replaced one after the other; `status` shows how far it is.
    pub replacing: Vec<String>,
    /// Instances that are left as they are.
    pub unchanged: Vec<String>,
    /// Instances that were not named and are stopped.
    pub stopping: Vec<String>,
}

impl InstanceStatus {
    /// The last that was heard of it: for a process that lives its probe, else how the one before ended.
    pub fn last_word(&self) -> String {
        let probe = self
            .last_probe
            .as_ref()
            .and_then(|probe| probe.detail.clone());
        let exit = self.last_exit.as_ref().map(Exit::to_string);
        let word = if self.pid.is_some() {
            probe.or(exit)
        } else {
            exit.or(probe)
        };
        word.unwrap_or_else(|| "nothing was heard of it yet".to_owned())
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.reason, self.code, self.signal) {
            (Some(reason), ..) => formatter.write_str(reason),
            (None, Some(code), _) => {
                write!(formatter, "its last process ended with exit code {code}")
            }
            (None, None, Some(signal)) => {
                write!(formatter, "its last process was ended by signal {signal}")
            }
            (None, None, None) => {
                formatter.write_str("its last process ended while another supervisor watched")
            }
        }
    }
}

impl Applied {
    /// Whether anything is set in motion.
    pub fn is_empty(&self) -> bool {
        self.started.is_empty() && self.replacing.is_empty() && self.stopping.is_empty()
    }
}
