//! What the supervisor is asked to run: plain data, made by the target, kept in `desired.json` and in each process's
//! record.
//!
//! Nothing here knows components by name, and nothing here holds a secret: probes that need a password are told the
//! file that has it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::SupervisorError;

/// One process that is to run, and how to know that it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceSpec {
    /// Its name, unique in a state folder and the name of its folder: `redis-0`.
    pub name: String,
    /// The component that it is a replica of: `redis`.
    pub component: String,
    /// Which replica it is, from 0.
    pub ordinal: u32,
    /// The program, as an absolute path, and its arguments. No secret may stand here: everybody can read it.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited from the supervisor.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The folder that it starts in.
    pub working_dir: PathBuf,
    /// The user to run as. Only root can give one; none means the supervisor's own.
    #[serde(default)]
    pub user: Option<RunAs>,
    /// The file that takes its stdout and stderr; rotated by the supervisor.
    pub log: PathBuf,
    /// Where it can be reached, for people and for `status`.
    pub address: String,
    /// How to know that it is well. Without one it is well as long as it lives.
    #[serde(default)]
    pub probe: Option<ProbeSpec>,
    /// How it is asked to end.
    pub stop: StopSpec,
    /// How soon it is started again when it died.
    #[serde(default)]
    pub restart: RestartSpec,
    /// Digest over all that matters to the process, its rendered files included. A process whose digest differs from
    /// the wanted one is replaced.
    pub spec_hash: String,
}

/// The user and group that an instance runs as; it has no other groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// How often a process is asked how it is, and when it counts as hung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeSpec {
    /// What is asked.
    pub check: ProbeCheck,
    /// Pause between two probes of a ready process. One that starts is asked more often.
    pub interval_milliseconds: u64,
    /// After this long without an answer a probe has failed.
    pub timeout_milliseconds: u64,
    /// So many failed probes in a row are a hang: the process is killed and started again.
    pub failures: u32,
    /// A process that has not answered at all by then is killed and started again.
    pub start_seconds: u64,
}

/// A question to a process, and what counts as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ProbeCheck {
    /// `GET`: 2xx is ready, any other status is alive but not ready.
    Http {
        /// `host:port`.
        address: String,
        /// Path, from the slash.
        path: String,
    },
    /// A connection that is accepted. Tells little: the kernel accepts for a process that hangs.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// `ROLE` of Redis or Sentinel.
    Redis {
        /// `host:port`.
        address: String,
        /// ACL user.
        #[serde(default)]
        user: Option<String>,
        /// The file with its password.
        #[serde(default)]
        password_file: Option<PathBuf>,
    },
    /// A start packet that the postmaster answers; the role by a query as a user, where one is given.
    Postgres {
        /// A host name or address, or the folder of the unix socket.
        host: String,
        /// Port.
        port: u16,
        /// Database to ask for.
        database: String,
        /// User to ask as.
        user: String,
        /// The file with its password. Without one the role stays unknown.
        #[serde(default)]
        password_file: Option<PathBuf>,
    },
    /// A command with the instance's user, folder and environment: exit code 0 is ready.
    Exec {
        /// The program, as an absolute path, and its arguments.
        command: Vec<String>,
    },
}

/// How a process is asked to end, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopSpec {
    /// Sent to the process itself, which ends its own children.
    pub signal: StopSignal,
    /// Then its whole process group is killed.
    pub timeout_seconds: u64,
}

/// The signals that ask a server to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// The usual one.
    Term,
    /// Postgres: fast shutdown.
    Int,
    /// Servers that drain on it.
    Quit,
}

/// Pauses between restarts: doubled from the first to the longest, and back to the first after a while of being well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartSpec {
    /// The first pause.
    pub initial_milliseconds: u64,
    /// The longest pause.
    pub maximum_milliseconds: u64,
}

impl Default for RestartSpec {
    fn default() -> Self {
        Self {
            initial_milliseconds: 200,
            maximum_milliseconds: 10_000,
        }
    }
}

impl ProbeSpec {
    /// Pause between two probes of a ready process.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_milliseconds.max(1))
    }

    /// How long a probe waits for its answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_milliseconds.max(1))
    }

    /// How long a process has to give its first answer.
    pub fn start_deadline(&self) -> Duration {
        Duration::from_secs(self.start_seconds)
    }
}

impl StopSpec {
    /// How long a process has to end after the signal.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

impl InstanceSpec {
    /// Refuses what could not be run or would be unsafe to run.
    pub fn check(&self) -> Result<(), SupervisorError> {
        let refuse = |reason: String| {
            Err(SupervisorError::Unacceptable {
                instance: self.name.clone(),
                reason,
            })
        };
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return refuse("its name is not made of letters, digits, `-`, `_` and `.`".to_owned());
        }
        match self.argv.first() {
            None => return refuse("it has no program".to_owned()),
            Some(program) if !program.starts_with('/') => {
                return refuse(format!("its program `{program}` is not an absolute path"));
            }
            Some(_) => {}
        }
        if let Some(ProbeSpec {
            check: ProbeCheck::Exec { command },
            ..
        }) = &self.probe
            && !command
                .first()
                .is_some_and(|program| program.starts_with('/'))
        {
            return refuse("its probe's command is not an absolute path".to_owned());
        }
        if let Some(text) = self
            .argv
            .iter()
            .chain(self.environment.keys())
            .chain(self.environment.values())
            .find(|text| text.contains('\0'))
        {
            return refuse(format!("`{}` has a NUL byte", text.escape_debug()));
        }
        if !self.log.is_absolute() || !self.working_dir.is_absolute() {
            return refuse("its log and its working folder must be absolute paths".to_owned());
        }
        Ok(())
    }
}
