//! Stock: at every moment that was looked at, every piece is in exactly one place and none is there twice.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Check, Tally};
use crate::drill::history::{Action, Books, History, Outcome, Phase, Told};
use crate::drill::measure;

pub(super) fn checks(history: &History) -> Vec<Check> {
    vec![
        no_oversell(history),
        stock_adds_up(history),
        sold_out_was_true(history),
        holds_end(history),
    ]
}

/// At the end there must be books that were read after all operations had ended.
fn last(history: &History) -> Option<&Books> {
    let accounting = history.began(Phase::Accounting)?;
    history.books.iter().rfind(|books| books.at >= accounting)
}

fn no_oversell(history: &History) -> Check {
    let mut tally = Tally::new("nothing was sold twice: orders never exceed what came in");
    if last(history).is_none() {
        tally.cannot_tell(|| "the books were not read at the end".to_owned());
    }
    let meanwhile = history.fault_at().zip(history.began(Phase::Draining));
    let read_in = |(from, until): (u64, u64)| {
        let mut moments = history.books.iter().map(|books| books.at);
        moments.any(|at| (from..=until).contains(&at))
    };
    if meanwhile.is_some_and(|meanwhile| !read_in(meanwhile)) {
        tally.cannot_tell(|| "the books were not read between the fault and the end".to_owned());
    }
    let pieces: BTreeMap<Uuid, i64> = history
        .plan
        .products
        .iter()
        .map(|stock| (stock.product, stock.pieces))
        .collect();
    for books in &history.books {
        for product in &books.products {
            let came_in = pieces.get(&product.product).copied().unwrap_or_default();
            tally.expect(
                product.received == came_in && product.ordered <= came_in && product.free >= 0,
                || {
                    format!(
                        "at {}: {product:?}, and {came_in} came in",
                        seconds(books.at)
                    )
                },
            );
        }
    }
    // The orders themselves are counted too: the sums above are the shop's own.
    if last(history).is_some() {
        let mut ordered: BTreeMap<Uuid, i64> = BTreeMap::new();
        for order in &history.orders {
            *ordered.entry(order.order.product).or_default() += i64::from(order.order.quantity);
        }
        for (product, ordered) in ordered {
            let came_in = pieces.get(&product).copied().unwrap_or_default();
            tally.expect(ordered <= came_in, || {
                format!("{ordered} pieces of {product} were ordered, and {came_in} came in")
            });
        }
    }
    tally.ended()
}

fn stock_adds_up(history: &History) -> Check {
    let mut tally = Tally::new("stock = free + held + sold, and what is sold stands in orders");
    let mut before: BTreeMap<Uuid, i64> = BTreeMap::new();
    for books in &history.books {
        for product in &books.products {
            tally.expect(
                product.received == product.free + product.held + product.sold
                    && product.sold == product.ordered,
                || format!("at {}: {product:?}", seconds(books.at)),
            );
            let earlier = before.insert(product.product, product.ordered).unwrap_or(0);
            tally.expect(product.ordered >= earlier, || {
                format!(
                    "at {}: {} pieces of {} were ordered, and {earlier} before",
                    seconds(books.at),
                    product.ordered,
                    product.product
                )
            });
        }
    }
    if let Some(last) = last(history) {
        for product in &last.products {
            let ordered: i64 = history
                .orders
                .iter()
                .filter(|order| order.order.product == product.product)
                .map(|order| i64::from(order.order.quantity))
                .sum();
            tally.expect(ordered == product.ordered && product.held == 0, || {
                format!("at the end: {product:?}, and {ordered} pieces stand in orders")
            });
        }
    } else {
        tally.cannot_tell(|| "the books were not read at the end".to_owned());
    }
    tally.ended()
}

/// Pieces only leave: if enough are free at the end, enough were free whenever somebody was told "sold out".
fn sold_out_was_true(history: &History) -> Check {
    let mut tally = Tally::new("who was told \"sold out\" was told the truth");
    let free: BTreeMap<Uuid, i64> = last(history)
        .into_iter()
        .flat_map(|books| &books.products)
        .map(|product| (product.product, product.free))
        .collect();
    for operation in &history.operations {
        let (
            Action::Order {
                product, quantity, ..
            },
            Outcome::Ok,
            Some(Told::Refused { verdict }),
        ) = (&operation.action, operation.outcome, &operation.told)
        else {
            continue;
        };
        if verdict != "sold-out" {
            continue;
        }
        match free.get(product) {
            Some(&free) => tally.expect(free < i64::from(*quantity), || {
                format!(
                    "operation {} asked for {quantity} of {product}, was told that it is sold out, and {free} are free",
                    operation.number
                )
            }),
            None => tally.cannot_tell(|| format!("the books do not name {product}")),
        }
    }
    tally.ended_perhaps_empty()
}

/// A hold may outlive its time by the sweeper's grace, and by how long nobody could sweep.
fn holds_end(history: &History) -> Check {
    let mut tally =
        Tally::new("no hold outlives its time, but for the outage and the sweeper's turn");
    let allowed = history.plan.hold_grace_micros + measure::outage(history);
    for books in &history.books {
        tally.expect(books.overdue_micros <= allowed, || {
            format!(
                "at {}: a hold is overdue for {}, allowed are {}",
                seconds(books.at),
                seconds(books.overdue_micros),
                seconds(allowed)
            )
        });
    }
    tally.ended()
}

fn seconds(micros: u64) -> String {
    format!(
        "{:.3} s",
        std::time::Duration::from_micros(micros).as_secs_f64()
    )
}
