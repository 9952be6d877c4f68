//! Books that differ from what customers were told, each in one way.

use shopctl::report::{Acknowledged, BookedOrder, BookedProduct, Books, Verdict, account};

use crate::fixture::{books, samples};

type Parts<'a> = (&'a mut Vec<BookedOrder>, &'a mut Vec<BookedProduct>);

/// The names of the checks that fail when good books are changed.
fn failing(change: impl FnOnce(&mut Vec<Acknowledged>, Parts<'_>)) -> Vec<String> {
    let mut acknowledged = samples().acknowledged[..30].to_vec();
    let mut books = books(&acknowledged);
    let Books::Read {
        orders, products, ..
    } = &mut books
    else {
        unreachable!()
    };
    change(&mut acknowledged, (orders, products));
    let accounting = account(&acknowledged, &books).unwrap();
    assert!(
        accounting
            .checks
            .iter()
            .all(|check| (check.verdict == Verdict::Pass) == check.detail.is_empty()),
        "{accounting:?}"
    );
    let failed = accounting
        .checks
        .into_iter()
        .filter(|check| check.verdict == Verdict::Fail);
    failed.map(|check| check.name).collect()
}

const BOOKED: &str = "every acknowledged order is in Postgres, as acknowledged";
const SOLD: &str = "what was sold was ordered, and the other way round";

#[test]
fn good_books_agree() {
    assert_eq!(failing(|_, _| ()), Vec::<String>::new());
}

#[test]
fn every_way_to_be_wrong_is_found() {
    assert_eq!(
        failing(|_, (orders, _)| drop(orders.remove(4))),
        [BOOKED, SOLD]
    );
    assert_eq!(
        failing(|_, (orders, _)| orders[4].quantity = 2),
        [BOOKED, SOLD]
    );
    assert_eq!(
        failing(|_, (orders, _)| orders[4].key = "other".to_owned()),
        [BOOKED]
    );
    let twice = failing(|_, (orders, products)| {
        let again = BookedOrder {
            order: "again".to_owned(),
            ..orders[4].clone()
        };
        let product = products
            .iter_mut()
            .find(|product| product.product == again.product)
            .unwrap();
        product.sold += 1;
        product.free -= 1;
        orders.push(again);
    });
    assert_eq!(
        twice,
        ["one order a key", "no order that no customer was told of"]
    );
    assert_eq!(
        failing(|told, _| drop(told.remove(4))),
        ["no order that no customer was told of"]
    );
    assert_eq!(
        failing(|_, (_, products)| products[0].free += 1),
        ["stock is free, held or sold"]
    );
    let held = failing(|_, (_, products)| {
        products[0].free -= 1;
        products[0].held += 1;
    });
    assert_eq!(held, ["no hold is left"]);
    let oversold = failing(|_, (_, products)| {
        products[0].received = products[0].sold - 2;
        products[0].free = -2;
    });
    assert_eq!(oversold, ["none oversold"]);
    assert_eq!(
        failing(|_, (_, products)| products[0].refused = Some(1)),
        ["none undersold"]
    );
    assert_eq!(failing(|_, (_, products)| drop(products.remove(0))), [SOLD]);
}

#[test]
fn a_refusal_of_more_than_is_left_is_right() {
    assert_eq!(
        failing(|_, (_, products)| products[0].refused = Some(20_000)),
        Vec::<String>::new()
    );
}

#[test]
fn an_order_without_an_answer_may_be_in_the_books_or_not() {
    let acknowledged = &samples().acknowledged[..30];
    let Books::Read {
        orders, products, ..
    } = books(acknowledged)
    else {
        unreachable!()
    };
    let read = |unsettled_keys: &[&str]| Books::Read {
        orders: orders.clone(),
        products: products.clone(),
        unsettled: 2,
        unsettled_keys: unsettled_keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let verdict = |told, keys: &[&str]| {
        Verdict::all(
            account(told, &read(keys))
                .unwrap()
                .checks
                .iter()
                .map(|check| check.verdict),
        )
    };
    assert_eq!(verdict(&acknowledged[..28], &[]), Verdict::Pass);
    assert_eq!(verdict(&acknowledged[..27], &[]), Verdict::Fail);
    let (one, other) = (&acknowledged[28].key, &acknowledged[29].key);
    assert_eq!(verdict(&acknowledged[..28], &[one, other]), Verdict::Pass);
    // An order that nobody was told of is not excused by another one without an answer.
    assert_eq!(
        verdict(&acknowledged[..28], &[one, "another"]),
        Verdict::Fail
    );
}

#[test]
fn of_many_that_differ_a_few_are_named() {
    let acknowledged = &samples().acknowledged[..30];
    let accounting = account(acknowledged, &books(&acknowledged[..10])).unwrap();
    assert!(
        accounting.checks[0].detail.ends_with("; and 15 more"),
        "{}",
        accounting.checks[0].detail
    );
    assert_eq!(
        (accounting.checks[0].expected, accounting.checks[0].found),
        (30, Some(10))
    );
}
