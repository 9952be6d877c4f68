//! The history while it grows: every record goes to the file at once, so that a drill that is killed leaves what it saw.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::history::{
    Books, History, HistoryError, Micros, Phase, PhaseBegins, Record, Seen, Sight,
};

/// A history that grows.
pub(super) struct Journal {
    origin: Instant,
    /// When the operations began that are under way.
    open: Mutex<BTreeMap<u64, Micros>>,
    written: Mutex<Written>,
}

struct Written {
    file: File,
    records: Vec<Record>,
    /// Whether the books are being read for the last time.
    accounting: bool,
    /// The first line that could not be written. What is judged must stand in the file, so this ends the drill.
    failed: Option<io::Error>,
}

impl Written {
    fn write(&mut self, record: Record) {
        self.accounting |=
            matches!(&record, Record::Phase(begins) if begins.phase == Phase::Accounting);
        if self.failed.is_none() {
            let line = serde_json::to_vec(&record).map_err(io::Error::from);
            let outcome = line.and_then(|mut line| {
                line.push(b'\n');
                self.file.write_all(&line)
            });
            self.failed = outcome.err();
        }
        self.records.push(record);
    }
}

/// An operation that is under way.
pub(super) struct UnderWay {
    /// When it began.
    pub(super) began: Micros,
    number: u64,
    journal: Arc<Journal>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.journal.open().remove(&self.number);
    }
}

impl Journal {
    /// Begins a history in a file. Time counts from now on.
    pub(super) fn new(file: File) -> Self {
        Self {
            origin: Instant::now(),
            open: Mutex::default(),
            written: Mutex::new(Written {
                file,
                records: Vec::new(),
                accounting: false,
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
        self.lock().write(record);
    }

    /// A part of the run begins now.
    pub(super) fn phase(&self, phase: Phase) -> Micros {
        let at = self.now();
        self.write(Record::Phase(PhaseBegins { at, phase }));
        at
    }

    /// An operation begins now; it is under way until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let began = self.now();
        let mut open = self.open();
        let number = open.last_key_value().map_or(0, |(number, _)| number + 1);
        open.insert(number, began);
        UnderWay {
            began,
            number,
            journal: Arc::clone(self),
        }
    }

    /// Of all operations that began before this moment it is known what became of them.
    pub(super) fn known_until(&self) -> Micros {
        let now = self.now();
        self.open().values().min().copied().unwrap_or(now)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Micros>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what stood in the books, unless they are being read for the last time already: an older page behind a
    /// newer one would look as if orders had gone.
    pub(super) fn write_page(&self, page: Books) {
        let mut written = self.lock();
        if !written.accounting {
            written.write(Record::Books(page));
        }
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
