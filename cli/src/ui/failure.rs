//! What a failed command tells its user, and the exit codes.

use std::error::Error;

use super::diagnostics;
use crate::document::Invalid;

/// The exit codes. They are documented and do not change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// All went well.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line or a file that the user wrote is wrong; nothing was touched.
    Usage = 2,
    /// Something that must be there first is missing; nothing was touched.
    Missing = 3,
    /// Changes are pending (of a command that only shows them).
    Pending = 4,
    /// It is not known: what was asked could not really be measured.
    Unknown = 5,
}

/// A failed command: what, why, and what to do about it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What failed: lower case, no full stop.
    pub message: String,
    /// Why, from the nearest cause to the first.
    pub causes: Vec<String>,
    /// What to do about it, a sentence each.
    pub hints: Vec<String>,
    /// How the process ends.
    pub exit: ExitCode,
    /// What is shown before the message: problems in their files.
    pub(super) details: String,
    silent: bool,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            exit: ExitCode::Failed,
            details: String::new(),
            silent: false,
        }
    }

    /// A failure of an error and its sources.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }

    /// Files that the user wrote are wrong: all their problems, with exit code 2.
    pub fn of_files(files: &[Invalid]) -> Self {
        let problems: usize = files.iter().map(|file| file.problems.len()).sum();
        let plural = if problems == 1 { "" } else { "s" };
        let place = match files {
            [file] => file.file.clone(),
            files => format!("{} files", files.len()),
        };
        Self {
            details: files.iter().map(diagnostics::render).collect(),
            ..Self::new(format!(
                "{problems} problem{plural} in {place}; nothing was touched"
            ))
        }
        .exit(ExitCode::Usage)
    }

    /// Nobody reads our answer any more: end without a word.
    pub fn reader_gone() -> Self {
        Self {
            exit: ExitCode::Done,
            silent: true,
            ..Self::new("failed to write the answer: its reader is gone")
        }
    }

    /// The answer was given already: end with this code and say nothing more.
    pub fn told(exit: ExitCode) -> Self {
        Self {
            exit,
            silent: true,
            ..Self::new("failed")
        }
    }

    /// Adds a cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds something to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exit(mut self, exit: ExitCode) -> Self {
        self.exit = exit;
        self
    }

    /// Whether nothing is to be said.
    pub fn is_silent(&self) -> bool {
        self.silent
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}
