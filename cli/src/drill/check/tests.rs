//! Spoils an honest history in every way that a shop could go wrong, and looks whether it is noticed.

use uuid::Uuid;

use super::{Check, check};
use crate::drill::history::{
    Action, BookedOrder, History, LockLook, Operation, OrderSeen, Outcome, Seen, Settlement, Sight,
    StaleLocks, Told,
};
use crate::drill::sample::{END, begun, buyer, honest, hung_holder, order};
use crate::report::Verdict;

fn spoiled(spoil: impl FnOnce(&mut History)) -> Vec<Check> {
    let mut history = honest();
    spoil(&mut history);
    check(&history)
}

/// Asserts that exactly these claims do not hold, in this way.
#[track_caller]
fn assert_only(checks: &[Check], how: Verdict, claims: &[&str]) {
    let found: Vec<&Check> = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .collect();
    assert_eq!(found.len(), claims.len(), "{found:#?}");
    for (check, claim) in found.iter().zip(claims) {
        assert!(check.claim.starts_with(claim), "{check:?} is not {claim}");
        assert_eq!(check.verdict, how, "{check:?}");
        assert!(!check.examples.is_empty(), "{check:?} shows nothing");
        assert_eq!(check.violations > 0, how == Verdict::Fail, "{check:?}");
    }
}

/// The operation that placed an order with this number.
fn placed(history: &mut History, number: usize) -> &mut Operation {
    let operation = &mut history.operations[number];
    assert!(matches!(operation.action, Action::Order { .. }));
    operation
}

/// Takes an order out of the books as if it had never been: the sums agree.
fn never_booked(history: &mut History, id: Uuid) {
    history.orders.retain(|order| order.order.id != id);
    let last = history.books.last_mut().unwrap();
    let product = &mut last.products[0];
    product.sold -= 1;
    product.ordered -= 1;
    product.free += 1;
}

fn unread(history: &mut History, id: Uuid) {
    history
        .operations
        .retain(|operation| !matches!(operation.action, Action::Read { order, .. } if order == id));
}

#[test]
fn an_honest_history_holds_in_every_point() {
    let checks = check(&honest());
    assert_only(&checks, Verdict::Pass, &[]);
    assert!(checks.iter().filter(|check| check.looked_at > 0).count() >= 10);
}

#[test]
fn an_acknowledged_order_that_is_not_there_is_noticed() {
    let checks = spoiled(|history| {
        never_booked(history, order(600).id);
    });
    assert_only(&checks, Verdict::Fail, &["every acknowledged order"]);
}

#[test]
fn an_order_that_is_not_what_was_acknowledged_is_noticed() {
    let checks = spoiled(|history| {
        let booked = history
            .orders
            .iter_mut()
            .find(|booked| booked.order.id == order(600).id)
            .unwrap();
        booked.order.unit_price_minor += 1;
    });
    assert_only(&checks, Verdict::Fail, &["every acknowledged order"]);
}

#[test]
fn a_key_that_bought_twice_is_noticed() {
    let checks = spoiled(|history| {
        let mut twin = history.orders[300].clone();
        twin.order.id = Uuid::from_u128(9);
        history.orders.push(twin);
        let product = &mut history.books.last_mut().unwrap().products[0];
        product.sold += 1;
        product.ordered += 1;
        product.free -= 1;
    });
    assert_only(&checks, Verdict::Fail, &["a key has one order"]);
}

#[test]
fn a_repeat_that_names_another_order_is_noticed() {
    let checks = spoiled(|history| {
        let other = OrderSeen {
            id: Uuid::from_u128(9),
            ..order(600)
        };
        history.settlements.push(Settlement {
            operation: 600,
            by_key: Some(Told::Confirmed(order(600))),
            replay: Some(Told::Confirmed(other)),
        });
    });
    assert_only(
        &checks,
        Verdict::Fail,
        &["a key has one order", "open keys"],
    );
}

#[test]
fn more_orders_than_pieces_are_noticed_even_if_the_stock_says_otherwise() {
    let checks = spoiled(|history| {
        history.plan.products[0].pieces = 1000;
        for books in &mut history.books {
            let product = &mut books.products[0];
            product.received = 1000;
            product.free = 0;
            product.sold = 1000;
            product.ordered = 1000;
        }
    });
    assert_only(
        &checks,
        Verdict::Fail,
        &["nothing was sold twice", "stock = free"],
    );
}

#[test]
fn a_piece_that_is_nowhere_is_noticed() {
    let checks = spoiled(|history| history.books[0].products[0].free -= 1);
    assert_only(&checks, Verdict::Fail, &["stock = free"]);
}

#[test]
fn orders_that_become_fewer_are_noticed() {
    let checks = spoiled(|history| {
        let end = history.books[1].products[0];
        let middle = &mut history.books[0].products[0];
        *middle = end;
        middle.sold += 1;
        middle.ordered += 1;
        middle.free -= 1;
    });
    assert_only(&checks, Verdict::Fail, &["stock = free"]);
}

#[test]
fn an_order_that_nobody_asked_for_is_noticed() {
    let checks = spoiled(|history| {
        history
            .operations
            .retain(|operation| operation.number != 600 && operation.number != 601);
    });
    assert_only(&checks, Verdict::Fail, &["every order was asked for"]);
}

#[test]
fn a_refused_order_that_was_placed_is_noticed() {
    let checks = spoiled(|history| {
        unread(history, order(600).id);
        placed(history, 600).told = Some(Told::Refused {
            verdict: "limit-reached".to_owned(),
        });
    });
    assert_only(&checks, Verdict::Fail, &["what was refused"]);
}

#[test]
fn a_failed_order_that_was_placed_is_noticed() {
    let checks = spoiled(|history| {
        unread(history, order(600).id);
        let operation = placed(history, 600);
        operation.outcome = Outcome::Fail;
        operation.told = None;
    });
    assert_only(&checks, Verdict::Fail, &["what was answered as not done"]);
}

#[test]
fn sold_out_while_there_were_pieces_is_noticed() {
    let checks = spoiled(|history| {
        unread(history, order(600).id);
        never_booked(history, order(600).id);
        placed(history, 600).told = Some(Told::Refused {
            verdict: "sold-out".to_owned(),
        });
    });
    assert_only(&checks, Verdict::Fail, &["who was told \"sold out\""]);
}

#[test]
fn an_open_key_must_be_settled_and_then_agree_with_the_books() {
    let open = |history: &mut History| {
        unread(history, order(600).id);
        let operation = placed(history, 600);
        operation.outcome = Outcome::Unknown;
        operation.told = None;
    };
    let settle = |by_key, replay| Settlement {
        operation: 600,
        by_key: Some(by_key),
        replay: Some(replay),
    };
    assert_only(&spoiled(open), Verdict::Unknown, &["open keys"]);
    let good = spoiled(|history| {
        open(history);
        let told = Told::Confirmed(order(600));
        history.settlements.push(settle(told.clone(), told));
    });
    assert_only(&good, Verdict::Pass, &[]);
    // Nothing was known of the key, and yet the books hold its order from before.
    let lost = spoiled(|history| {
        open(history);
        history.settlements.push(settle(Told::Absent, Told::Absent));
    });
    assert_only(&lost, Verdict::Fail, &["open keys"]);
}

#[test]
fn a_read_that_does_not_find_what_was_acknowledged_is_noticed() {
    let checks = spoiled(|history| history.operations[601].told = Some(Told::Absent));
    assert_only(&checks, Verdict::Fail, &["reads never go back"]);
}

#[test]
fn a_read_that_began_before_the_acknowledgement_may_find_nothing() {
    let checks = spoiled(|history| {
        history.operations[600].ended = history.operations[601].began + 1;
        history.operations[601].told = Some(Told::Absent);
    });
    assert_only(&checks, Verdict::Pass, &[]);
}

#[test]
fn a_hold_that_outlives_its_time_is_noticed() {
    let checks = spoiled(|history| history.books[1].overdue_micros = END);
    assert_only(&checks, Verdict::Fail, &["no hold outlives"]);
}

#[test]
fn a_shop_with_two_masters_or_missing_instances_is_noticed() {
    let checks = spoiled(|history| {
        let ending = history.ending.as_mut().unwrap();
        ending.redis_masters.push("127.0.0.1:1".to_owned());
        ending.not_ready.push("order-1".to_owned());
    });
    assert_only(
        &checks,
        Verdict::Fail,
        &["there is one Redis master", "the shop was left whole"],
    );
}

#[test]
fn a_fault_that_did_not_happen_is_unknown() {
    let checks = spoiled(|history| history.faults[0].confirmed = false);
    assert_only(&checks, Verdict::Unknown, &["the fault happened"]);
    let none = spoiled(|history| history.faults.clear());
    assert_only(
        &none,
        Verdict::Unknown,
        &["the fault happened", "nothing else broke"],
    );
}

#[test]
fn a_load_that_was_not_offered_is_unknown() {
    let checks = spoiled(|history| {
        history.plan.operations_per_second *= 2;
    });
    assert_only(&checks, Verdict::Unknown, &["the load was offered"]);
}

#[test]
fn something_else_that_broke_is_unknown() {
    let seen = |restarts| Seen::Instance {
        instance: "gateway-0".to_owned(),
        state: "running".to_owned(),
        ready: true,
        role: None,
        pid: None,
        process: None,
        restarts,
        last_exit: None,
    };
    let checks = spoiled(|history| {
        for (at, restarts) in [(1, 3), (END - 1, 4)] {
            history.sights.push(Sight {
                at,
                seen: seen(restarts),
            });
        }
    });
    assert_only(&checks, Verdict::Unknown, &["nothing else broke"]);
}

#[test]
fn somebody_who_appears_after_the_fault_is_unknown() {
    let checks = spoiled(|history| {
        history.sights.push(Sight {
            at: END - 1,
            seen: Seen::Instance {
                instance: "gateway-7".to_owned(),
                state: "starting".to_owned(),
                ready: false,
                role: None,
                pid: None,
                process: None,
                restarts: 0,
                last_exit: None,
            },
        });
    });
    assert_only(&checks, Verdict::Unknown, &["nothing else broke"]);
}

#[test]
fn a_run_that_was_cut_short_proves_nothing_and_accuses_nobody() {
    let checks = spoiled(|history| {
        history.phases.truncate(2);
        history.books.truncate(1);
        history.orders.clear();
        history.ending = None;
    });
    let of = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    assert_eq!(
        (of(Verdict::Unknown), of(Verdict::Fail)),
        (11, 0),
        "{checks:#?}"
    );
}

const RELEASE: &str = "a stale lock holder's release";
const DECISION: &str = "what a stale lock holder had begun";

fn with_a_hung_holder(spoil: impl FnOnce(&mut History, &mut StaleLocks)) -> Vec<Check> {
    let mut history = hung_holder();
    let mut locks = history.stale_locks.take().unwrap();
    spoil(&mut history, &mut locks);
    history.stale_locks = Some(locks);
    check(&history)
}

#[test]
fn a_lock_holder_that_came_back_too_late_and_did_no_harm_holds() {
    let checks = with_a_hung_holder(|_, _| {});
    assert_only(&checks, Verdict::Pass, &[]);
    for claim in [RELEASE, DECISION] {
        let found = checks.iter().find(|check| check.claim.starts_with(claim));
        assert!(found.is_some_and(|check| check.looked_at > 0), "{claim}");
    }
    // Runs in which nobody was to hang say nothing about it.
    let others = check(&honest());
    assert!(others.iter().all(|check| !check.claim.contains("stale")));
}

#[test]
fn a_stale_release_that_takes_the_new_holders_lock_is_noticed() {
    for token in [None, Some("old".to_owned())] {
        let checks = with_a_hung_holder(|_, locks| {
            let at = locks.locks[0].looks[0].at + 5_000;
            locks.locks[0].looks.push(LockLook { at, token });
            // Its release found a lock, and counts itself no stale one.
            locks.stale_after = locks.stale_before;
        });
        assert_only(&checks, Verdict::Fail, &[RELEASE]);
    }
}

#[test]
fn a_customer_with_more_than_the_sale_allows_is_noticed() {
    let checks = with_a_hung_holder(|history, _| {
        let second = OrderSeen {
            id: Uuid::from_u128(9),
            ..begun()
        };
        let next = history
            .operations
            .iter_mut()
            .find(|operation| operation.number == 1_000_001)
            .unwrap();
        let Action::Order { key, .. } = &next.action else {
            unreachable!()
        };
        history.orders.push(BookedOrder {
            customer: buyer(),
            key: key.clone(),
            order: second.clone(),
        });
        let told = Told::Confirmed(second);
        next.told = Some(told.clone());
        let settlement = history.settlements.last_mut().unwrap();
        settlement.by_key = Some(told.clone());
        settlement.replay = Some(told);
        for books in &mut history.books {
            let sale = books.products.last_mut().unwrap();
            sale.free -= 1;
            sale.sold += 1;
            sale.ordered += 1;
        }
    });
    assert_only(&checks, Verdict::Fail, &[DECISION]);
}

#[test]
fn an_order_that_the_stale_holder_changed_afterwards_is_noticed() {
    let checks = with_a_hung_holder(|history, _| {
        let first = history
            .settlements
            .iter_mut()
            .find(|settlement| settlement.operation == 1_000_000)
            .unwrap();
        let other = Told::Refused {
            verdict: "limit-reached".to_owned(),
        };
        first.by_key = Some(other.clone());
        first.replay = Some(other);
    });
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .map(|check| check.claim.as_str())
        .collect();
    assert!(
        failed.iter().any(|claim| claim.starts_with(DECISION)),
        "{failed:?}"
    );
}

#[test]
fn a_holder_that_was_not_caught_or_not_seen_to_come_back_too_late_is_unknown() {
    let nothing = with_a_hung_holder(|_, locks| {
        locks.locks.clear();
        locks.reason = Some("order-1 held no lock when it was stopped, in 6 tries".to_owned());
    });
    assert_only(&nothing, Verdict::Unknown, &[RELEASE, DECISION]);
    let mut never_tried = hung_holder();
    never_tried.stale_locks = None;
    assert_only(&check(&never_tried), Verdict::Unknown, &[RELEASE, DECISION]);
    let spoils: [fn(&mut History, &mut StaleLocks); 6] = [
        |_, locks| locks.stale_after = locks.stale_before,
        |_, locks| locks.stale_after = None,
        |_, locks| locks.locks[0].taken_at = None,
        |_, locks| locks.locks[0].watched_until = locks.locks[0].taken_at,
        // It was released long before its time: its holder did not hang.
        |_, locks| locks.locks[0].expired_at = Some(locks.locks[0].seen_at + 50_000),
        |_, locks| locks.locks[0].looks.clear(),
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let checks = with_a_hung_holder(spoil);
        let release = checks
            .iter()
            .find(|check| check.claim.starts_with(RELEASE))
            .unwrap();
        assert_eq!(release.verdict, Verdict::Unknown, "{number}: {release:?}");
    }
    let stayed = with_a_hung_holder(|history, _| {
        history.faults.pop();
    });
    assert_only(&stayed, Verdict::Unknown, &[RELEASE, DECISION]);
    let not_decided = with_a_hung_holder(|history, _| {
        let next = history.operations.last_mut().unwrap();
        next.ended = END;
    });
    assert_only(&not_decided, Verdict::Unknown, &[DECISION]);
}

#[test]
fn orders_of_the_sale_are_no_part_of_the_figures() {
    let figures = crate::drill::measure::measure(&hung_holder());
    let mut without = hung_holder();
    without
        .operations
        .retain(|operation| operation.customer != buyer());
    assert_eq!(figures, crate::drill::measure::measure(&without));
}
