//! Whether all was as well as before, by failures and by the 99th percentile.

use super::operations_end;
use crate::drill::history::{Action, History, Micros, Operation, Outcome, Phase};

/// How long all must be well to be called steady again.
const STEADY_FOR: Micros = 10_000_000;
/// How finely the beginning of that time is searched.
const STEADY_STEP: Micros = 100_000;
/// The largest share of operations that may fail while all is well.
const STEADY_ERRORS: f64 = 0.001;
/// The 99th percentile may be so many times the one before the fault.
const STEADY_P99: f64 = 2.0;
/// Below this, a 99th percentile is not told apart from a busy machine: a few turns of the scheduler.
pub(super) const STEADY_P99_FLOOR: Micros = 20_000;

fn steady_operations(history: &History) -> Vec<&Operation> {
    let Some(steady) = history.began(Phase::Steady) else {
        return Vec::new();
    };
    let end = history
        .fault_at()
        .or_else(|| history.began(Phase::Faulty))
        .unwrap_or(Micros::MAX);
    history
        .load()
        .filter(|operation| operation.began >= steady && operation.ended < end)
        .collect()
}

/// The 99th percentile by the nearest rank.
fn p99(operations: Vec<&Operation>) -> Option<Micros> {
    let mut took: Vec<Micros> = operations.into_iter().map(Operation::took).collect();
    took.sort_unstable();
    let rank = (took.len() * 99).div_ceil(100);
    took.get(rank.checked_sub(1)?).copied()
}

/// The earliest moment from which on operations were as good as before, for long enough.
pub(super) fn steady_at(history: &History, fault: Micros, p99_before: Micros) -> Option<Micros> {
    let end = operations_end(history)?;
    steady_from(history, fault, end, p99_before).ok()
}

/// The earliest moment between `from` and `end` from which on operations were as good as before, for long enough;
/// otherwise the first moment that could not be judged yet. `from` must be the fault or such a moment.
pub(in crate::drill) fn steady_from(
    history: &History,
    mut from: Micros,
    end: Micros,
    p99_before: Micros,
) -> Result<Micros, Micros> {
    let allowed = (p99_before as f64 * STEADY_P99).max(STEADY_P99_FLOOR as f64);
    let mut operations: Vec<&Operation> = history
        .load()
        .filter(|operation| operation.began >= from)
        .collect();
    operations.sort_unstable_by_key(|operation| operation.began);
    while from + STEADY_FOR <= end {
        let first = operations.partition_point(|operation| operation.began < from);
        let behind = operations.partition_point(|operation| operation.began < from + STEADY_FOR);
        let window = &operations[first..behind];
        let bad = window
            .iter()
            .filter(|operation| operation.outcome != Outcome::Ok)
            .count();
        let few_errors = (bad as f64) < window.len() as f64 * STEADY_ERRORS;
        if few_errors && p99(quick(window)).is_some_and(|p99| p99 as f64 <= allowed) {
            return Ok(from);
        }
        from += STEADY_STEP;
    }
    Err(from)
}

/// The 99th percentile of orders and reads before the fault.
pub(in crate::drill) fn p99_before(history: &History) -> Option<Micros> {
    p99(quick(&steady_operations(history)))
}

/// The 99th percentile of the operations of one kind before the fault.
pub(super) fn p99_of_kind_before(history: &History, kind: &str) -> Option<Micros> {
    let mut operations = steady_operations(history);
    operations.retain(|operation| operation.action.kind() == kind);
    p99(operations)
}

/// A login takes as long as the hash of a password and would hide what becomes of all others.
fn quick<'a>(operations: &[&'a Operation]) -> Vec<&'a Operation> {
    operations
        .iter()
        .copied()
        .filter(|operation| operation.action != Action::Login)
        .collect()
}
