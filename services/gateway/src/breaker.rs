//! The circuit breaker of one endpoint. Pure: time comes as an argument.
//!
//! No request of a caller is spent on trying an endpoint out: while the circuit is open, a probe of the gateway's
//! own does that, and its first answer closes the circuit.

use std::time::{Duration, Instant};

/// What went wrong with an attempt at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens there, or nobody can be reached: certain at once.
    Unreachable,
    /// The connection broke, the answer did not come in time, or it was a failure of the server: perhaps bad luck.
    Doubtful,
    /// It owes answers and does not answer a probe either: certain.
    Silent,
}

/// Counts failures of an endpoint and keeps requests away from it when there were too many.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    pause: Duration,
    shared: bool,
    failures: u32,
    /// When the next probe is due; `None` while the circuit is closed.
    open: Option<Instant>,
}

impl Breaker {
    /// Opens after `threshold` doubtful failures in a row, and is then probed every `pause`. At an address that several
    /// replicas share, what one of them fails at says nothing about the others: only when all are silent it opens.
    pub(crate) fn new(threshold: u32, pause: Duration, shared: bool) -> Self {
        Self {
            threshold,
            pause,
            shared,
            failures: 0,
            open: None,
        }
    }

    /// Whether requests may go there.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// An answer came. One that was asked for before the circuit opened does not close it: only a probe does.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed. Says whether the circuit has just opened.
    pub(crate) fn failed(&mut self, fault: Fault, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = match fault {
            Fault::Silent => true,
            Fault::Unreachable => !self.shared,
            Fault::Doubtful => !self.shared && self.failures >= self.threshold,
        };
        if opens && self.open.is_none() {
            self.open = Some(now + self.pause);
            return true;
        }
        false
    }

    /// Whether a probe should be sent now; if so, the next one is due a pause later.
    pub(crate) fn take_probe(&mut self, now: Instant) -> bool {
        match &mut self.open {
            Some(due) if *due <= now => {
                *due = now + self.pause;
                true
            }
            _ => false,
        }
    }

    /// A probe was answered. Says whether the circuit has just closed.
    pub(crate) fn probe_succeeded(&mut self) -> bool {
        self.failures = 0;
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    #[test]
    fn doubtful_failures_open_it_only_in_a_row() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, PAUSE, false);
        assert!(!breaker.failed(Fault::Doubtful, now));
        assert!(!breaker.failed(Fault::Doubtful, now));
        breaker.succeeded();
        assert!(!breaker.failed(Fault::Doubtful, now));
        assert!(!breaker.failed(Fault::Doubtful, now));
        assert!(breaker.is_closed());
        assert!(breaker.failed(Fault::Doubtful, now));
        assert!(!breaker.is_closed());
    }

    #[test]
    fn certain_failures_open_it_at_once_and_it_opens_once() {
        for fault in [Fault::Unreachable, Fault::Silent] {
            let now = Instant::now();
            let mut breaker = Breaker::new(3, PAUSE, false);
            assert!(breaker.failed(fault, now));
            assert!(!breaker.failed(fault, now));
            assert!(!breaker.is_closed());
        }
    }

    #[test]
    fn one_of_several_at_an_address_does_not_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1, PAUSE, true);
        assert!(!breaker.failed(Fault::Doubtful, now));
        assert!(!breaker.failed(Fault::Unreachable, now));
        assert!(breaker.failed(Fault::Silent, now), "all of them hang");
    }

    #[test]
    fn probes_are_paced_and_only_one_of_them_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(1, PAUSE, false);
        assert!(
            !breaker.take_probe(start),
            "a closed circuit needs no probe"
        );
        breaker.failed(Fault::Doubtful, start);
        assert!(!breaker.take_probe(start));
        assert!(breaker.take_probe(start + PAUSE));
        assert!(!breaker.take_probe(start + PAUSE));
        breaker.succeeded();
        assert!(!breaker.is_closed(), "a late answer is no proof");
        assert!(breaker.take_probe(start + PAUSE * 2));
        assert!(breaker.probe_succeeded());
        assert!(breaker.is_closed());
        assert!(!breaker.probe_succeeded());
    }
}
