//! Observers that show events: spinners on a terminal, a line an event elsewhere.

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use terminal_size::terminal_size_of;

use super::load::{LoadBar, load_line};
use crate::event::{Event, Observer};

const DONE: Style = AnsiColor::Green.on_default().bold();
const FAILED: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// Details stand below each other, but for those of the few steps with longer names.
const STEP_WIDTH: usize = 21;

/// What a terminal that does not tell its width is taken for, in columns.
const USUAL_WIDTH: u16 = 80;

/// Shows each step that is under way as a spinner with what it waits for, and each finished one as a line.
pub(super) struct Spinners {
    all: MultiProgress,
    /// Whether a step that is done leaves a line behind.
    leaves_lines: bool,
    running: Mutex<BTreeMap<String, (ProgressBar, Instant)>>,
    load: LoadBar,
}

impl Spinners {
    pub(super) fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            leaves_lines: true,
            running: Mutex::default(),
            load: LoadBar::default(),
        }
    }

    /// Those that leave only failures and notes behind.
    pub(super) fn passing() -> Self {
        Self {
            leaves_lines: false,
            ..Self::new()
        }
    }

    fn begin(&self, step: &str) -> (ProgressBar, Instant) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .entry(step.to_owned())
            .or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template(
                    "{spinner:.cyan} {elapsed:>5.dim}  {prefix}  {wide_msg:.dim}",
                ) {
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
        let width = terminal_size_of(stderr()).map_or(USUAL_WIDTH, |(width, _)| width.0);
        if let Some(line) = terminal_line(event, took, usize::from(width)) {
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
                if self.leaves_lines || matches!(event, Event::StepFailed { .. }) {
                    self.line(&event, took);
                }
            }
            Event::Note { .. } => self.line(&event, None),
            Event::LoadTicked(tick) => self.load.show(&self.all, tick),
            Event::LoadEnded => self.load.end(&self.all),
        }
    }
}

/// Shows each event that matters as a line.
#[derive(Default)]
pub(super) struct Lines {
    ticks: AtomicU64,
}

/// Of a load's ticks every so many are a line: a log is read later, by people.
const TICKS_A_LINE: u64 = 5;

impl Observer for Lines {
    fn observe(&self, event: Event) {
        if let Event::LoadTicked(tick) = &event {
            if self
                .ticks
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(TICKS_A_LINE)
            {
                write_line(&format!("  {}", load_line(tick)));
            }
            return;
        }
        if let Some(line) = line(&event) {
            write_line(&line);
        }
    }
}

/// The line that an event leaves behind in a file or a pipe, if any.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::StepStarted { .. }
        | Event::StepProgress { .. }
        | Event::LoadTicked(_)
        | Event::LoadEnded => None,
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
            Some(format!("{mark} {step}{detail}"))
        }
        Event::StepFailed { step, reason } => Some(format!("✗ {step}: {reason}")),
        Event::Note { text } => Some(format!("  {text}")),
    }
}

/// The line that an event leaves behind on a terminal, if any: a mark, how long it took, the step, and as much of
/// the detail as the width allows. A reason to fail is never cut.
fn terminal_line(event: &Event, took: Option<Duration>, width: usize) -> Option<String> {
    let took = took.map_or_else(String::new, |took| format!("{:.1} s", took.as_secs_f64()));
    match event {
        Event::StepStarted { .. }
        | Event::StepProgress { .. }
        | Event::LoadTicked(_)
        | Event::LoadEnded => None,
        Event::StepDone {
            step,
            changed,
            detail,
        } => {
            let (mark, style) = if *changed {
                ("✓", DONE)
            } else {
                ("·", QUIET)
            };
            let room = width.saturating_sub(step.chars().count().max(STEP_WIDTH) + 12);
            let detail = shortened(detail.as_deref().unwrap_or_default(), room);
            Some(format!(
                "{style}{mark}{style:#} {QUIET}{took:>6}{QUIET:#}  {step:<STEP_WIDTH$}  {QUIET}{detail}{QUIET:#}"
            ))
        }
        Event::StepFailed { step, reason } => Some(format!(
            "{FAILED}✗{FAILED:#} {QUIET}{took:>6}{QUIET:#}  {step}  {reason}"
        )),
        Event::Note { text } => Some(format!("          {QUIET}{text}{QUIET:#}")),
    }
}

/// The first `room` characters of a text, with a mark at the end where something is missing.
fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.truncate(short.trim_end_matches([' ', ',']).len());
    short.push('…');
    short
}

fn write_line(line: &str) {
    // When stderr is closed there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(detail: &str) -> Event {
        Event::StepDone {
            step: "write configuration".to_owned(),
            changed: true,
            detail: Some(detail.to_owned()),
        }
    }

    fn plain(line: &str) -> String {
        anstream::adapter::strip_str(line).to_string()
    }

    #[test]
    fn a_terminal_line_says_how_long_a_step_took_and_what_came_out() {
        let line = terminal_line(&done("31 files"), Some(Duration::from_millis(240)), 80);
        assert_eq!(
            plain(&line.unwrap()),
            "✓  0.2 s  write configuration    31 files"
        );
    }

    #[test]
    fn a_terminal_line_ends_where_the_terminal_ends() {
        let line = terminal_line(&done(&"redis-0, ".repeat(20)), Some(Duration::ZERO), 60);
        let line = plain(&line.unwrap());
        assert!(line.chars().count() <= 60, "{line}");
        assert!(line.ends_with('…'), "{line}");
    }

    #[test]
    fn a_reason_to_fail_is_never_cut() {
        let reason = "redis-1 did not answer PING within 10 s".repeat(5);
        let event = Event::StepFailed {
            step: "bring up the servers".to_owned(),
            reason: reason.clone(),
        };
        let line = terminal_line(&event, Some(Duration::from_secs(10)), 40);
        assert!(plain(&line.unwrap()).ends_with(&reason));
    }
}
