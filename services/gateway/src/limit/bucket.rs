//! One caller's token bucket. Pure: time comes as an argument.

use std::time::{Duration, Instant};

/// How fast a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// A rate above zero and a burst of at least one, or nothing.
    pub(crate) fn new(per_second: f64, burst: f64) -> Option<Self> {
        let sane = per_second.is_finite() && burst.is_finite() && per_second > 0.0 && burst >= 1.0;
        sane.then_some(Self { per_second, burst })
    }

    /// What the bucket holds when full.
    pub(crate) fn burst(&self) -> f64 {
        self.burst
    }

    /// The time in which an empty bucket fills.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64((self.burst / self.per_second).min(86_400.0))
    }

    fn time_for(&self, tokens: f64) -> Duration {
        Duration::from_secs_f64((tokens / self.per_second).clamp(0.0, 86_400.0))
    }
}

/// A request that came too early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Refusal {
    /// The rate that it came too early for.
    pub(crate) rate: Rate,
    /// When the next one will be let through.
    pub(crate) retry_after: Duration,
}

/// A token bucket that can be told what others spent from the same budget.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    level: f64,
    /// What ran over since the last reconciliation: others may have spent that much without loss to this one.
    overflow: f64,
    /// What was spent here since the last reconciliation.
    spent: u64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: &Rate, now: Instant) -> Self {
        Self {
            level: rate.burst,
            overflow: 0.0,
            spent: 0,
            filled_at: now,
        }
    }

    /// Takes a token, or says how long to wait for one.
    pub(super) fn take(&mut self, rate: &Rate, now: Instant) -> Result<(), Refusal> {
        self.fill(rate, now);
        if self.level >= 1.0 {
            self.level -= 1.0;
            self.spent += 1;
            Ok(())
        } else {
            Err(Refusal {
                rate: *rate,
                retry_after: rate.time_for(1.0 - self.level),
            })
        }
    }

    /// What was spent here and not yet told to the others.
    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    /// What was spent here since the last call; from now on it counts as told.
    pub(super) fn hand_over(&mut self) -> u64 {
        std::mem::take(&mut self.spent)
    }

    /// Takes back what [`Bucket::hand_over`] gave, because nobody could be told.
    pub(super) fn take_back(&mut self, spent: u64) {
        self.spent += spent;
    }

    /// Pays for what others spent since the last reconciliation. The debt is at most one burst.
    pub(super) fn absorb(&mut self, rate: &Rate, others: u64, now: Instant) {
        self.fill(rate, now);
        let debt = (others as f64 - self.overflow).max(0.0);
        self.overflow = 0.0;
        self.level = (self.level - debt).max(-rate.burst);
    }

    /// Whether forgetting this bucket loses nothing.
    pub(super) fn is_full(&mut self, rate: &Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.level >= rate.burst
    }

    fn fill(&mut self, rate: &Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        let level = self.level + elapsed.as_secs_f64() * rate.per_second;
        self.overflow += (level - rate.burst).max(0.0);
        self.level = level.min(rate.burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: f64, burst: f64) -> Rate {
        Rate::new(per_second, burst).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_rules() {
        let rate = rate(10.0, 5.0);
        let start = Instant::now();
        let mut bucket = Bucket::full(&rate, start);
        assert!((0..5).all(|_| bucket.take(&rate, start).is_ok()));
        let refusal = bucket.take(&rate, start).unwrap_err();
        assert_eq!(refusal.retry_after, Duration::from_millis(100));
        assert!(bucket.take(&rate, start + refusal.retry_after).is_ok());
        assert!(bucket.take(&rate, start + refusal.retry_after).is_err());
    }

    #[test]
    fn what_others_spent_is_paid_for() {
        let rate = rate(10.0, 5.0);
        let start = Instant::now();
        let mut bucket = Bucket::full(&rate, start);
        bucket.absorb(&rate, 4, start);
        assert!(bucket.take(&rate, start).is_ok());
        assert!(bucket.take(&rate, start).is_err());
    }

    #[test]
    fn what_ran_over_while_others_spent_is_not_paid_twice() {
        let rate = rate(10.0, 5.0);
        let start = Instant::now();
        let mut bucket = Bucket::full(&rate, start);
        // Within ten seconds 100 tokens ran over here; another replica spent 90 of them.
        let later = start + Duration::from_secs(10);
        bucket.absorb(&rate, 90, later);
        assert!((0..5).all(|_| bucket.take(&rate, later).is_ok()));
    }

    #[test]
    fn a_debt_is_at_most_one_burst() {
        let rate = rate(10.0, 5.0);
        let start = Instant::now();
        let mut bucket = Bucket::full(&rate, start);
        bucket.absorb(&rate, 1_000_000_000, start);
        let refusal = bucket.take(&rate, start).unwrap_err();
        assert_eq!(refusal.retry_after, Duration::from_millis(600));
    }

    #[test]
    fn a_clock_that_stands_still_or_lags_harms_nothing() {
        let rate = rate(10.0, 1.0);
        let start = Instant::now() + Duration::from_secs(5);
        let mut bucket = Bucket::full(&rate, start);
        assert!(bucket.take(&rate, start).is_ok());
        assert!(
            bucket
                .take(&rate, start.checked_sub(Duration::from_secs(5)).unwrap())
                .is_err()
        );
        assert!(bucket.take(&rate, start).is_err());
    }

    #[test]
    fn senseless_rates_do_not_exist() {
        for (per_second, burst) in [
            (0.0, 1.0),
            (-1.0, 1.0),
            (1.0, 0.5),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(Rate::new(per_second, burst), None);
        }
    }

    proptest! {
        /// Over any span, at most burst + rate * time pass, however the requests are spread.
        #[test]
        fn never_more_than_burst_and_rate_allow(gaps in prop::collection::vec(0_u64..400, 1..200)) {
            let rate = rate(20.0, 7.0);
            let start = Instant::now();
            let mut bucket = Bucket::full(&rate, start);
            let mut now = start;
            let mut passed = 0.0;
            for gap in gaps {
                now += Duration::from_millis(gap);
                if bucket.take(&rate, now).is_ok() {
                    passed += 1.0;
                }
                let allowed = 7.0 + 20.0 * (now - start).as_secs_f64();
                prop_assert!(passed <= allowed + 1e-6, "{passed} passed, {allowed} allowed");
            }
        }

        /// Replicas that reconcile often let through about as much as one alone would.
        #[test]
        fn replicas_together_keep_to_the_rate(picks in prop::collection::vec(0_usize..3, 500..1500)) {
            let rate = rate(50.0, 20.0);
            let start = Instant::now();
            let mut replicas: Vec<Bucket> = (0..3).map(|_| Bucket::full(&rate, start)).collect();
            let mut now = start;
            let mut passed = 0.0;
            for (turn, pick) in picks.iter().enumerate() {
                now += Duration::from_millis(2);
                if replicas[*pick].take(&rate, now).is_ok() {
                    passed += 1.0;
                }
                if turn % 100 == 99 {
                    let spent: Vec<u64> = replicas.iter_mut().map(Bucket::hand_over).collect();
                    let total: u64 = spent.iter().sum();
                    for (replica, own) in replicas.iter_mut().zip(spent) {
                        replica.absorb(&rate, total - own, now);
                    }
                }
            }
            let ideal = 20.0 + 50.0 * (now - start).as_secs_f64();
            // Before the first reconciliation each replica may spend a burst of its own, and 0.2 s of the rate.
            prop_assert!(passed <= ideal + 2.0 * (20.0 + 50.0 * 0.2), "{passed} passed, {ideal} would be ideal");
        }
    }
}
