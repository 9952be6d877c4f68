//! Whose turn it is while a request's body is still on its way: a slow client is no fault of the upstream's.
//!
//! The upstream's time to answer stands still while the gateway waits for the client, and only then.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::body::BodyFault;

/// How soon to look again at a client that is still being waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is known about a body that is passed on as it comes.
#[derive(Debug)]
pub(crate) struct Transfer {
    total: Duration,
    stall: Duration,
    fault: Cell<Option<BodyFault>>,
    /// Since when the client is waited for, if it is the client's turn.
    since: Cell<Option<Instant>>,
    /// How long the client was waited for before that.
    waited: Cell<Duration>,
}

impl Transfer {
    /// A body that has just begun. The client may be waited for as long as `total`, at one time as long as `stall`.
    pub(super) fn new(total: Duration, stall: Duration) -> Rc<Self> {
        Rc::new(Self {
            total,
            stall,
            fault: Cell::new(None),
            since: Cell::new(None),
            waited: Cell::new(Duration::ZERO),
        })
    }

    /// It is the client's turn. Gives how long it may take at most.
    pub(super) fn wait_for_client(&self, now: Instant) -> Duration {
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
        self.stall.min(self.total.saturating_sub(self.waited.get()))
    }

    /// Something came, or the end: it is the upstream's turn.
    pub(super) fn moved(&self, now: Instant) {
        self.waited.set(self.client_time(now));
        self.since.set(None);
    }

    /// The body will not come to its end.
    pub(super) fn failed(&self, fault: BodyFault) {
        self.fault.set(Some(fault));
    }

    /// Why the body did not come to its end, if so.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// How long the client was waited for. Never more than it is allowed: when that is over and the body was not
    /// given up, then because the upstream does not even take what has come.
    fn client_time(&self, now: Instant) -> Duration {
        let waiting = self.since.get().map_or(Duration::ZERO, |since| {
            now.saturating_duration_since(since).min(self.stall)
        });
        self.waited.get().saturating_add(waiting).min(self.total)
    }
}

/// An upstream's time to answer, all tries together.
#[derive(Debug)]
pub(crate) struct AnswerClock {
    due: Instant,
    transfer: Option<(Rc<Transfer>, Duration)>,
}

impl AnswerClock {
    /// Begins at a time; stands still while the client of the body is waited for.
    pub(crate) fn start(limit: Duration, transfer: Option<Rc<Transfer>>, now: Instant) -> Self {
        Self {
            due: now + limit,
            transfer: transfer.map(|transfer| {
                let before = transfer.client_time(now);
                (transfer, before)
            }),
        }
    }

    fn due(&self, now: Instant) -> Instant {
        let client_time = self
            .transfer
            .as_ref()
            .map_or(Duration::ZERO, |(it, before)| {
                it.client_time(now).saturating_sub(*before)
            });
        self.due + client_time
    }

    /// What the future gives, or nothing if the upstream's time is over before.
    pub(super) async fn within<F: Future>(&self, answer: F) -> Option<F::Output> {
        let mut answer = pin!(answer);
        let mut due = self.due(Instant::now());
        loop {
            if let Ok(given) = timeout_at(due, answer.as_mut()).await {
                return Some(given);
            }
            let now = Instant::now();
            let moved = self.due(now);
            if moved <= due {
                return None;
            }
            due = moved.max(now + LOOK_AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_clock_stands_still_while_the_client_is_waited_for() {
        let start = Instant::now();
        let transfer = Transfer::new(30 * SECOND, 10 * SECOND);
        let clock = AnswerClock::start(2 * SECOND, Some(Rc::clone(&transfer)), start);
        transfer.wait_for_client(start + SECOND);
        assert_eq!(clock.due(start + 5 * SECOND), start + 6 * SECOND);
        transfer.moved(start + 5 * SECOND);
        assert_eq!(clock.due(start + 5 * SECOND), start + 6 * SECOND);
        assert_eq!(clock.due(start + 9 * SECOND), start + 6 * SECOND);
    }

    #[test]
    fn time_that_the_client_used_before_is_not_counted_again() {
        let start = Instant::now();
        let transfer = Transfer::new(30 * SECOND, 10 * SECOND);
        transfer.wait_for_client(start);
        let begun = start + 5 * SECOND;
        transfer.moved(begun);
        let clock = AnswerClock::start(2 * SECOND, Some(transfer), begun);
        assert_eq!(clock.due(begun + SECOND), begun + 2 * SECOND);
    }

    #[test]
    fn a_client_that_is_never_asked_again_does_not_stop_the_clock_for_ever() {
        let start = Instant::now();
        let transfer = Transfer::new(30 * SECOND, 10 * SECOND);
        let clock = AnswerClock::start(2 * SECOND, Some(Rc::clone(&transfer)), start);
        transfer.wait_for_client(start);
        assert_eq!(clock.due(start + 1000 * SECOND), start + 12 * SECOND);
    }

    #[test]
    fn a_client_is_waited_for_no_longer_than_its_total() {
        let mut now = Instant::now();
        let transfer = Transfer::new(3 * SECOND, 2 * SECOND);
        for patience in [2, 2, 1, 0] {
            assert_eq!(transfer.wait_for_client(now), patience * SECOND);
            now += SECOND;
            transfer.moved(now);
        }
    }
}
