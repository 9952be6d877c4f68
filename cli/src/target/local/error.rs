//! What can go wrong on this machine.

use std::io;
use std::path::{Path, PathBuf};

use crate::supervisor::{SupervisorError, WaitError};

/// What went wrong on this machine, with its object.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No folder for state could be found for this user.
    #[error("failed to choose a state folder: neither XDG_STATE_HOME nor HOME is set")]
    NoHome,
    /// The folder is somebody else's or something else.
    #[error("failed to use {} as {purpose}: {reason}", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// What it was to be.
        purpose: &'static str,
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A file or folder could not be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of ours does not hold what we wrote.
    #[error("failed to understand {}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret's file is there and does not hold what it should.
    #[error("failed to read the secret {}: {reason}", path.display())]
    UnusableSecret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret by which running processes recognize each other is gone.
    #[error("failed to find the secret {}: the running instances of {component} recognize each other by it, and nothing was touched", path.display())]
    SharedSecret {
        /// The secret's file.
        path: PathBuf,
        /// The component.
        component: String,
    },
    /// A secret that data know is gone.
    #[error("failed to find the secret {}: the data in {} know it, and nothing was touched", path.display(), data.display())]
    LostSecret {
        /// The secret's file.
        path: PathBuf,
        /// The data.
        data: PathBuf,
        /// How to set another one by hand.
        reset: String,
    },
    /// Things are missing, taken or wrong, and nothing was touched.
    #[error("failed to begin: {}", first(.0))]
    Unprepared(Vec<super::Problem>),
    /// Templates are wrong, and nothing was touched.
    #[error("failed to render the configuration")]
    Render(Vec<crate::render::RenderError>),
    /// Somebody else is at work on this state folder.
    #[error("failed to lock the state folder {}: {holder} is at work on it", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who, and since when.
        holder: String,
    },
    /// The user that servers run as could not be made or found.
    #[error("failed to make the user {user}: {reason}")]
    User {
        /// The user's name.
        user: String,
        /// Why.
        reason: String,
    },
    /// A program could not be run.
    #[error("failed to run {program}: {reason}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A one-off task failed.
    #[error("failed to run the task {task} of {component}: {reason}")]
    Task {
        /// The component.
        component: String,
        /// The task.
        task: String,
        /// How it ended.
        reason: String,
        /// The end of what it wrote.
        output: Vec<String>,
    },
    /// The catalogue could not be seeded.
    #[error("failed to seed the catalogue: {reason}")]
    Seed {
        /// What came back.
        reason: String,
    },
    /// The user pressed Ctrl-C.
    #[error("failed to finish: stopped by Ctrl-C after the step \"{after}\"")]
    Interrupted {
        /// The last step that was done.
        after: String,
    },
    /// The user pressed Ctrl-C while a step waited.
    #[error("failed to finish: stopped by Ctrl-C in the step \"{step}\", which is not done")]
    InterruptedDuring {
        /// The step.
        step: String,
    },
    /// Instances did not become ready.
    #[error("{error}")]
    NotReady {
        /// Which, and what was seen last.
        error: WaitError,
        /// The ends of their logs.
        logs: Vec<String>,
    },
    /// The supervisor could not be used.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

const PURGE: &str = "or, if the data may go as well: `shopctl down --purge`, then `shopctl up`";

/// What is said first of several problems; the others are causes.
fn first(problems: &[super::Problem]) -> String {
    match problems {
        [only] => only.what.clone(),
        several => format!("{} things are in the way", several.len()),
    }
}

impl LocalError {
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

    /// Whether the supervisor hangs or has gone away, so that another one can be asked the same.
    pub(super) fn is_lost_supervisor(&self) -> bool {
        let (Self::Supervisor(error)
        | Self::NotReady {
            error: WaitError::Supervisor(error),
            ..
        }) = self
        else {
            return false;
        };
        matches!(
            error,
            SupervisorError::TimedOut { .. }
                | SupervisorError::Unreachable { .. }
                | SupervisorError::Protocol(_)
        )
    }

    /// What went wrong in a few words, for the line of a step; the whole of it follows when the command ends.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::NotReady {
                error: WaitError::TimedOut { instances, .. },
                ..
            } => {
                let names: Vec<&str> = instances
                    .iter()
                    .map(|instance| instance.instance.as_str())
                    .collect();
                format!("not ready: {}", names.join(", "))
            }
            Self::InterruptedDuring { .. } => "stopped by Ctrl-C, not done".to_owned(),
            other => other.to_string(),
        }
    }

    /// What to do about it, a sentence each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoHome => vec!["name a folder with `--state-dir`".to_owned()],
            Self::ForeignFolder { hint, .. } => vec![hint.clone()],
            Self::Read { path, source } | Self::Write { path, source } => io_hint(path, source),
            Self::Corrupt { path, .. } => vec![format!(
                "move {} away and run `shopctl up`: what can be made again is made again",
                path.display()
            )],
            Self::UnusableSecret { path, .. } => vec![
                "restore it from a backup".to_owned(),
                format!(
                    "without one: move {} away and run `shopctl up`, which makes another one or says what it was for",
                    path.display()
                ),
            ],
            Self::SharedSecret { .. } => vec![
                "restore the file from a backup, or let another one be made: `shopctl down`, then `shopctl up`"
                    .to_owned(),
            ],
            Self::LostSecret { reset, .. } => vec![
                "restore the file from a backup".to_owned(),
                reset.clone(),
                PURGE.to_owned(),
            ],
            Self::Unprepared(problems) => problems.iter().map(|problem| problem.hint.clone()).collect(),
            Self::Render(errors) => {
                let mut hints: Vec<String> = errors.iter().filter_map(crate::render::RenderError::hint).collect();
                hints.dedup();
                hints
            }
            Self::Locked { .. } => {
                vec!["wait until it has ended, or leave out `--no-wait` to wait for it".to_owned()]
            }
            Self::User { .. } => vec![
                "servers do not run as root; make a system user `shopctl` by hand, or run shopctl as an ordinary user"
                    .to_owned(),
            ],
            Self::Task { output, .. } if !output.is_empty() => {
                vec![format!("it wrote:\n{}", output.join("\n"))]
            }
            Self::Seed { .. } => vec!["`shopctl logs product` shows its side of it".to_owned()],
            Self::Interrupted { .. } | Self::InterruptedDuring { .. } => {
                vec!["`shopctl up` goes on from here".to_owned()]
            }
            Self::NotReady { logs, .. } => logs.clone(),
            Self::Supervisor(error) => error.hint().into_iter().collect(),
            Self::Program { .. } | Self::Task { .. } => Vec::new(),
        }
    }
}

fn io_hint(path: &Path, source: &io::Error) -> Vec<String> {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => vec![format!(
            "free some space on the file system of {} and run the command again; nothing was lost",
            path.display()
        )],
        io::ErrorKind::PermissionDenied => vec![
            "this user may not use it: let its owner run the command or change its mode, or choose another \
             `--state-dir`"
                .to_owned(),
        ],
        io::ErrorKind::ReadOnlyFilesystem => {
            vec!["the file system is read-only: choose another folder with `--state-dir`".to_owned()]
        }
        _ => Vec::new(),
    }
}
