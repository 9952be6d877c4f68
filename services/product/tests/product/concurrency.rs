//! Many connections at once: sums stay exact, and nobody deadlocks.

use futures_util::future::join_all;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use shop_testkit::Role;
use sqlx::PgPool;
use uuid::Uuid;

use crate::sql::{
    Hold, Stock, Take, confirm, counters, expire, hold, hold_stock, migrated, new_product,
    new_sale, receive, release, run_out, stock, take, take_verdicts,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_customers_at_once_buy_exactly_the_hundred_pieces_there_are() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let buyers = database.pool(Role::Order, 32).await;
    let mug = new_product(&pool, 100, None).await;
    let sale = new_sale(&pool, mug, 1, None).await;
    let buy = |pool: PgPool| async move {
        let customer = Uuid::now_v7();
        // Each asks three times at once, in one batch and in two; the limit gives each at most one.
        let requests = [take(mug, customer, 1), take(mug, customer, 1)];
        let (both, one) = tokio::join!(
            take_verdicts(&pool, &requests),
            take_verdicts(&pool, &requests[..1])
        );
        let verdicts = [both.unwrap(), one.unwrap()].concat();
        verdicts
            .iter()
            .filter(|verdict| *verdict == "taken")
            .count()
    };
    let bought = join_all((0..300).map(|_| tokio::spawn(buy(buyers.clone())))).await;
    let bought: Vec<usize> = bought.into_iter().map(Result::unwrap).collect();
    assert_eq!(bought.iter().sum::<usize>(), 100);
    assert_eq!(bought.iter().max(), Some(&1));
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 100,
            free: 0,
            held: 0,
            sold: 100
        }
    );
    assert_eq!(counters(&pool, sale).await.len(), 100);
}

/// What one worker knows that it was granted.
#[derive(Debug, Default)]
struct Ledger {
    taken: i64,
    confirmed: i64,
    delivered: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_holds_decisions_sweeps_and_deliveries_at_once_neither_deadlock_nor_miscount() {
    const WORKERS: u64 = 12;
    let database = migrated().await;
    let pool = database.pool(Role::Product, 20).await;
    let mut products = Vec::new();
    for _ in 0..5 {
        products.push(new_product(&pool, 200, None).await);
    }
    for product in &products[..2] {
        new_sale(&pool, *product, 40, None).await;
    }
    let customers: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
    let workers = (0..WORKERS).map(|worker| {
        tokio::spawn(work(
            pool.clone(),
            worker,
            products.clone(),
            customers.clone(),
        ))
    });
    let ledgers = join_all(workers).await;
    let sum = |figure: fn(&Ledger) -> i64| -> i64 {
        ledgers
            .iter()
            .map(|ledger| figure(ledger.as_ref().unwrap()))
            .sum()
    };

    let mut total = Stock::default();
    for product in &products {
        let now = stock(&pool, *product).await;
        total.received += now.received;
        total.free += now.free;
        total.held += now.held;
        total.sold += now.sold;
    }
    assert_eq!(total.received, 5 * 200 + sum(|ledger| ledger.delivered));
    assert_eq!(
        total.sold,
        sum(|ledger| ledger.taken) + sum(|ledger| ledger.confirmed)
    );
    let held: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(quantity), 0)::bigint FROM product.holds WHERE status = 'held'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(total.held, held);
    assert_eq!(total.received, total.free + total.held + total.sold);
    // Counters hold what was bought and is held in sales: as much as those products sold and hold.
    let counted: i64 =
        sqlx::query_scalar("SELECT coalesce(sum(bought), 0)::bigint FROM product.sale_counters")
            .fetch_one(&pool)
            .await
            .unwrap();
    let mut in_sales = 0;
    for product in &products[..2] {
        let now = stock(&pool, *product).await;
        in_sales += now.held + now.sold;
    }
    assert_eq!(counted, in_sales);
    assert!(sum(|ledger| ledger.taken) > 0 && sum(|ledger| ledger.confirmed) > 0);
}

/// A random mix, every error of which fails the test: a deadlock is an error of the database.
async fn work(pool: PgPool, worker: u64, products: Vec<Uuid>, customers: Vec<Uuid>) -> Ledger {
    let mut random = StdRng::seed_from_u64(worker);
    let mut ledger = Ledger::default();
    for round in 0..40 {
        let mut some = products.clone();
        some.shuffle(&mut random);
        some.truncate(random.random_range(1..=products.len()));
        let customer = *customers.choose(&mut random).unwrap();
        match random.random_range(0..6) {
            0 | 1 => {
                let requests: Vec<Take> = some
                    .iter()
                    .map(|product| take(*product, customer, random.random_range(1..4)))
                    .collect();
                let verdicts = take_verdicts(&pool, &requests).await.unwrap();
                for (request, verdict) in requests.iter().zip(verdicts) {
                    if verdict == "taken" {
                        ledger.taken += i64::from(request.quantity);
                    }
                }
            }
            2 | 3 => {
                let mut holds: Vec<Hold> = some
                    .iter()
                    .enumerate()
                    .map(|(index, product)| {
                        hold(
                            &format!("{worker}-{round}-{index}"),
                            *product,
                            customer,
                            random.random_range(1..4),
                        )
                    })
                    .collect();
                holds.shuffle(&mut random);
                hold_stock(&pool, &holds).await.unwrap();
                let keys: Vec<String> = holds.iter().map(|hold| hold.key.clone()).collect();
                ledger.confirmed += settle(&pool, &mut random, &holds, keys).await;
            }
            4 => {
                expire(&pool, 3).await.unwrap();
            }
            _ => {
                let product = *products.choose(&mut random).unwrap();
                receive(&pool, product, 2, &format!("{worker}-{round}")).await;
                ledger.delivered += 2;
            }
        }
    }
    ledger
}

/// Confirms, gives back, lets run out, or leaves what was held; says how much was confirmed.
async fn settle(pool: &PgPool, random: &mut StdRng, holds: &[Hold], keys: Vec<String>) -> i64 {
    match random.random_range(0..4) {
        0 => {
            let verdicts = confirm(pool, &keys).await.unwrap();
            let confirmed = holds
                .iter()
                .zip(verdicts)
                .filter(|(_, verdict)| verdict == "confirmed");
            confirmed
                .map(|(hold, _)| i64::from(hold.take.quantity))
                .sum()
        }
        1 => {
            release(pool, &keys).await.unwrap();
            0
        }
        2 => {
            run_out(pool, &keys).await;
            0
        }
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_hold_told_by_many_at_once_holds_once() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 16).await;
    let mug = new_product(&pool, 100, None).await;
    let request = hold("a", mug, Uuid::now_v7(), 3);
    let tell =
        |pool: PgPool, request: Hold| async move { hold_stock(&pool, &[request]).await.unwrap() };
    let verdicts =
        join_all((0..16).map(|_| tokio::spawn(tell(pool.clone(), request.clone())))).await;
    for verdict in verdicts {
        assert_eq!(verdict.unwrap(), ["held"]);
    }
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 100,
            free: 97,
            held: 3,
            sold: 0
        }
    );
}

#[tokio::test]
async fn a_test_run_that_is_removed_while_it_still_buys_deadlocks_nobody() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 8).await;
    for round in 0..10 {
        let tag = format!("run-{round}");
        let mut products = Vec::new();
        for _ in 0..3 {
            products.push(new_product(&pool, 1000, Some(&tag)).await);
        }
        let of_run = |request: Take| Take {
            tag: Some(tag.clone()),
            ..request
        };
        let buys: Vec<Take> = products
            .iter()
            .rev()
            .map(|product| of_run(take(*product, Uuid::now_v7(), 1)))
            .collect();
        let holds: Vec<Hold> = products
            .iter()
            .enumerate()
            .map(|(index, product)| {
                let request = hold(&format!("{tag}-{index}"), *product, Uuid::now_v7(), 1);
                Hold {
                    take: of_run(request.take),
                    ..request
                }
            })
            .collect();
        let remove = sqlx::query_scalar::<_, i32>("SELECT product.remove_test_data($1)").bind(&tag);
        let (taken, held, delivered, removed) = tokio::join!(
            take_verdicts(&pool, &buys),
            hold_stock(&pool, &holds),
            receive(&pool, products[0], 1, "late"),
            remove.fetch_one(&pool),
        );
        assert_eq!(removed.unwrap(), 3);
        assert!(
            ["received", "not_found"].contains(&delivered.as_str()),
            "{delivered}"
        );
        for verdict in [taken.unwrap(), held.unwrap()].concat() {
            assert!(
                ["taken", "held", "not_found"].contains(&verdict.as_str()),
                "{verdict}"
            );
        }
    }
}
