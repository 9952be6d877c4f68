//! The figures of a run, from its history alone.
//!
//! The fault's moment is when the first signal was known to be delivered; all four times count from there.

mod steady;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::{Fault, Figure, History, Micros, Outcome, Phase, Seen};
use steady::{STEADY_P99_FLOOR, p99_of_kind_before, steady_at};
pub(super) use steady::{p99_before, steady_from};

/// The figures of a run. Times are microseconds; the first five from the fault on, `None` when it never came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Somebody noticed: the supervisor, or a majority of Sentinels.
    pub detected: Option<Micros>,
    /// A successor is in place: another master, or another process that serves.
    pub promoted: Option<Micros>,
    /// The broken part acknowledged a write again.
    pub writable: Option<Micros>,
    /// The first order that began after the fault was acknowledged.
    pub first_order: Option<Micros>,
    /// From here on ten seconds were as good as before the fault.
    pub steady_again: Option<Micros>,
    /// The longest time without an acknowledged order from the fault until the last operation.
    pub order_gap: Option<Micros>,
    /// The same before the fault, to compare it with.
    pub order_gap_before: Option<Micros>,
    /// The 99th percentile of orders and reads before the fault.
    pub p99_before: Option<Micros>,
    /// What became of operations from the fault on, by kind.
    pub operations: BTreeMap<String, Counts>,
}

/// What became of operations of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All of them.
    pub all: u64,
    /// Answered as they should be.
    pub ok: u64,
    /// Answered with "not done", also after the repeat.
    pub failed: u64,
    /// Not answered, also after the repeat.
    pub unknown: u64,
    /// Repeated once.
    pub repeated: u64,
    /// Took more than twice the 99th percentile of their kind from before the fault.
    pub slow: u64,
    /// The longest took so many microseconds.
    pub longest: Micros,
}

/// Computes the figures of a run.
pub fn measure(history: &History) -> Figures {
    let p99_before = p99_before(history);
    let Some(fault) = history.fault_at() else {
        return Figures {
            p99_before,
            ..Figures::default()
        };
    };
    let since = |at: Micros| at.saturating_sub(fault);
    Figures {
        detected: detected_at(history, fault).map(since),
        promoted: promoted_at(history, fault).map(since),
        writable: writable_at(history, fault).map(since),
        first_order: first_order_at(history, fault).map(since),
        steady_again: p99_before
            .and_then(|p99| steady_at(history, fault, p99))
            .map(since),
        order_gap: operations_end(history).and_then(|end| order_gap(history, fault, end)),
        order_gap_before: history
            .began(Phase::Steady)
            .and_then(|steady| order_gap(history, steady, fault)),
        p99_before,
        operations: counts(history, fault),
    }
}

/// How long the shop could not do its work, at most: the longest time without an acknowledged order, or without an
/// answer from Postgres.
pub fn outage(history: &History) -> Micros {
    let Some(fault) = history.fault_at() else {
        return 0;
    };
    let gap = operations_end(history).and_then(|end| order_gap(history, fault, end));
    let mut seen: Vec<Micros> = history.books.iter().map(|books| books.at).collect();
    seen.sort_unstable();
    let blind = seen
        .windows(2)
        .filter(|pair| pair[1] >= fault)
        .map(|pair| pair[1] - pair[0])
        .max();
    gap.unwrap_or(0).max(blind.unwrap_or(0))
}

impl Figures {
    /// The figure that an objective is about: microseconds or a count; `None` if it was not measured.
    pub fn get(&self, figure: Figure) -> Option<u64> {
        let not_done = |kind: &str| {
            let counts = self.operations.get(kind)?;
            Some(counts.failed + counts.unknown)
        };
        match figure {
            Figure::Detected => self.detected,
            Figure::Promoted => self.promoted,
            Figure::Writable => self.writable,
            Figure::FirstOrder => self.first_order,
            Figure::SteadyAgain => self.steady_again,
            Figure::OrderGap => self.order_gap,
            Figure::FailedOrders => not_done("order"),
            Figure::FailedReads => not_done("read"),
            Figure::FailedLogins => not_done("login"),
        }
    }
}

/// The instances that were broken.
fn victims(history: &History) -> Vec<&Fault> {
    history
        .faults
        .iter()
        .filter(|fault| fault.broke())
        .collect()
}

fn detected_at(history: &History, fault: Micros) -> Option<Micros> {
    let victims = victims(history);
    first_sight(history, fault, |seen| match seen {
        Seen::Instance {
            instance,
            state,
            ready,
            ..
        } => {
            victims.iter().any(|fault| fault.instance == *instance)
                && (!ready || state != "running")
        }
        Seen::Redis { down, .. } => *down,
        Seen::PostgresGone => true,
        Seen::RedisWritable { .. } | Seen::Postgres { .. } => false,
    })
}

/// Another master if one was there before; else another process in the place of each that was broken, which serves.
fn promoted_at(history: &History, fault: Micros) -> Option<Micros> {
    let master_before = history
        .sights
        .iter()
        .filter(|sight| sight.at < fault)
        .filter_map(|sight| match &sight.seen {
            Seen::Redis { master, .. } => master.as_deref(),
            _ => None,
        })
        .next_back();
    let other_master = first_sight(history, fault, |seen| match seen {
        Seen::Redis {
            master: Some(master),
            ..
        } => master_before.is_some_and(|before| before != master),
        _ => false,
    });
    if other_master.is_some() {
        return other_master;
    }
    let victims = victims(history);
    let successors: Option<Vec<Micros>> = victims
        .iter()
        .map(|victim| {
            first_sight(history, victim.at, |seen| {
                seen.serves() && victim.successor(seen).is_some()
            })
        })
        .collect();
    successors?.into_iter().max()
}

fn writable_at(history: &History, fault: Micros) -> Option<Micros> {
    // What was never refused was writable all the time: that is no time to tell.
    let refused = first_sight(history, fault, |seen| {
        matches!(seen, Seen::RedisWritable { writable: false })
    })?;
    first_sight(history, refused, |seen| {
        matches!(seen, Seen::RedisWritable { writable: true })
    })
}

fn first_order_at(history: &History, fault: Micros) -> Option<Micros> {
    history
        .load()
        .filter(|operation| operation.began >= fault && operation.acknowledged().is_some())
        .map(|operation| operation.ended)
        .min()
}

fn first_sight(history: &History, from: Micros, is_it: impl Fn(&Seen) -> bool) -> Option<Micros> {
    history
        .sights
        .iter()
        .filter(|sight| sight.at >= from && is_it(&sight.seen))
        .map(|sight| sight.at)
        .min()
}

/// When the last operation of the run could begin.
fn operations_end(history: &History) -> Option<Micros> {
    history
        .began(Phase::Draining)
        .or_else(|| history.load().map(|operation| operation.began).max())
}

/// The longest time between two acknowledged orders, and to both ends. `None` without any order.
pub(super) fn order_gap(history: &History, from: Micros, until: Micros) -> Option<Micros> {
    let mut moments: Vec<Micros> = history
        .load()
        .filter(|operation| operation.acknowledged().is_some())
        .map(|operation| operation.ended)
        .filter(|ended| (from..=until).contains(ended))
        .collect();
    if moments.is_empty() && from >= until {
        return None;
    }
    moments.push(from);
    moments.push(until);
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max()
}

fn counts(history: &History, fault: Micros) -> BTreeMap<String, Counts> {
    let slow_from: BTreeMap<&str, Micros> = ["order", "read", "login"]
        .into_iter()
        .filter_map(|kind| {
            let p99 = p99_of_kind_before(history, kind)?;
            Some((kind, p99.saturating_mul(2).max(STEADY_P99_FLOOR)))
        })
        .collect();
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    // What was under way when it happened felt it too.
    for operation in history.load().filter(|operation| operation.ended >= fault) {
        let kind = operation.action.kind();
        let count = counts.entry(kind.to_owned()).or_default();
        count.all += 1;
        match operation.outcome {
            Outcome::Ok => count.ok += 1,
            Outcome::Fail => count.failed += 1,
            Outcome::Unknown => count.unknown += 1,
        }
        count.repeated += u64::from(operation.attempts > 1);
        count.slow += u64::from(
            slow_from
                .get(kind)
                .is_some_and(|slow| operation.took() > *slow),
        );
        count.longest = count.longest.max(operation.took());
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::sample::{END, FAULT_AT, honest};

    const SECOND: Micros = 1_000_000;

    #[test]
    fn the_four_times_count_from_the_fault() {
        let figures = measure(&honest());
        assert_eq!(figures.detected, Some(1_200_000));
        assert_eq!(figures.promoted, Some(2_000_000));
        assert_eq!(figures.writable, Some(2_400_000));
        assert_eq!(figures.first_order, Some(2_000));
        assert_eq!(figures.steady_again, Some(0));
        assert_eq!(figures.order_gap, Some(20_000));
        assert_eq!(figures.p99_before, Some(2_000));
        assert_eq!(figures.get(Figure::FailedOrders), Some(0));
    }

    #[test]
    fn an_outage_shows_in_the_gap_the_counts_and_the_time_until_all_is_well() {
        let mut history = honest();
        let down = FAULT_AT..FAULT_AT + 3 * SECOND;
        for operation in &mut history.operations {
            if down.contains(&operation.began) {
                operation.outcome = Outcome::Unknown;
                operation.ended = operation.began + SECOND;
                operation.attempts = 2;
                operation.told = None;
            }
        }
        let figures = measure(&history);
        assert_eq!(figures.first_order, Some(3 * SECOND + 2_000));
        assert_eq!(figures.order_gap, Some(3 * SECOND + 2_000));
        assert_eq!(figures.steady_again, Some(3 * SECOND));
        let orders = figures.operations["order"];
        assert_eq!(
            (orders.unknown, orders.repeated, orders.slow),
            (150, 150, 150)
        );
        assert_eq!(orders.longest, SECOND);
        assert_eq!(figures.get(Figure::FailedReads), Some(150));
    }

    #[test]
    fn what_never_came_is_not_measured() {
        let mut history = honest();
        history.sights.clear();
        for operation in &mut history.operations {
            if operation.began >= FAULT_AT {
                operation.outcome = Outcome::Fail;
                operation.told = None;
            }
        }
        let figures = measure(&history);
        assert_eq!(figures.detected, None);
        assert_eq!(figures.writable, None);
        assert_eq!(figures.first_order, None);
        assert_eq!(figures.steady_again, None);
        assert_eq!(figures.order_gap, Some(END - FAULT_AT));
        history.faults.clear();
        assert_eq!(measure(&history).order_gap, None);
    }

    #[test]
    fn a_successor_is_another_process_that_serves() {
        let mut history = honest();
        history.sights.clear();
        let seen = |pid, ready| Seen::Instance {
            instance: "redis-0".to_owned(),
            state: "running".to_owned(),
            ready,
            role: None,
            pid: Some(pid),
            process: None,
            restarts: 0,
            last_exit: None,
        };
        for (at, seen) in [
            (1, seen(4242, true)),
            (2, seen(4243, false)),
            (3, seen(4243, true)),
        ] {
            history.sights.push(super::super::history::Sight {
                at: FAULT_AT + at,
                seen,
            });
        }
        assert_eq!(measure(&history).promoted, Some(3));
        assert_eq!(measure(&history).detected, Some(2));
    }
}
