//! A circuit breaker: after some failures in a row nobody asks for a while, then one may try.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open before one call may try.
const OPEN_FOR: Duration = Duration::from_secs(1);

/// Decides whether a call is worth its time. Clones share the state.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// Calls go through; so many have failed since the last success.
    Closed { failures: u32 },
    /// Nobody asks until then.
    Open { until: Instant },
    /// One call is trying.
    Probing,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Leave for one call. A permit that is dropped without an outcome (its caller went away) says nothing about Redis.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Breaker,
    settled: bool,
}

impl Breaker {
    /// Leave to call, unless the breaker is open or somebody is trying already.
    pub(super) fn permit(&self, now: Instant) -> Option<Permit> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => {}
            State::Open { until } if now >= until => *state = State::Probing,
            State::Open { .. } | State::Probing => return None,
        }
        Some(Permit {
            breaker: self.clone(),
            settled: false,
        })
    }

    /// Whether calls go through without being a trial.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.lock(), State::Closed { .. })
    }

    /// Closes the breaker: there is a connection to a master that has answered.
    pub(super) fn reset(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Redis answered.
    pub(super) fn succeed(mut self) {
        self.settled = true;
        *self.breaker.lock() = State::default();
    }

    /// Redis did not answer. Says whether that opened the breaker.
    pub(super) fn fail(mut self, now: Instant) -> bool {
        self.settled = true;
        let mut state = self.breaker.lock();
        let failures = match *state {
            State::Closed { failures } => failures + 1,
            State::Open { .. } => return false,
            State::Probing => FAILURES,
        };
        let opens = failures >= FAILURES;
        *state = if opens {
            State::Open {
                until: now + OPEN_FOR,
            }
        } else {
            State::Closed { failures }
        };
        opens
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.breaker.lock();
        if matches!(*state, State::Probing) {
            // Nobody knows yet, so the next caller tries.
            *state = State::Open {
                until: Instant::now(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.permit(now).unwrap().fail(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_a_success_between_them_does_not() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES - 1 {
            assert!(!breaker.permit(now).unwrap().fail(now));
        }
        breaker.permit(now).unwrap().succeed();
        for _ in 0..FAILURES - 1 {
            assert!(!breaker.permit(now).unwrap().fail(now));
        }
        assert!(breaker.permit(now).unwrap().fail(now));
        assert!(breaker.permit(now).is_none());
    }

    #[test]
    fn after_a_while_one_call_tries_and_its_success_closes_the_breaker() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + OPEN_FOR;
        let trial = breaker.permit(later).unwrap();
        assert!(breaker.permit(later).is_none());
        trial.succeed();
        assert!(breaker.is_closed());
        assert!(breaker.permit(later).is_some());
    }

    #[test]
    fn a_failed_trial_opens_the_breaker_again() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + OPEN_FOR;
        assert!(breaker.permit(later).unwrap().fail(later));
        assert!(breaker.permit(later).is_none());
        assert!(breaker.permit(later + OPEN_FOR).is_some());
    }

    #[test]
    fn a_trial_whose_caller_went_away_leaves_the_trial_to_the_next() {
        let now = Instant::now();
        let breaker = opened(now);
        drop(breaker.permit(now + OPEN_FOR).unwrap());
        assert!(breaker.permit(Instant::now() + OPEN_FOR).is_some());
    }
}
