//! Counts of durations in buckets that are at most 0.8 % wide, after Gil Tene's HDR histogram.
//!
//! Below 256 µs every microsecond has its own bucket; above, every power of two is divided into 128.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Latency;

/// Values below this have a bucket each.
const EXACT: u64 = 256;
/// Buckets of a power of two.
const PARTS: u64 = EXACT / 2;

/// Durations, counted. Kept in microseconds; can be added to another one without loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Histogram {
    min: u64,
    max: u64,
    sum: u64,
    /// Bucket and count, in the order of buckets; no count is 0.
    counts: Vec<(u16, u64)>,
}

impl Histogram {
    /// Counts a duration. More than an hour counts as an hour.
    pub fn record(&mut self, duration: Duration) {
        let hour = 3_600_000_000;
        let value = u64::try_from(duration.as_micros()).map_or(hour, |value| value.min(hour));
        self.min = if self.counts.is_empty() {
            value
        } else {
            self.min.min(value)
        };
        self.max = self.max.max(value);
        self.sum += value;
        self.add_to(bucket(value), 1);
    }

    /// Adds all that another one has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        self.min = if self.counts.is_empty() {
            other.min
        } else {
            self.min.min(other.min)
        };
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        for (bucket, count) in &other.counts {
            self.add_to(*bucket, *count);
        }
    }

    fn add_to(&mut self, bucket: u16, count: u64) {
        match self
            .counts
            .binary_search_by_key(&bucket, |(bucket, _)| *bucket)
        {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The smallest duration that so large a share of all does not exceed, in milliseconds; `None`: nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 1 and the count"
        )]
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0u64;
        let (bucket, _) = self.counts.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        Some(milliseconds(upper_bound(*bucket).clamp(self.min, self.max)))
    }

    /// The percentiles; `None`: nothing was counted.
    pub fn latency(&self) -> Option<Latency> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let mean = self.sum as f64 / count as f64 / 1_000.0;
        Some(Latency {
            min: milliseconds(self.min),
            mean: (mean * 1_000.0).round() / 1_000.0,
            p50: self.quantile(0.5)?,
            p75: self.quantile(0.75)?,
            p90: self.quantile(0.9)?,
            p95: self.quantile(0.95)?,
            p99: self.quantile(0.99)?,
            p999: self.quantile(0.999)?,
            max: milliseconds(self.max),
        })
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

fn bucket(value: u64) -> u16 {
    let place = if value < EXACT {
        value
    } else {
        // The value has `shift` more binary digits than the largest exact one.
        let shift = u64::from(value.ilog2() - PARTS.ilog2());
        EXACT + (shift - 1) * PARTS + ((value >> shift) - PARTS)
    };
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// The largest value of a bucket.
fn upper_bound(bucket: u16) -> u64 {
    let place = u64::from(bucket);
    if place < EXACT {
        return place;
    }
    let shift = (place - EXACT) / PARTS + 1;
    let part = (place - EXACT) % PARTS + PARTS;
    // A bucket that no duration falls into, from a file that is not ours.
    if shift > 40 {
        return u64::MAX;
    }
    ((part + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(Duration::from_micros(*value));
        }
        histogram
    }

    proptest! {
        #[test]
        fn a_quantile_is_that_of_the_sorted_values_or_at_most_a_128th_more(
            mut values in prop::collection::vec(0u64..3_600_000_000, 1..200),
            share in 0.0f64..=1.0,
        ) {
            let quantile = of(&values).quantile(share).unwrap() * 1_000.0;
            values.sort_unstable();
            let reaches = |place: usize| (place + 1) as f64 >= share * values.len() as f64;
            let exact = values[(0..values.len()).find(|place| reaches(*place)).unwrap()] as f64;
            prop_assert!(quantile >= exact - 1e-6 && quantile <= exact * (1.0 + 1.0 / 128.0) + 1e-6);
        }

        #[test]
        fn adding_two_is_counting_all(
            one in prop::collection::vec(0u64..10_000_000, 0..50),
            other in prop::collection::vec(0u64..10_000_000, 0..50),
        ) {
            let mut both = of(&one);
            both.merge(&of(&other));
            prop_assert_eq!(both, of(&[one, other].concat()));
        }

        #[test]
        fn every_value_lies_in_its_bucket(value in 0u64..=3_600_000_000) {
            let place = bucket(value);
            prop_assert!(value <= upper_bound(place));
            prop_assert!(place == 0 || value > upper_bound(place - 1));
        }
    }

    #[test]
    fn of_nothing_there_are_no_percentiles() {
        assert_eq!(Histogram::default().latency(), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
