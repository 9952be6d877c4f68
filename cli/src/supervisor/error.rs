//! What can go wrong in the supervisor and in talking to it.
//!
//! Messages finish "failed to …"; what to do about it is [`SupervisorError::hint`], so that the caller can print it
//! on a line of its own.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failed operation of the supervisor or of its client, with its object.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// Another supervisor holds the state folder's lock.
    #[error("failed to lock {}: supervisor {} already serves this state folder", path.display(), holder.map_or_else(|| "of unknown pid".to_owned(), |pid| format!("pid {pid}")))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The pid written in it, if it could be read.
        holder: Option<i32>,
    },
    /// A file of the state folder could not be read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder of the state folder could not be written.
    #[error("failed to write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A state file is not what the supervisor wrote.
    #[error("failed to understand {}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and why it does not parse.
        reason: String,
    },
    /// A state file was written by a newer shopctl.
    #[error("failed to understand {}: it has format {found}, this shopctl knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it names.
        found: u32,
        /// The newest format understood here.
        known: u32,
    },
    /// A specification cannot be run as it stands.
    #[error("failed to accept instance {instance}: {reason}")]
    Unacceptable {
        /// The instance's name.
        instance: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that no specification has.
    #[error("failed to find instance {0}")]
    UnknownInstance(String),
    /// The socket's path does not fit into the kernel's address structure.
    #[error("failed to make the control socket {}: its path has {length} bytes and the system allows {maximum}", path.display())]
    SocketPath {
        /// The socket.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// What `sockaddr_un` takes.
        maximum: usize,
    },
    /// The control socket could not be made.
    #[error("failed to listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing answers on the control socket.
    #[error("failed to reach the supervisor at {}: {source}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor did not answer in time.
    #[error("failed to get an answer from the supervisor to `{request}` within {seconds} s")]
    TimedOut {
        /// The request's name.
        request: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The supervisor answered with an error.
    #[error("{message}")]
    Refused {
        /// What it said.
        message: String,
        /// What it advised.
        hint: Option<String>,
    },
    /// What came over the socket is not the protocol.
    #[error("failed to understand the supervisor's answer: {0}")]
    Protocol(String),
    /// The supervisor could not be started.
    #[error("failed to start the supervisor: {reason}")]
    Launch {
        /// Why.
        reason: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// A process could not be started.
    #[error("failed to start {program}: {reason}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The system refused something that has no file.
    #[error("failed to {action}: {source}")]
    System {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl SupervisorError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether nothing listens on the control socket, as opposed to a supervisor that answers badly.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => Some(
                "one supervisor serves a state folder; `shopctl status` shows what it runs"
                    .to_owned(),
            ),
            Self::Read { source, path } | Self::Write { source, path } => io_hint(source, path),
            Self::Corrupt { path, .. } => Some(format!(
                "move {} away and run `shopctl up`: it is written again from the environment file, and processes that \
                 still live are found by their own records",
                path.display()
            )),
            Self::Newer { .. } => Some("use the shopctl that wrote it, or a newer one".to_owned()),
            Self::SocketPath { .. } => {
                Some("choose a shorter folder with `--state-dir`".to_owned())
            }
            Self::Unreachable { .. } => Some(
                "no supervisor runs; `shopctl up` starts one that takes over what still lives"
                    .to_owned(),
            ),
            Self::TimedOut { .. } => Some(
                "`shopctl up` replaces a supervisor that hangs: what it watches lives on and is taken over; \
                 supervisor.log in the state folder says what it did last"
                    .to_owned(),
            ),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Launch { log, .. } if !log.is_empty() => {
                Some(format!("the end of its log:\n{}", log.join("\n")))
            }
            _ => None,
        }
    }
}

/// The hint of an input or output error that people meet.
fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
            "free some space on the file system of {} and run the command again; nothing was lost",
            path.display()
        )),
        io::ErrorKind::PermissionDenied => Some(
            "the state folder belongs to another user; use that user or another `--state-dir`"
                .to_owned(),
        ),
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "the file system is read-only; choose another folder with `--state-dir`".to_owned(),
        ),
        _ => None,
    }
}
