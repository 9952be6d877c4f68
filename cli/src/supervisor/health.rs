//! What a row of probes says about a process. Pure: told the time, never asks for it.

use std::time::{Duration, Instant};

use super::spec::ProbeSpec;

/// What one probe brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It can serve; with the role that it named.
    Ready {
        role: Option<String>,
        detail: Option<String>,
    },
    /// It answered that it cannot serve now.
    Alive {
        role: Option<String>,
        detail: String,
    },
    /// It did not answer.
    Silent { detail: String },
}

/// What is to be done about the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Leave,
    /// Kill it and start it again, for this reason.
    Replace { reason: String },
}

/// The probes of one process so far.
#[derive(Debug)]
pub(super) struct Health {
    started: Instant,
    answered: bool,
    ready_since: Option<Instant>,
    ready: bool,
    failures: u32,
}

impl Health {
    /// A process of which nothing is known yet. `age` is how long it has lived: one that was adopted after its start's
    /// deadline must have answered somebody, so it gets the patience of one that did.
    pub(super) fn new(now: Instant, age: Duration, probe: Option<&ProbeSpec>) -> Self {
        Self {
            started: now.checked_sub(age).unwrap_or(now),
            answered: probe.is_some_and(|probe| age >= probe.start_deadline()) && !age.is_zero(),
            ready_since: None,
            ready: false,
            failures: 0,
        }
    }

    /// Takes the next answer. A process that answers is never replaced, however long it is not ready: a Postgres that
    /// recovers, a Redis that loads and a service whose database is away would only begin again.
    pub(super) fn record(&mut self, answer: &Answer, probe: &ProbeSpec, now: Instant) -> Verdict {
        match answer {
            Answer::Ready { .. } => {
                self.answered = true;
                self.failures = 0;
                self.ready = true;
                self.ready_since.get_or_insert(now);
            }
            Answer::Alive { .. } => {
                self.answered = true;
                self.failures = 0;
                self.ready = false;
            }
            Answer::Silent { detail } => {
                self.failures = self.failures.saturating_add(1);
                self.ready = false;
                return self.judge_silence(detail, probe, now);
            }
        }
        Verdict::Leave
    }

    fn judge_silence(&self, detail: &str, probe: &ProbeSpec, now: Instant) -> Verdict {
        let age = now.saturating_duration_since(self.started);
        if self.answered {
            if self.failures >= probe.failures.max(1) {
                let failures = self.failures;
                return Verdict::Replace {
                    reason: format!(
                        "hung: {failures} probes in a row failed, the last one: {detail}"
                    ),
                };
            }
        } else if age >= probe.start_deadline() {
            let seconds = probe.start_seconds;
            return Verdict::Replace {
                reason: format!(
                    "did not answer within {seconds} s of its start, the last probe: {detail}"
                ),
            };
        }
        Verdict::Leave
    }

    /// Whether the last answer said that it can serve.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether it has ever been ready.
    pub(super) fn was_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// When it became ready first.
    pub(super) fn ready_since(&self) -> Option<Instant> {
        self.ready_since
    }

    /// Failed probes in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The pause before the next probe: short while people wait for a start, and never short while failures are
    /// counted towards a hang.
    pub(super) fn pause(&self, probe: &ProbeSpec) -> Duration {
        const WHILE_STARTING: Duration = Duration::from_millis(50);
        if self.was_ready() || (self.answered && self.failures > 0) {
            probe.interval()
        } else {
            probe.interval().min(WHILE_STARTING)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::spec::ProbeCheck;

    fn probe() -> ProbeSpec {
        ProbeSpec {
            check: ProbeCheck::Tcp {
                address: "127.0.0.1:1".to_owned(),
            },
            interval_milliseconds: 1000,
            timeout_milliseconds: 500,
            failures: 3,
            start_seconds: 10,
        }
    }

    fn ready() -> Answer {
        Answer::Ready {
            role: None,
            detail: None,
        }
    }

    fn alive() -> Answer {
        Answer::Alive {
            role: None,
            detail: "loading".to_owned(),
        }
    }

    fn silent() -> Answer {
        Answer::Silent {
            detail: "timed out".to_owned(),
        }
    }

    #[test]
    fn only_failures_in_a_row_are_a_hang() {
        let now = Instant::now();
        let mut health = Health::new(now, Duration::ZERO, Some(&probe()));
        let answers = [ready(), silent(), silent(), ready(), silent(), silent()];
        for answer in &answers {
            assert_eq!(health.record(answer, &probe(), now), Verdict::Leave);
        }
        assert!(matches!(
            health.record(&silent(), &probe(), now),
            Verdict::Replace { .. }
        ));
    }

    #[test]
    fn a_start_has_until_its_deadline_and_no_count() {
        let now = Instant::now();
        let mut health = Health::new(now, Duration::ZERO, Some(&probe()));
        for _ in 0..100 {
            assert_eq!(health.record(&silent(), &probe(), now), Verdict::Leave);
        }
        let late = now + Duration::from_secs(10);
        assert!(matches!(
            health.record(&silent(), &probe(), late),
            Verdict::Replace { .. }
        ));
    }

    #[test]
    fn one_that_answers_is_never_replaced_for_not_being_ready() {
        let now = Instant::now();
        let mut health = Health::new(now, Duration::ZERO, Some(&probe()));
        for minute in 0..60 {
            let later = now + Duration::from_mins(minute);
            assert_eq!(health.record(&alive(), &probe(), later), Verdict::Leave);
        }
        assert!(!health.is_ready());
        assert_eq!(health.record(&ready(), &probe(), now), Verdict::Leave);
        assert!(health.is_ready());
        assert_eq!(health.record(&alive(), &probe(), now), Verdict::Leave);
        assert!(!health.is_ready() && health.was_ready());
    }

    #[test]
    fn an_old_process_that_is_adopted_silent_gets_its_failures_and_not_a_second_start() {
        let now = Instant::now();
        let mut health = Health::new(now, Duration::from_mins(5), Some(&probe()));
        assert_eq!(health.record(&silent(), &probe(), now), Verdict::Leave);
        assert_eq!(health.pause(&probe()), Duration::from_secs(1));
        assert_eq!(health.record(&silent(), &probe(), now), Verdict::Leave);
        assert!(matches!(
            health.record(&silent(), &probe(), now),
            Verdict::Replace { .. }
        ));
    }

    #[test]
    fn probes_are_quick_until_the_first_success() {
        let now = Instant::now();
        let mut health = Health::new(now, Duration::ZERO, Some(&probe()));
        assert_eq!(health.pause(&probe()), Duration::from_millis(50));
        health.record(&ready(), &probe(), now);
        assert_eq!(health.pause(&probe()), Duration::from_secs(1));
    }
}
