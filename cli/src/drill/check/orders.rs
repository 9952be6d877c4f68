//! Orders: what was acknowledged is there, once, as it was told, and what was refused is not.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Check, Tally};
use crate::drill::history::{
    Action, BookedOrder, History, Operation, OrderSeen, Outcome, Phase, Settlement, Told,
};

/// What must be true of orders.
const CLAIMS: [&str; 6] = [
    "every acknowledged order is there, as it was acknowledged",
    "a key has one order, whoever is asked and however often",
    "every order was asked for, and is for what was asked",
    "what was refused was not sold",
    "what was answered as not done was not done",
    "open keys are settled: reading, repeating and the books agree",
];

/// Keys belong to customers: the same text of two customers is two keys.
type Key<'a> = (Uuid, &'a str);

/// What the books hold, by key.
struct Booked<'a>(BTreeMap<Key<'a>, Vec<&'a OrderSeen>>);

impl<'a> Booked<'a> {
    fn new(orders: &'a [BookedOrder]) -> Self {
        let mut by_key: BTreeMap<Key<'a>, Vec<&'a OrderSeen>> = BTreeMap::new();
        for order in orders {
            by_key
                .entry((order.customer, &order.key))
                .or_default()
                .push(&order.order);
        }
        Self(by_key)
    }

    fn of(&self, key: Key<'a>) -> &[&'a OrderSeen] {
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// An attempted order.
struct Asked<'a> {
    operation: &'a Operation,
    key: Key<'a>,
    product: Uuid,
    quantity: i32,
}

fn asked(history: &History) -> Vec<Asked<'_>> {
    history
        .operations
        .iter()
        .filter_map(|operation| match &operation.action {
            Action::Order {
                key,
                product,
                quantity,
            } => Some(Asked {
                operation,
                key: (operation.customer, key),
                product: *product,
                quantity: *quantity,
            }),
            Action::Read { .. } | Action::Login => None,
        })
        .collect()
}

pub(super) fn checks(history: &History) -> Vec<Check> {
    let asked = asked(history);
    if history.began(Phase::Accounting).is_none() {
        // Books that nobody has read say nothing about any order.
        return CLAIMS
            .map(|claim| {
                let mut tally = Tally::new(claim);
                tally.cannot_tell(|| "the books were not read at the end".to_owned());
                tally.ended()
            })
            .into();
    }
    let booked = Booked::new(&history.orders);
    vec![
        acknowledged_are_there(&asked, &booked),
        one_order_a_key(history, &asked),
        nothing_unasked(&asked, &booked),
        refusals_are_kept(&asked, &booked),
        failures_did_nothing(&asked, &booked),
        open_keys_are_settled(history, &asked, &booked),
    ]
}

fn acknowledged_are_there(asked: &[Asked<'_>], booked: &Booked<'_>) -> Check {
    let mut tally = Tally::new(CLAIMS[0]);
    for asked in asked {
        let Some(told) = asked.operation.acknowledged() else {
            continue;
        };
        let name = name(asked);
        match booked.of(asked.key) {
            [] => tally.expect(false, || {
                format!("{name} was acknowledged as {} and is not there", told.id)
            }),
            orders => tally.expect(orders.contains(&told), || {
                format!("{name} was acknowledged as {told:?} and is {:?}", orders[0])
            }),
        }
        tally.expect(
            told.product == asked.product && told.quantity == asked.quantity,
            || {
                format!(
                    "{name} asked for {} of {} and was told {told:?}",
                    asked.quantity, asked.product
                )
            },
        );
    }
    tally.ended()
}

fn one_order_a_key(history: &History, asked: &[Asked<'_>]) -> Check {
    let mut tally = Tally::new(CLAIMS[1]);
    let mut ids: BTreeMap<Key<'_>, BTreeSet<Uuid>> = BTreeMap::new();
    let mut learn = |key, id| {
        ids.entry(key).or_default().insert(id);
    };
    for order in &history.orders {
        learn((order.customer, &order.key), order.order.id);
    }
    for asked in asked {
        if let Some(told) = asked.operation.acknowledged() {
            learn(asked.key, told.id);
        }
    }
    let by_number = by_number(asked);
    for settlement in &history.settlements {
        let Some(asked) = by_number.get(&settlement.operation) else {
            continue;
        };
        for told in [&settlement.by_key, &settlement.replay] {
            if let Some(Told::Confirmed(order)) = told {
                learn(asked.key, order.id);
            }
        }
    }
    for ((customer, key), ids) in &ids {
        tally.expect(ids.len() == 1, || {
            format!("the key {key} of {customer} has the orders {ids:?}")
        });
    }
    // Two rows that say the same are two orders all the same.
    let mut rows = BTreeSet::new();
    for order in &history.orders {
        tally.expect(rows.insert((order.customer, &order.key)), || {
            format!(
                "the key {} of {} is booked twice",
                order.key, order.customer
            )
        });
    }
    tally.ended()
}

fn nothing_unasked(asked: &[Asked<'_>], booked: &Booked<'_>) -> Check {
    let mut tally = Tally::new(CLAIMS[2]);
    let wanted: BTreeMap<Key<'_>, &Asked<'_>> =
        asked.iter().map(|asked| (asked.key, asked)).collect();
    for ((customer, key), orders) in &booked.0 {
        let Some(asked) = wanted.get(&(*customer, *key)) else {
            tally.expect(false, || {
                format!("nobody asked for the key {key} of {customer}")
            });
            continue;
        };
        for order in orders {
            tally.expect(
                order.product == asked.product && order.quantity == asked.quantity,
                || {
                    format!(
                        "{} asked for {} of {} and got {order:?}",
                        name(asked),
                        asked.quantity,
                        asked.product
                    )
                },
            );
        }
    }
    tally.ended()
}

fn refusals_are_kept(asked: &[Asked<'_>], booked: &Booked<'_>) -> Check {
    let mut tally = Tally::new(CLAIMS[3]);
    for asked in asked {
        if let (Outcome::Ok, Some(Told::Refused { verdict })) =
            (asked.operation.outcome, &asked.operation.told)
        {
            tally.expect(booked.of(asked.key).is_empty(), || {
                format!("{} was told {verdict} and has an order", name(asked))
            });
        }
    }
    tally.ended_perhaps_empty()
}

fn failures_did_nothing(asked: &[Asked<'_>], booked: &Booked<'_>) -> Check {
    let mut tally = Tally::new(CLAIMS[4]);
    for asked in asked {
        if asked.operation.outcome == Outcome::Fail {
            tally.expect(booked.of(asked.key).is_empty(), || {
                let status = asked.operation.status.unwrap_or_default();
                format!("{} was answered {status} and has an order", name(asked))
            });
        }
    }
    tally.ended_perhaps_empty()
}

/// An open key must be settled: reading it, repeating the request and the books must agree.
fn open_keys_are_settled(history: &History, asked: &[Asked<'_>], booked: &Booked<'_>) -> Check {
    let mut tally = Tally::new(CLAIMS[5]);
    let settled: BTreeMap<u64, &Settlement> = history
        .settlements
        .iter()
        .map(|settlement| (settlement.operation, settlement))
        .collect();
    for asked in asked {
        let number = asked.operation.number;
        let Some(settlement) = settled.get(&number) else {
            if asked.operation.outcome == Outcome::Unknown {
                tally.cannot_tell(|| format!("{} was never settled", name(asked)));
            }
            continue;
        };
        let (Some(by_key), Some(replay)) = (&settlement.by_key, &settlement.replay) else {
            tally.cannot_tell(|| format!("{} could not be settled: {settlement:?}", name(asked)));
            continue;
        };
        // A key for which nothing had been decided is free: repeating it decides.
        tally.expect(*by_key == Told::Absent || by_key == replay, || {
            format!(
                "{} reads as {by_key:?} and repeats as {replay:?}",
                name(asked)
            )
        });
        let orders = booked.of(asked.key);
        match replay {
            Told::Confirmed(order) => tally.expect(orders.contains(&order), || {
                format!(
                    "{} was told {} and the books hold {orders:?}",
                    name(asked),
                    order.id
                )
            }),
            Told::Refused { .. } | Told::Absent => tally.expect(orders.is_empty(), || {
                format!(
                    "{} was told {replay:?} and the books hold {orders:?}",
                    name(asked)
                )
            }),
        }
    }
    tally.ended_perhaps_empty()
}

fn by_number<'a, 'h>(asked: &'a [Asked<'h>]) -> BTreeMap<u64, &'a Asked<'h>> {
    asked
        .iter()
        .map(|asked| (asked.operation.number, asked))
        .collect()
}

fn name(asked: &Asked<'_>) -> String {
    format!("operation {} (key {})", asked.operation.number, asked.key.1)
}
