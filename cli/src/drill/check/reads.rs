//! Reads: what was acknowledged before a read began is there when it is answered.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Check, Tally};
use crate::drill::history::{Action, History, Micros, Operation, OrderSeen, Outcome, Told};

pub(super) fn never_go_back(history: &History) -> Check {
    let mut tally = Tally::new("reads never go back: what was acknowledged is found from then on");
    // When each order was known to its customer for the first time.
    let mut known: BTreeMap<Uuid, (Micros, &OrderSeen)> = BTreeMap::new();
    for operation in &history.operations {
        if let Some(order) = operation.acknowledged().or_else(|| found(operation)) {
            let entry = known.entry(order.id).or_insert((operation.ended, order));
            entry.0 = entry.0.min(operation.ended);
        }
    }
    for operation in &history.operations {
        let Action::Read { order, .. } = &operation.action else {
            continue;
        };
        if operation.outcome != Outcome::Ok {
            continue;
        }
        let before = known
            .get(order)
            .filter(|(since, _)| *since <= operation.began);
        let Some((since, told)) = before else {
            continue;
        };
        match &operation.told {
            Some(Told::Confirmed(seen)) => tally.expect(seen == *told, || {
                format!("operation {} read {seen:?} instead of {told:?}", operation.number)
            }),
            other => tally.expect(false, || {
                format!(
                    "operation {} began at {} µs and was told {other:?} of {order}, known since {since} µs",
                    operation.number, operation.began
                )
            }),
        }
    }
    tally.ended()
}

/// The order that a read found.
fn found(operation: &Operation) -> Option<&OrderSeen> {
    match (&operation.action, operation.outcome, &operation.told) {
        (Action::Read { .. }, Outcome::Ok, Some(Told::Confirmed(order))) => Some(order),
        _ => None,
    }
}
