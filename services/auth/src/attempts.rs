//! How often one address may be tried: in this process only.
//!
//! Each replica counts for itself, so an address may be tried as often as there are replicas. What bounds the
//! work that strangers cause is the queue of [`crate::hashing`]; this is against guessing one password.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::email::Email;

/// How many addresses a generation remembers.
const GENERATION: usize = 20_000;

/// Counts attempts by address.
#[derive(Debug)]
pub(crate) struct Attempts {
    burst: u32,
    /// What an attempt costs in time.
    interval: Duration,
    generation: usize,
    /// Addresses are kept as keyed hashes: small, and worth nothing to whoever reads our memory.
    keys: RandomState,
    debts: Mutex<Generations>,
}

/// When each address will have paid for its attempts, one interval each. Addresses in use and those that were used
/// before them: when there are too many, the older ones go, which have mostly paid by then.
#[derive(Debug, Default)]
struct Generations {
    current: HashMap<u64, Instant>,
    previous: HashMap<u64, Instant>,
}

/// There were too many attempts; how long until the next one is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) Duration);

impl Attempts {
    /// Allows `burst` attempts at once and `per_minute` in the long run.
    pub(crate) fn new(burst: NonZeroU32, per_minute: NonZeroU32) -> Self {
        Self::bounded(burst, per_minute, GENERATION)
    }

    fn bounded(burst: NonZeroU32, per_minute: NonZeroU32, generation: usize) -> Self {
        Self {
            burst: burst.get(),
            interval: Duration::from_mins(1) / per_minute.get(),
            generation,
            keys: RandomState::new(),
            debts: Mutex::default(),
        }
    }

    /// Counts an attempt.
    pub(crate) fn count(&self, email: &Email) -> Result<(), TooMany> {
        self.count_at(email, Instant::now())
    }

    fn count_at(&self, email: &Email, now: Instant) -> Result<(), TooMany> {
        let key = self.keys.hash_one(email);
        // A panic while the lock was held cannot leave an entry half-written.
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let paid_at = debts.entry(key, self.generation, now);
        let with_this = (*paid_at).max(now) + self.interval;
        let latest = now + self.interval * self.burst;
        if with_this > latest {
            return Err(TooMany(with_this - latest));
        }
        *paid_at = with_this;
        Ok(())
    }
}

impl Generations {
    fn entry(&mut self, key: u64, generation: usize, now: Instant) -> &mut Instant {
        if !self.current.contains_key(&key) && self.current.len() >= generation {
            self.previous = std::mem::take(&mut self.current);
        }
        let Self { current, previous } = self;
        current
            .entry(key)
            .or_insert_with(|| previous.remove(&key).unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(burst: u32, per_minute: u32) -> Attempts {
        let count = |number| NonZeroU32::new(number).unwrap();
        Attempts::bounded(count(burst), count(per_minute), 10)
    }

    fn email(name: impl std::fmt::Display) -> Email {
        Email::parse(&format!("{name}@example.org")).unwrap()
    }

    #[test]
    fn attempts_beyond_the_burst_wait_for_the_next_one() {
        let attempts = attempts(3, 10);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(attempts.count_at(&email("ada"), now), Ok(()));
        }
        let TooMany(wait) = attempts.count_at(&email("ada"), now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(6));
        let almost = now + wait.saturating_sub(Duration::from_millis(1));
        assert!(attempts.count_at(&email("ada"), almost).is_err());
        assert_eq!(attempts.count_at(&email("ada"), now + wait), Ok(()));
    }

    #[test]
    fn a_refused_attempt_does_not_push_the_next_one_away() {
        let attempts = attempts(1, 60);
        let now = Instant::now();
        assert_eq!(attempts.count_at(&email("ada"), now), Ok(()));
        for _ in 0..100 {
            assert!(attempts.count_at(&email("ada"), now).is_err());
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(attempts.count_at(&email("ada"), later), Ok(()));
    }

    #[test]
    fn one_address_does_not_use_up_anothers_attempts() {
        let attempts = attempts(1, 1);
        let now = Instant::now();
        assert_eq!(attempts.count_at(&email("ada"), now), Ok(()));
        assert!(attempts.count_at(&email("ada"), now).is_err());
        assert_eq!(attempts.count_at(&email("grace"), now), Ok(()));
    }

    #[test]
    fn rest_never_saves_more_than_the_burst() {
        let attempts = attempts(2, 60);
        let now = Instant::now();
        assert_eq!(attempts.count_at(&email("ada"), now), Ok(()));
        let later = now + Duration::from_hours(24);
        assert_eq!(attempts.count_at(&email("ada"), later), Ok(()));
        assert_eq!(attempts.count_at(&email("ada"), later), Ok(()));
        assert!(attempts.count_at(&email("ada"), later).is_err());
    }

    #[test]
    fn memory_is_bounded_and_a_debt_outlives_its_generation() {
        let attempts = attempts(1, 1);
        let now = Instant::now();
        assert_eq!(attempts.count_at(&email("ada"), now), Ok(()));
        for name in 0..10 {
            assert_eq!(attempts.count_at(&email(name), now), Ok(()));
        }
        assert!(attempts.count_at(&email("ada"), now).is_err());
        for name in 10..1000 {
            assert_eq!(attempts.count_at(&email(name), now), Ok(()));
        }
        let debts = attempts.debts.lock().unwrap();
        assert!(debts.current.len() <= 10 && debts.previous.len() <= 10);
    }
}
