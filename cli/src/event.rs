//! What happens during a command, as data.
//!
//! Whoever does the work reports events to an [`Observer`] and never prints; `ui` turns them into bars or lines, and
//! later reports are made of the same events.

use std::time::Duration;

use serde::Serialize;

/// Something that happened. A step is named the same in all of its events.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// Work on a step began.
    StepStarted {
        /// The step, as a person reads it: "start redis-0".
        step: String,
    },
    /// A step goes on.
    StepProgress {
        /// The step.
        step: String,
        /// What it waits for, and what was seen last: "redis-1 to answer PING (connection refused)".
        waiting_for: String,
    },
    /// A step is done.
    StepDone {
        /// The step.
        step: String,
        /// Whether anything was changed; a step that found nothing to do changed nothing.
        changed: bool,
        /// What came out, if that is worth a few words.
        detail: Option<String>,
    },
    /// A step failed. The error itself is returned by whoever ran the step.
    StepFailed {
        /// The step.
        step: String,
        /// Why, in one line.
        reason: String,
    },
    /// Something that a person should know and that is no step.
    Note {
        /// The text, in one line.
        text: String,
    },
    /// A second of a load test is over.
    LoadTicked(LoadTick),
    /// The load of a load test is over; what comes is its evaluation.
    LoadEnded,
}

/// What the last second of a load test looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadTick {
    /// How long it goes on; zero while nothing was asked yet.
    pub elapsed: Duration,
    /// How long it is to last.
    pub total: Duration,
    /// Requests that ended, a second.
    pub requests_per_second: f64,
    /// Their median latency in milliseconds.
    pub p50: Option<f64>,
    /// Their 95th percentile.
    pub p95: Option<f64>,
    /// Their 99th percentile.
    pub p99: Option<f64>,
    /// Requests that failed, since the beginning.
    pub failed: u64,
    /// Orders that were confirmed, since the beginning.
    pub orders: u64,
    /// Pieces that are left to sell, where that matters.
    pub stock_left: Option<u64>,
    /// Cores that the shop uses.
    pub cpu: Option<f64>,
}

/// Somebody who is told what happens. May be told from several threads.
pub trait Observer: Send + Sync {
    /// Takes notice of an event. Must not block for long.
    fn observe(&self, event: Event);
}

impl dyn Observer + '_ {
    /// Reports that a step began.
    pub fn started(&self, step: impl Into<String>) {
        self.observe(Event::StepStarted { step: step.into() });
    }

    /// Reports what a step waits for.
    pub fn waiting(&self, step: impl Into<String>, waiting_for: impl Into<String>) {
        self.observe(Event::StepProgress {
            step: step.into(),
            waiting_for: waiting_for.into(),
        });
    }

    /// Reports that a step is done.
    pub fn done(&self, step: impl Into<String>, changed: bool) {
        self.observe(Event::StepDone {
            step: step.into(),
            changed,
            detail: None,
        });
    }

    /// Reports that a step failed.
    pub fn failed(&self, step: impl Into<String>, reason: impl Into<String>) {
        self.observe(Event::StepFailed {
            step: step.into(),
            reason: reason.into(),
        });
    }

    /// Reports something that is no step.
    pub fn note(&self, text: impl Into<String>) {
        self.observe(Event::Note { text: text.into() });
    }
}

/// An observer that takes no notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: Event) {}
}
