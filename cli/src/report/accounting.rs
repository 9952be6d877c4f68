//! Compares the books in Postgres with what customers were told. Pure, so that a report can be checked again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::model::{Accounting, AccountingCheck};

/// How many of those that differ are named.
const NAMED: usize = 5;

/// An order that a customer was given a 201 for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acknowledged {
    /// The second of the test in which the answer came.
    pub second: u32,
    /// The order's id, as it was answered.
    pub order: String,
    /// The idempotency key, as it was sent.
    pub key: String,
    /// The product.
    pub product: String,
    /// How many pieces.
    pub quantity: u32,
}

/// An order in Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BookedOrder {
    /// Its id.
    pub order: String,
    /// Its customer.
    pub customer: String,
    /// The idempotency key.
    pub key: String,
    /// The product.
    pub product: String,
    /// How many pieces.
    pub quantity: u32,
}

/// A product's stock in Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BookedProduct {
    /// The product.
    pub product: String,
    /// All pieces that came in.
    pub received: i64,
    /// What may be sold.
    pub free: i64,
    /// What is kept for somebody.
    pub held: i64,
    /// What was sold.
    pub sold: i64,
    /// The fewest pieces that a customer was refused because of being sold out; `None`: nobody was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u32>,
}

/// What Postgres says, once holds have drained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Books {
    /// Nothing could be ordered.
    #[default]
    NotNeeded,
    /// Nobody could look.
    Unread {
        /// Why.
        reason: String,
    },
    /// What was found: only what belongs to this test.
    Read {
        /// The orders.
        orders: Vec<BookedOrder>,
        /// The products.
        products: Vec<BookedProduct>,
        /// Orders that customers sent and heard no outcome of: they may be in the books or not.
        unsettled: u64,
        /// The keys of those that are known by name; the others are the last ones of users who were interrupted.
        unsettled_keys: Vec<String>,
    },
}

/// Compares. `None`: there was nothing to compare.
pub fn account(acknowledged: &[Acknowledged], books: &Books) -> Option<Accounting> {
    let checks = match books {
        Books::NotNeeded if acknowledged.is_empty() => return None,
        Books::NotNeeded => vec![unread(acknowledged, "the books were not asked for")],
        Books::Unread { reason } => vec![unread(acknowledged, reason)],
        Books::Read {
            orders,
            products,
            unsettled,
            unsettled_keys,
        } => vec![
            acknowledged_are_booked(acknowledged, orders),
            one_order_a_key(orders),
            no_unknown_orders(acknowledged, orders, *unsettled, unsettled_keys),
            stock_adds_up(products),
            sold_is_ordered(products, orders),
            none_oversold(products),
            none_undersold(products),
            nothing_held(products),
        ],
    };
    Some(Accounting {
        acknowledged: count(acknowledged.len()),
        checks,
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

const BOOKED: &str = "every acknowledged order is in Postgres, as acknowledged";

fn unread(acknowledged: &[Acknowledged], reason: &str) -> AccountingCheck {
    AccountingCheck {
        name: BOOKED.to_owned(),
        verdict: Verdict::Unknown,
        expected: signed(acknowledged.len()),
        found: None,
        detail: reason.to_owned(),
    }
}

fn check(name: &str, holds: bool, expected: i64, found: i64, wrong: &[String]) -> AccountingCheck {
    let mut detail = wrong
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    if wrong.len() > NAMED {
        // Writing to a text cannot fail.
        let _ = write!(detail, "; and {} more", wrong.len() - NAMED);
    }
    AccountingCheck {
        name: name.to_owned(),
        verdict: if holds { Verdict::Pass } else { Verdict::Fail },
        expected,
        found: Some(found),
        detail,
    }
}

/// A check that holds when what is found is what is expected.
fn equal(name: &str, expected: i64, found: i64, wrong: &[String]) -> AccountingCheck {
    check(
        name,
        expected == found && wrong.is_empty(),
        expected,
        found,
        wrong,
    )
}

fn acknowledged_are_booked(
    acknowledged: &[Acknowledged],
    orders: &[BookedOrder],
) -> AccountingCheck {
    let booked: HashMap<&str, &BookedOrder> = orders
        .iter()
        .map(|order| (order.order.as_str(), order))
        .collect();
    let mut wrong = Vec::new();
    for told in acknowledged {
        match booked.get(told.order.as_str()) {
            None => wrong.push(format!(
                "order {} (key {}) is missing",
                told.order, told.key
            )),
            Some(order)
                if (&order.key, &order.product, order.quantity)
                    != (&told.key, &told.product, told.quantity) =>
            {
                wrong.push(format!("order {} is not what was acknowledged", told.order));
            }
            Some(_) => {}
        }
    }
    let found = signed(acknowledged.len() - wrong.len());
    equal(BOOKED, signed(acknowledged.len()), found, &wrong)
}

fn one_order_a_key(orders: &[BookedOrder]) -> AccountingCheck {
    let mut keys = HashSet::new();
    let wrong: Vec<String> = orders
        .iter()
        .filter(|order| !keys.insert((&order.customer, &order.key)))
        .map(|order| format!("key {} has another order, {}", order.key, order.order))
        .collect();
    equal(
        "one order a key",
        signed(keys.len()),
        signed(orders.len()),
        &wrong,
    )
}

fn no_unknown_orders(
    acknowledged: &[Acknowledged],
    orders: &[BookedOrder],
    unsettled: u64,
    unsettled_keys: &[String],
) -> AccountingCheck {
    let told: HashSet<&str> = acknowledged
        .iter()
        .map(|told| told.order.as_str())
        .collect();
    let untold: Vec<String> = orders
        .iter()
        .filter(|order| !told.contains(order.order.as_str()))
        .map(|order| format!("order {} (key {})", order.order, order.key))
        .collect();
    let known: HashSet<&str> = unsettled_keys.iter().map(String::as_str).collect();
    let nameless = orders
        .iter()
        .filter(|order| !told.contains(order.order.as_str()) && !known.contains(order.key.as_str()))
        .count();
    let holds = count(nameless) <= unsettled.saturating_sub(count(known.len()));
    let mut check = check(
        "no order that no customer was told of",
        holds,
        0,
        signed(untold.len()),
        if holds { &[] } else { &untold },
    );
    if holds && !untold.is_empty() {
        check.detail = format!("{unsettled} orders had no answer, so their customers do not know");
    }
    check
}

fn stock_adds_up(products: &[BookedProduct]) -> AccountingCheck {
    let sum = |product: &BookedProduct| product.free + product.held + product.sold;
    let wrong = named(products, |product| {
        (product.received != sum(product)).then(|| {
            format!(
                "{} free, {} held and {} sold are not the {} received",
                product.free, product.held, product.sold, product.received
            )
        })
    });
    let received = products.iter().map(|product| product.received).sum();
    equal(
        "stock is free, held or sold",
        received,
        products.iter().map(sum).sum(),
        &wrong,
    )
}

fn sold_is_ordered(products: &[BookedProduct], orders: &[BookedOrder]) -> AccountingCheck {
    let mut pieces: BTreeMap<&str, i64> = products
        .iter()
        .map(|product| (product.product.as_str(), 0))
        .collect();
    for order in orders {
        *pieces.entry(&order.product).or_default() += i64::from(order.quantity);
    }
    let mut wrong = named(products, |product| {
        let ordered = pieces.get(product.product.as_str()).copied().unwrap_or(0);
        (ordered != product.sold).then(|| format!("{} sold, {ordered} ordered", product.sold))
    });
    let known: HashSet<&str> = products
        .iter()
        .map(|product| product.product.as_str())
        .collect();
    wrong.extend(
        pieces
            .keys()
            .filter(|product| !known.contains(*product))
            .map(|product| format!("{product} was ordered and is not there")),
    );
    let sold = products.iter().map(|product| product.sold).sum();
    equal(
        "what was sold was ordered, and the other way round",
        sold,
        pieces.values().sum(),
        &wrong,
    )
}

fn none_oversold(products: &[BookedProduct]) -> AccountingCheck {
    let over = |product: &BookedProduct| {
        (product.sold + product.held - product.received)
            .max(-product.free)
            .max(0)
    };
    let wrong = named(products, |product| {
        (over(product) > 0).then(|| format!("{} pieces too many", over(product)))
    });
    equal("none oversold", 0, products.iter().map(over).sum(), &wrong)
}

fn none_undersold(products: &[BookedProduct]) -> AccountingCheck {
    let under = |product: &BookedProduct| match product.refused {
        Some(refused) if product.free >= i64::from(refused.max(1)) => product.free,
        _ => 0,
    };
    let wrong = named(products, |product| {
        (under(product) > 0).then(|| {
            format!(
                "{} pieces are left, and customers were told that it is sold out",
                product.free
            )
        })
    });
    equal(
        "none undersold",
        0,
        products.iter().map(under).sum(),
        &wrong,
    )
}

fn nothing_held(products: &[BookedProduct]) -> AccountingCheck {
    let wrong = named(products, |product| {
        (product.held != 0).then(|| format!("{} pieces are still held", product.held))
    });
    equal(
        "no hold is left",
        0,
        products.iter().map(|product| product.held).sum(),
        &wrong,
    )
}

/// What is wrong with products, each named.
fn named(
    products: &[BookedProduct],
    wrong: impl Fn(&BookedProduct) -> Option<String>,
) -> Vec<String> {
    products
        .iter()
        .filter_map(|product| {
            wrong(product).map(|text| format!("product {}: {text}", product.product))
        })
        .collect()
}
