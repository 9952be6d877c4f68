//! A run in steps, for its picture.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::drill::history::{History, Micros, Outcome, Phase};

/// How many steps the picture of a run has at most.
const STEPS: u64 = 180;

/// What became of the operations of a run, in equal steps: each list has a number a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// When the first step begins, in microseconds since the run began.
    pub from: Micros,
    /// How long a step is, in microseconds.
    pub step: Micros,
    /// When the fault was, in microseconds since the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Micros>,
    /// Orders that began within the step and were acknowledged.
    pub orders: Vec<u32>,
    /// Other operations that began within it and were answered as they should be.
    pub ok: Vec<u32>,
    /// Operations that began within it and failed or were not answered.
    pub failed: Vec<u32>,
    /// So many microseconds the slowest of all these took.
    pub slowest: Vec<Micros>,
}

/// A run in steps.
pub(super) fn timeline(history: &History) -> Timeline {
    let from = history.began(Phase::Steady).unwrap_or(0);
    let end = history
        .began(Phase::Draining)
        .or_else(|| {
            history
                .operations
                .iter()
                .map(|operation| operation.began)
                .max()
        })
        .unwrap_or(from);
    let step = (end.saturating_sub(from) / STEPS).max(1);
    let count = end.saturating_sub(from).div_ceil(step).min(STEPS + 1);
    let count = usize::try_from(count).unwrap_or(0);
    let mut timeline = Timeline {
        from,
        step,
        fault: history.fault_at(),
        orders: vec![0; count],
        ok: vec![0; count],
        failed: vec![0; count],
        slowest: vec![0; count],
    };
    for operation in &history.operations {
        let Some(after) = operation.began.checked_sub(from) else {
            continue;
        };
        let place = usize::try_from(after / step).unwrap_or(usize::MAX);
        let Some(slowest) = timeline.slowest.get_mut(place) else {
            continue;
        };
        *slowest = operation.took().max(*slowest);
        let counts = if operation.outcome != Outcome::Ok {
            &mut timeline.failed
        } else if operation.acknowledged().is_some() {
            &mut timeline.orders
        } else {
            &mut timeline.ok
        };
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    timeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_counts_every_operation_once() {
        let history = crate::drill::sample::honest();
        let timeline = timeline(&history);
        let all: u32 = [&timeline.orders, &timeline.ok, &timeline.failed]
            .into_iter()
            .flatten()
            .sum();
        assert_eq!(all as usize, history.operations.len());
        assert!(timeline.orders.len() as u64 <= STEPS + 1);
        assert_eq!(timeline.orders.len(), timeline.slowest.len());
    }
}
