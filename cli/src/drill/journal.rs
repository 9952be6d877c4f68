//! The history while it grows: every record goes to the file at once, so that a drill that is killed leaves what it saw.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::history::{History, HistoryError, Micros, Phase, PhaseBegins, Record, Seen, Sight};

/// A history that grows.
pub(super) struct Journal {
    origin: Instant,
    written: Mutex<Written>,
}

struct Written {
    file: File,
    records: Vec<Record>,
    /// The first line that could not be written. What is judged must stand in the file, so this ends the drill.
    failed: Option<io::Error>,
}

impl Journal {
    /// Begins a history in a file. Time counts from now on.
    pub(super) fn new(file: File) -> Self {
        Self {
            origin: Instant::now(),
            written: Mutex::new(Written {
                file,
                records: Vec::new(),
                failed: None,
            }),
        }
    }

    /// Microseconds since the drill began.
    pub(super) fn now(&self) -> Micros {
        Micros::try_from(self.origin.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    /// Writes a record down.
    pub(super) fn write(&self, record: Record) {
        let mut written = self.lock();
        if written.failed.is_none() {
            let line = serde_json::to_vec(&record).map_err(io::Error::from);
            let outcome = line.and_then(|mut line| {
                line.push(b'\n');
                written.file.write_all(&line)
            });
            written.failed = outcome.err();
        }
        written.records.push(record);
    }

    /// A part of the run begins now.
    pub(super) fn phase(&self, phase: Phase) -> Micros {
        let at = self.now();
        self.write(Record::Phase(PhaseBegins { at, phase }));
        at
    }

    /// Something is seen now.
    pub(super) fn see(&self, seen: Seen) {
        let at = self.now();
        self.write(Record::Sight(Sight { at, seen }));
    }

    /// The records from a place on.
    pub(super) fn since(&self, place: usize) -> Vec<Record> {
        let written = self.lock();
        written.records.get(place..).unwrap_or_default().to_vec()
    }

    /// The history so far.
    pub(super) fn history(&self) -> Result<History, HistoryError> {
        History::new(self.since(0))
    }

    /// Why not everything stands in the file.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failed.as_ref().map(ToString::to_string)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
