//! How a figure spreads over runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a figure spreads over runs: microseconds, or a count. The 95th percentile is by the nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// In how many runs it was measured.
    pub measured: u64,
    /// The median; of an even number of runs, the middle of the two in the middle.
    pub p50: u64,
    /// The 95th percentile.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

/// How values spread; nothing to tell of none.
pub(super) fn spread(mut values: Vec<u64>) -> Option<Spread> {
    values.sort_unstable();
    let p95 = (values.len() * 95).div_ceil(100).checked_sub(1)?;
    Some(Spread {
        measured: values.len() as u64,
        p50: median(&values)?,
        p95: *values.get(p95)?,
        max: *values.last()?,
    })
}

/// The median of sorted values; of an even number, the middle of the two in the middle, rounded down.
pub(in crate::drill) fn median(sorted: &[u64]) -> Option<u64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(lower.midpoint(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_has_the_median_the_95th_percentile_and_the_largest() {
        let of = |values: &[u64]| spread(values.to_vec()).map(|it| (it.p50, it.p95, it.max));
        assert_eq!(of(&[10, 1, 9, 2, 8, 3, 7, 4, 20, 30]), Some((7, 30, 30)));
        assert_eq!(of(&[5, 1, 3]), Some((3, 5, 5)));
        assert_eq!(of(&[4, 2]), Some((3, 4, 4)));
        assert_eq!(of(&(1..=100).collect::<Vec<_>>()), Some((50, 95, 100)));
        assert_eq!(of(&[]), None);
    }
}
