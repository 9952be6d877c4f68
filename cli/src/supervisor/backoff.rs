//! How long to wait before a dead process is started again. Pure: told the time, never asks for it.

use std::time::{Duration, Instant};

use super::spec::RestartSpec;

/// A process that was well for this long has its past forgiven: it has served for as long as the longest pause is. What dies
/// again and again without serving never gets there; a server that is killed every half a minute comes back at once.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);

/// Doubles the pause with each death in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// The pause after a death. `well_since` is when the process that died became ready, if it did.
    pub(super) fn pause(
        &mut self,
        spec: RestartSpec,
        well_since: Option<Instant>,
        now: Instant,
    ) -> Duration {
        if well_since.is_some_and(|since| now.saturating_duration_since(since) >= FORGIVEN_AFTER) {
            self.deaths = 0;
        }
        let initial = spec.initial_milliseconds.max(1);
        let factor = 1_u64.checked_shl(self.deaths).unwrap_or(u64::MAX);
        self.deaths = (self.deaths + 1).min(u64::BITS - 1);
        Duration::from_millis(
            initial
                .saturating_mul(factor)
                .min(spec.maximum_milliseconds.max(initial)),
        )
    }

    /// Forgets everything: what died was not what is wanted now.
    pub(super) fn reset(&mut self) {
        self.deaths = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        let now = Instant::now();
        (0..count)
            .map(|_| backoff.pause(RestartSpec::default(), None, now).as_millis())
            .collect()
    }

    #[test]
    fn the_pause_doubles_up_to_its_cap_and_stays_there() {
        let mut backoff = Backoff::default();
        assert_eq!(
            pauses(&mut backoff, 8),
            [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(pauses(&mut backoff, 200).last(), Some(&10_000));
    }

    #[test]
    fn ten_seconds_of_being_well_are_forgiving_and_one_is_not() {
        let mut backoff = Backoff::default();
        pauses(&mut backoff, 5);
        let ready = Instant::now();
        let soon = ready + Duration::from_secs(1);
        let later = ready + FORGIVEN_AFTER;
        let spec = RestartSpec::default();
        assert_eq!(
            backoff.pause(spec, Some(ready), soon),
            Duration::from_millis(6400)
        );
        assert_eq!(
            backoff.pause(spec, Some(ready), later),
            Duration::from_millis(200)
        );
    }
}
