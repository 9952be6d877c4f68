//! The supervisor's own log: one line an event, with time and instance. What the instances print goes to their own.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;

use time::OffsetDateTime;
use time::macros::format_description;

use super::error::SupervisorError;
use super::spawn::open_log;

/// The open log.
#[derive(Debug)]
pub(super) struct Journal {
    file: std::fs::File,
}

impl Journal {
    /// Opens the log for appending.
    pub(super) fn open(path: &Path) -> Result<Self, SupervisorError> {
        Ok(Self {
            file: open_log(path)?,
        })
    }

    /// Writes one line. A full disk must not stop a supervisor from supervising, so a failure is let go.
    pub(super) fn note(&self, about: &str, event: impl Display) {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let time = OffsetDateTime::now_utc().format(format).unwrap_or_default();
        let line = format!("{time} {about}: {event}\n");
        let _ = (&self.file).write_all(line.as_bytes());
    }
}
