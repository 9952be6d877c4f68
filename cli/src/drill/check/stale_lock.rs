//! A lock holder that hung and came back: its release does nothing, and its order is what Postgres made of it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Check, Tally};
use crate::drill::history::{
    FaultKind, History, Micros, Operation, Outcome, Phase, SaleTerms, StaleLock, StaleLocks, Told,
};

const RELEASE: &str = "a stale lock holder's release does nothing";
const DECISION: &str = "what a stale lock holder had begun is Postgres's decision";
/// A lock that is gone so long before its time was released.
const EARLY: Micros = 150_000;
/// How long the new holder's lock must have been looked at after the old holder went on.
const WATCHED: Micros = 500_000;

/// Only of runs in which a holder was to hang.
pub(super) fn checks(history: &History) -> Vec<Check> {
    let Some(sale) = &history.plan.sale else {
        return Vec::new();
    };
    vec![
        release_does_nothing(history),
        postgres_decided(history, sale),
    ]
}

/// The locks that were caught; why there are none, or fewer than there should be, is noted.
fn caught<'a>(history: &'a History, tally: &mut Tally) -> Option<&'a StaleLocks> {
    let Some(seen) = &history.stale_locks else {
        tally.cannot_tell(|| "the run ended before a lock holder had hung and gone on".to_owned());
        return None;
    };
    if let Some(reason) = &seen.reason {
        tally.cannot_tell(|| reason.clone());
    } else if seen.locks.is_empty() {
        tally.cannot_tell(|| "no lock was caught".to_owned());
    }
    Some(seen)
}

fn release_does_nothing(history: &History) -> Check {
    let mut tally = Tally::new(RELEASE);
    let Some(seen) = caught(history, &mut tally) else {
        return tally.ended();
    };
    for lock in &seen.locks {
        if let Err(reason) = was_provoked(history, seen, lock) {
            tally.cannot_tell(|| format!("{}: {reason}", lock.key));
            continue;
        }
        let lost = lock.looks.iter().find(|look| look.token != lock.new_token);
        tally.expect(lost.is_none(), || {
            let (at, found) = lost.map_or((0, None), |look| (look.at, look.token.as_deref()));
            format!(
                "{}: the new holder wrote {}, and at {} there was {}",
                lock.key,
                lock.new_token.as_deref().unwrap_or_default(),
                seconds(at),
                found.unwrap_or("no lock")
            )
        });
    }
    // A holder that never tried to release has proved nothing.
    let tried = seen
        .stale_before
        .zip(seen.stale_after)
        .map(|(before, after)| after.saturating_sub(before));
    if !seen.locks.is_empty() && tried.is_none_or(|tried| tried < seen.locks.len() as u64) {
        tally.cannot_tell(|| {
            format!(
                "{} was not seen to try: of {} stale releases it counts {}",
                seen.instance,
                seen.locks.len(),
                tried.map_or("nothing".to_owned(), |tried| tried.to_string())
            )
        });
    }
    tally.ended()
}

/// Whether the lock ran out while its holder was stopped, somebody else took it, and then the holder went on.
fn was_provoked(history: &History, seen: &StaleLocks, lock: &StaleLock) -> Result<(), String> {
    let expired = lock
        .expired_at
        .ok_or("it was not seen to run out before its holder went on")?;
    if expired + EARLY < lock.seen_at + lock.left_micros {
        return Err(format!(
            "it was gone at {}, long before its time",
            seconds(expired)
        ));
    }
    let (Some(taken), Some(_)) = (lock.taken_at, &lock.new_token) else {
        return Err("nobody else got it".to_owned());
    };
    if lock.new_token.as_ref() == Some(&lock.stale_token) || taken < expired {
        return Err("its new holder is not told from the old one".to_owned());
    }
    let gone_on = went_on(history, seen, taken)
        .ok_or_else(|| format!("{} did not go on after that", seen.instance))?;
    let watched = lock
        .watched_until
        .is_some_and(|until| until >= gone_on + WATCHED);
    if !watched || lock.looks.is_empty() {
        return Err("it was not looked at for long enough afterwards".to_owned());
    }
    Ok(())
}

/// When the holder that hung went on, after a moment.
fn went_on(history: &History, seen: &StaleLocks, after: Micros) -> Option<Micros> {
    history
        .faults
        .iter()
        .filter(|fault| fault.kind == FaultKind::Continue && fault.confirmed)
        .filter(|fault| fault.instance == seen.instance && fault.at >= after)
        .map(|fault| fault.at)
        .min()
}

fn postgres_decided(history: &History, sale: &SaleTerms) -> Check {
    let mut tally = Tally::new(DECISION);
    if history.began(Phase::Accounting).is_none() {
        tally.cannot_tell(|| "the books were not read at the end".to_owned());
        return tally.ended();
    }
    let mut pieces: BTreeMap<Uuid, i64> = BTreeMap::new();
    for booked in &history.orders {
        if booked.order.product == sale.product {
            *pieces.entry(booked.customer).or_default() += i64::from(booked.order.quantity);
        }
    }
    for (customer, pieces) in &pieces {
        tally.expect(*pieces <= sale.limit_per_customer, || {
            format!(
                "{customer} has {pieces} pieces of the sale, allowed are {}",
                sale.limit_per_customer
            )
        });
    }
    let Some(seen) = caught(history, &mut tally) else {
        return tally.ended();
    };
    for lock in &seen.locks {
        begun_is_settled(history, lock, &mut tally);
        next_is_decided(history, seen, lock, &mut tally);
    }
    tally.ended()
}

/// The order that was under way when its holder hung: told, read by its key, repeated and booked, it is the same.
fn begun_is_settled(history: &History, lock: &StaleLock, tally: &mut Tally) {
    let number = lock.operation;
    let settlement = history
        .settlements
        .iter()
        .find(|settlement| settlement.operation == number);
    let settled = settlement
        .and_then(|settlement| settlement.by_key.as_ref().zip(settlement.replay.as_ref()));
    let (Some(operation), Some((by_key, replay))) = (operation(history, number), settled) else {
        tally.cannot_tell(|| format!("operation {number} was never settled"));
        return;
    };
    let as_told = match (operation.outcome, &operation.told) {
        (Outcome::Ok, Some(told)) => told == replay && by_key == replay,
        // A key for which nothing had been decided is free: repeating it decides.
        _ => by_key == replay || *by_key == Told::Absent,
    };
    let booked = history
        .orders
        .iter()
        .filter(|booked| booked.customer == lock.customer)
        .any(|booked| matches!(replay, Told::Confirmed(order) if *order == booked.order));
    let as_booked = booked == matches!(replay, Told::Confirmed(_));
    tally.expect(as_told && as_booked, || {
        format!(
            "operation {number} was told {:?}, reads as {by_key:?}, repeats as {replay:?}, and {} in the books",
            operation.told,
            if booked { "stands" } else { "does not stand" }
        )
    });
}

/// The customer's next order was decided while the holder hung, by whoever was well.
fn next_is_decided(history: &History, seen: &StaleLocks, lock: &StaleLock, tally: &mut Tally) {
    let next = lock
        .next_operation
        .and_then(|number| operation(history, number));
    let gone_on = went_on(history, seen, lock.expired_at.unwrap_or(Micros::MAX));
    let decided = next.zip(gone_on).is_some_and(|(next, gone_on)| {
        next.outcome == Outcome::Ok && next.told.is_some() && next.ended <= gone_on
    });
    if decided {
        tally.expect(true, String::new);
    } else {
        tally.cannot_tell(|| {
            format!(
                "the next order of {} was not decided while {} hung",
                lock.customer, seen.instance
            )
        });
    }
}

fn operation(history: &History, number: u64) -> Option<&Operation> {
    history
        .operations
        .iter()
        .find(|operation| operation.number == number)
}

fn seconds(micros: Micros) -> String {
    format!(
        "{:.3} s",
        std::time::Duration::from_micros(micros).as_secs_f64()
    )
}
