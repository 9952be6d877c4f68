//! When a worker refuses requests to stay fast for the others. Pure: time and randomness come as arguments.
//!
//! Two signs count: too many requests in flight, and an event loop that is late all the time. The second follows
//! `CoDel`: a spike is fine, but when even the smallest delay of an interval is above the target, a standing queue
//! has built up, and a growing share of requests is refused until it is gone.

use std::time::Duration;

/// Measurements that make an interval.
const INTERVAL: u32 = 5;
/// By how much the refused share grows with a bad interval, and how fast it shrinks with a good one.
const STEP_UP: f64 = 0.1;
const STEP_DOWN: f64 = 0.2;
/// Never everything: what passes shows whether things are better.
const MOST: f64 = 0.9;

/// Watches a worker's event loop and says which share of requests to refuse.
#[derive(Debug)]
pub(crate) struct Shedder {
    target: Duration,
    smallest: Duration,
    measured: u32,
    refused_share: f64,
}

impl Shedder {
    /// Refuses when the event loop is later than `target` throughout an interval.
    pub(crate) fn new(target: Duration) -> Self {
        Self {
            target,
            smallest: Duration::MAX,
            measured: 0,
            refused_share: 0.0,
        }
    }

    /// Takes in how late the event loop's last tick was.
    pub(crate) fn observe(&mut self, delay: Duration) {
        self.smallest = self.smallest.min(delay);
        self.measured += 1;
        if self.measured < INTERVAL {
            return;
        }
        self.refused_share = if self.smallest > self.target {
            (self.refused_share + STEP_UP).min(MOST)
        } else {
            (self.refused_share - STEP_DOWN).max(0.0)
        };
        self.smallest = Duration::MAX;
        self.measured = 0;
    }

    /// Whether to refuse a request, given a random number from 0 to 1.
    pub(crate) fn refuses(&self, random: impl FnOnce() -> f64) -> bool {
        self.refused_share > 0.0 && random() < self.refused_share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    fn observe(shedder: &mut Shedder, delay: Duration, times: u32) {
        for _ in 0..times {
            shedder.observe(delay);
        }
    }

    #[test]
    fn nothing_is_refused_while_the_loop_is_on_time() {
        let mut shedder = Shedder::new(TARGET);
        observe(&mut shedder, Duration::from_millis(1), 100);
        assert!(!shedder.refuses(|| 0.0));
    }

    #[test]
    fn a_spike_is_forgiven() {
        let mut shedder = Shedder::new(TARGET);
        for _ in 0..20 {
            observe(&mut shedder, Duration::from_millis(300), INTERVAL - 1);
            observe(&mut shedder, Duration::from_millis(1), 1);
        }
        assert!(!shedder.refuses(|| 0.0));
    }

    #[test]
    fn a_standing_delay_refuses_more_and_more_but_never_all() {
        let mut shedder = Shedder::new(TARGET);
        observe(&mut shedder, TARGET * 2, INTERVAL);
        assert!(shedder.refuses(|| 0.05));
        assert!(!shedder.refuses(|| 0.15));
        observe(&mut shedder, TARGET * 2, INTERVAL * 50);
        assert!(shedder.refuses(|| 0.89));
        assert!(!shedder.refuses(|| 0.95));
    }

    #[test]
    fn it_recovers_when_the_delay_is_gone() {
        let mut shedder = Shedder::new(TARGET);
        observe(&mut shedder, TARGET * 2, INTERVAL * 50);
        observe(&mut shedder, Duration::ZERO, INTERVAL * 5);
        assert!(!shedder.refuses(|| 0.0));
    }
}
