//! Observers that show events: spinners on a terminal, a line an event elsewhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, Observer};

/// Shows each step that is under way as a spinner with what it waits for, and each finished one as a line.
pub(super) struct Spinners {
    all: MultiProgress,
    running: Mutex<BTreeMap<String, (ProgressBar, Instant)>>,
}

impl Spinners {
    pub(super) fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            running: Mutex::default(),
        }
    }

    fn begin(&self, step: &str) -> (ProgressBar, Instant) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .entry(step.to_owned())
            .or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new_spinner());
                if let Ok(style) =
                    ProgressStyle::with_template("{spinner:.cyan} {prefix} {wide_msg:.dim}")
                {
                    bar.set_style(style);
                }
                bar.set_prefix(step.to_owned());
                bar.enable_steady_tick(Duration::from_millis(100));
                (bar, Instant::now())
            })
            .clone()
    }

    fn end(&self, step: &str) -> Option<Duration> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (bar, since) = running.remove(step)?;
        bar.finish_and_clear();
        self.all.remove(&bar);
        Some(since.elapsed())
    }

    fn line(&self, event: &Event, took: Option<Duration>) {
        if let Some(line) = line(event, took) {
            self.all.suspend(|| write_line(&line));
        }
    }
}

impl Observer for Spinners {
    fn observe(&self, event: Event) {
        match &event {
            Event::StepStarted { step } => {
                self.begin(step);
            }
            Event::StepProgress { step, waiting_for } => {
                self.begin(step)
                    .0
                    .set_message(format!("waiting for {waiting_for}"));
            }
            Event::StepDone { step, .. } | Event::StepFailed { step, .. } => {
                let took = self.end(step);
                self.line(&event, took);
            }
            Event::Note { .. } => self.line(&event, None),
        }
    }
}

/// Shows each event that matters as a line.
pub(super) struct Lines;

impl Observer for Lines {
    fn observe(&self, event: Event) {
        if let Some(line) = line(&event, None) {
            write_line(&line);
        }
    }
}

/// The line that an event leaves behind, if any.
fn line(event: &Event, took: Option<Duration>) -> Option<String> {
    let took = took
        .map(|took| format!(" ({:.1}s)", took.as_secs_f64()))
        .unwrap_or_default();
    match event {
        Event::StepStarted { .. } | Event::StepProgress { .. } => None,
        Event::StepDone {
            step,
            changed,
            detail,
        } => {
            let mark = if *changed { "✓" } else { "·" };
            let detail = detail
                .as_deref()
                .map(|detail| format!(": {detail}"))
                .unwrap_or_default();
            Some(format!("{mark} {step}{detail}{took}"))
        }
        Event::StepFailed { step, reason } => Some(format!("✗ {step}: {reason}{took}")),
        Event::Note { text } => Some(format!("  {text}")),
    }
}

fn write_line(line: &str) {
    // When stderr is closed there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}
