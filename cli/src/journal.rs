//! When which step of which run began and how long it took: a line a step in a file, for `status --timings`.
//!
//! It tells times only. What there is and what is left to do is observed, never read from here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::event::{Event, Observer};

/// So many of the last runs are kept.
const KEPT_RUNS: usize = 20;

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The run that it belongs to: when that began, in milliseconds.
    pub run: i64,
    /// The run's command.
    pub command: String,
    /// The step, as a person reads it.
    pub step: String,
    /// When it began, in milliseconds since the run did.
    pub began: u64,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It changed something.
    Changed,
    /// There was nothing to change.
    Unchanged,
    /// It failed.
    Failed,
}

/// Writes steps down as they end, and hands every event on.
pub struct Journal<'a> {
    next: &'a dyn Observer,
    path: PathBuf,
    command: String,
    run: i64,
    begin: Instant,
    running: Mutex<BTreeMap<String, Instant>>,
}

impl<'a> Journal<'a> {
    /// Begins a run. Old runs are dropped from the file, if there are many.
    pub fn begin(path: &Path, command: &str, next: &'a dyn Observer) -> Self {
        let now = OffsetDateTime::now_utc();
        let run = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        // A journal that cannot be kept short is no reason to fail.
        let _ = shorten(path);
        Self {
            next,
            path: path.to_owned(),
            command: command.to_owned(),
            run,
            begin: Instant::now(),
            running: Mutex::new(BTreeMap::new()),
        }
    }

    fn ended(&self, step: &str, outcome: Outcome) {
        let began = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.remove(step)
        };
        let Some(began) = began else { return };
        let entry = Entry {
            run: self.run,
            command: self.command.clone(),
            step: step.to_owned(),
            began: milliseconds(began.duration_since(self.begin)),
            took: milliseconds(began.elapsed()),
            outcome,
        };
        // Times are for people: that they cannot be kept, on a full disk for example, stops nothing.
        let _ = append(&self.path, &entry);
    }
}

impl Observer for Journal<'_> {
    fn observe(&self, event: Event) {
        match &event {
            Event::StepStarted { step } => {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                running.insert(step.clone(), Instant::now());
            }
            Event::StepDone { step, changed, .. } => {
                let outcome = if *changed {
                    Outcome::Changed
                } else {
                    Outcome::Unchanged
                };
                self.ended(step, outcome);
            }
            Event::StepFailed { step, .. } => self.ended(step, Outcome::Failed),
            _ => {}
        }
        self.next.observe(event);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn append(path: &Path, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_string(entry)?;
    line.push('\n');
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(line.as_bytes())
}

/// All steps that are known, oldest first. A line that was cut short by a kill is passed over.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let entries = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok(entries.collect())
}

/// The steps of the last run that changed something, by when they began.
pub fn last_run(entries: &[Entry]) -> Vec<&Entry> {
    let run = entries
        .iter()
        .filter(|entry| entry.outcome != Outcome::Unchanged)
        .map(|entry| entry.run)
        .max();
    let mut steps: Vec<&Entry> = entries
        .iter()
        .filter(|entry| Some(entry.run) == run)
        .collect();
    steps.sort_by_key(|entry| (entry.began, entry.took));
    steps
}

fn shorten(path: &Path) -> io::Result<()> {
    let entries = read(path)?;
    let mut runs: Vec<i64> = entries.iter().map(|entry| entry.run).collect();
    runs.sort_unstable();
    runs.dedup();
    let Some(oldest) = runs
        .len()
        .checked_sub(KEPT_RUNS)
        .and_then(|at| runs.get(at))
    else {
        return Ok(());
    };
    if runs.first() == Some(oldest) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    for entry in entries.iter().filter(|entry| entry.run >= *oldest) {
        append(&new, entry)?;
    }
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Unobserved;

    fn run(path: &Path, step: &str, end: impl FnOnce(&dyn Observer)) {
        let journal = Journal::begin(path, "up", &Unobserved);
        let observer: &dyn Observer = &journal;
        observer.started(step);
        end(observer);
    }

    #[test]
    fn every_step_that_ended_is_written_down_with_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        run(&path, "a", |observer| observer.done("a", true));
        run(&path, "b", |observer| observer.failed("b", "no"));
        run(&path, "c", |_| {});
        let entries = read(&path).unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.step.as_str(), entry.outcome))
            .collect();
        assert_eq!(seen, [("a", Outcome::Changed), ("b", Outcome::Failed)]);
    }

    #[test]
    fn a_line_that_was_cut_short_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        run(&path, "a", |observer| observer.done("a", true));
        let mut text = fs::read_to_string(&path).unwrap();
        text.insert_str(0, "{\"run\":1,\"comm\n");
        fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        assert_eq!(read(&folder.path().join("none")).unwrap(), []);
    }

    #[test]
    fn the_last_run_is_the_last_that_did_something() {
        let entry = |run, step: &str, began, outcome| Entry {
            run,
            command: "up".to_owned(),
            step: step.to_owned(),
            began,
            took: 1,
            outcome,
        };
        let entries = [
            entry(1, "old", 0, Outcome::Changed),
            entry(2, "second", 9, Outcome::Changed),
            entry(2, "first", 0, Outcome::Unchanged),
            entry(3, "nothing", 0, Outcome::Unchanged),
        ];
        let steps: Vec<_> = last_run(&entries)
            .iter()
            .map(|entry| entry.step.as_str())
            .collect();
        assert_eq!(steps, ["first", "second"]);
    }

    #[test]
    fn old_runs_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for run in 0..60 {
            let entry = Entry {
                run,
                command: "up".to_owned(),
                step: "a".to_owned(),
                began: 0,
                took: 0,
                outcome: Outcome::Changed,
            };
            append(&path, &entry).unwrap();
        }
        shorten(&path).unwrap();
        let entries = read(&path).unwrap();
        assert_eq!((entries.len(), entries[0].run), (KEPT_RUNS, 40));
    }
}
