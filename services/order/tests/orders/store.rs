//! The store: keys that are swept, test data that is removed, and many that decide at once.

use std::time::Duration;

use rand::RngExt;
use shop_order::batcher::Decide;
use shop_order::order::{OrderRequest, Outcome};
use shop_order::store::{PostgresDecider, find_by_key, page, remove_test_data, sweep};
use shop_testkit::{Database, Postgres, Role};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Product, add_product, decide_one, migrate, ordered, request, stock};

const DAY: Duration = Duration::from_hours(24);

async fn database() -> (Database<'static>, PgPool) {
    let database = Postgres::shared().database().await;
    migrate(&database).await;
    let pool = database.pool(Role::Superuser, 4).await;
    (database, pool)
}

/// Lets time pass for a key.
async fn age(pool: &PgPool, key: &str) {
    sqlx::query("UPDATE orders.claims SET created_at = now() - interval '25 hours' WHERE key = $1")
        .bind(key)
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_key_is_free_again_a_day_later_and_its_order_stays() {
    let (database, pool) = database().await;
    let mut decider = PostgresDecider::new(database.options(Role::Order));
    let product = add_product(&pool, Product::default()).await;
    let first = request(Uuid::now_v7(), "old", product);
    decide_one(&mut decider, &first).await;
    decide_one(&mut decider, &request(first.customer_id, "young", product)).await;
    age(&pool, "old").await;

    let order_pool = database.pool(Role::Order, 1).await;
    assert_eq!(sweep(&order_pool, DAY).await.unwrap(), 1);
    assert_eq!(sweep(&order_pool, DAY).await.unwrap(), 0);

    let known = find_by_key(&order_pool, first.customer_id, &first.key)
        .await
        .unwrap();
    assert!(matches!(known, Some(Outcome::Confirmed(order)) if order.id == first.decision_id));
    let again = request(first.customer_id, "old", product);
    let decision = decide_one(&mut decider, &again).await.unwrap();
    assert!(!decision.replayed);
    let newest = find_by_key(&order_pool, first.customer_id, &first.key)
        .await
        .unwrap();
    assert!(matches!(newest, Some(Outcome::Confirmed(order)) if order.id == again.decision_id));
    assert_eq!(ordered(&pool, product).await, (3, 3));
}

#[tokio::test]
async fn a_refusal_is_forgotten_with_its_key() {
    let (database, pool) = database().await;
    let mut decider = PostgresDecider::new(database.options(Role::Order));
    let product = add_product(
        &pool,
        Product {
            stock: 0,
            ..Product::default()
        },
    )
    .await;
    let refused = request(Uuid::now_v7(), "refused", product);
    decide_one(&mut decider, &refused).await;
    age(&pool, "refused").await;
    sweep(&pool, DAY).await.unwrap();
    assert_eq!(
        find_by_key(&pool, refused.customer_id, &refused.key)
            .await
            .unwrap(),
        None
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM orders.refusals")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn removing_test_data_takes_all_of_one_test_and_nothing_else() {
    let (database, pool) = database().await;
    let mut decider = PostgresDecider::new(database.options(Role::Order));
    let customer = Uuid::now_v7();
    for tag in [Some("mine"), Some("other"), None] {
        let product = add_product(
            &pool,
            Product {
                stock: 1,
                tag,
                ..Product::default()
            },
        )
        .await;
        for attempt in 0..2 {
            let key = format!("{tag:?}-{attempt}").replace(['"', ' '], "");
            let request = OrderRequest {
                tag: tag.map(str::to_owned),
                ..request(customer, &key, product)
            };
            decide_one(&mut decider, &request).await.unwrap();
        }
    }
    let removed = remove_test_data(&database.pool(Role::Order, 1).await, "mine")
        .await
        .unwrap();
    assert_eq!((removed.orders, removed.keys), (1, 2));
    let left: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM orders.orders), (SELECT count(*) FROM orders.claims),
                (SELECT count(*) FROM orders.refusals)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, (2, 4, 2));
}

#[tokio::test]
async fn pages_hold_every_order_of_the_customer_once_newest_first() {
    let (database, pool) = database().await;
    let mut decider = PostgresDecider::new(database.options(Role::Order));
    let product = add_product(&pool, Product::default()).await;
    let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
    let mut placed = Vec::new();
    for number in 0..7 {
        let request = request(mine, &format!("k{number}"), product);
        decide_one(&mut decider, &request).await;
        placed.insert(0, request.decision_id);
    }
    decide_one(&mut decider, &request(other, "k0", product)).await;
    let (mut after, mut read) = (None, Vec::new());
    loop {
        let page = page(&pool, mine, after, 3).await.unwrap();
        assert!(page.orders.len() <= 3);
        read.extend(page.orders.iter().map(|order| order.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(read, placed);
}

#[tokio::test]
async fn an_attempt_repeated_after_a_lost_connection_recognizes_its_own_decision() {
    let (database, pool) = database().await;
    let mut decider = PostgresDecider::new(database.options(Role::Order));
    let product = add_product(&pool, Product::default()).await;
    let request = request(Uuid::now_v7(), "a", product);
    let first = decide_one(&mut decider, &request).await.unwrap();
    let second = decide_one(&mut decider, &request).await.unwrap();
    assert_eq!(first, second);
    assert!(!second.replayed);
    assert_eq!(ordered(&pool, product).await, (1, 1));
}

#[tokio::test]
async fn the_accountant_reads_orders_keys_and_refusals_and_changes_nothing() {
    let (database, _pool) = database().await;
    assert_eq!(
        database.readable(Role::Auditor, "orders").await,
        ["claims", "orders", "refusals"]
    );
    let auditor = database.pool(Role::Auditor, 1).await;
    for statement in [
        "DELETE FROM orders.orders",
        "UPDATE orders.claims SET tag = NULL",
        "INSERT INTO orders.refusals SELECT gen_random_uuid(), 'sold_out', gen_random_uuid(), 1",
        "SELECT FROM orders.claims FOR UPDATE",
    ] {
        sqlx::query(statement).execute(&auditor).await.unwrap_err();
    }
}

#[tokio::test]
async fn the_table_of_keys_refuses_a_key_that_cannot_stand_in_a_path() {
    let (_database, pool) = database().await;
    for (key, violated) in [
        ("", Some("claims_key_check")),
        ("a/b", Some("claims_key_in_path_check")),
        ("a\\b", Some("claims_key_in_path_check")),
        (".", Some("claims_key_in_path_check")),
        ("..", Some("claims_key_in_path_check")),
        ("a b", Some("claims_key_in_path_check")),
        ("ä", Some("claims_key_in_path_check")),
        ("a\n", Some("claims_key_in_path_check")),
        ("!\"#$%&'()*+,-.09:;<=>?@AZ[]^_`az{|}~", None),
    ] {
        let inserted = sqlx::query(
            "INSERT INTO orders.claims (customer_id, key, body_hash, decision_id)
             VALUES (gen_random_uuid(), $1, '', gen_random_uuid())",
        )
        .bind(key)
        .execute(&pool)
        .await;
        let constraint = inserted.err().and_then(|error| {
            let constraint = error.as_database_error()?.constraint()?;
            Some(constraint.to_owned())
        });
        assert_eq!(constraint.as_deref(), violated, "{key:?}");
    }
}

#[tokio::test]
async fn a_constraint_that_one_item_violates_stores_nothing_of_its_batch() {
    let (database, pool) = database().await;
    let mut decider = PostgresDecider::new(database.options(Role::Order));
    let product = add_product(&pool, Product::default()).await;
    let customer = Uuid::now_v7();
    let good = request(customer, "good", product);
    let bad = OrderRequest {
        quantity: 0,
        ..request(customer, "bad", product)
    };
    assert!(decider.decide(&[&good, &bad]).await.is_err());
    assert_eq!(stock(&pool, product).await, (100, 0));
    assert!(decide_one(&mut decider, &good).await.is_some());
    assert_eq!(ordered(&pool, product).await, (1, 1));
}

/// Many lanes, the same few customers, keys and products, in every order: whatever waits for whatever, it ends, and the
/// sums are right. A deadlock would be an error here, for nothing repeats it.
#[tokio::test(flavor = "multi_thread")]
async fn deciders_that_meet_at_the_same_keys_and_rows_never_deadlock() {
    let (database, pool) = database().await;
    let mut products = Vec::new();
    for limit in [None, Some(5), None, Some(5)] {
        products.push(
            add_product(
                &pool,
                Product {
                    stock: 150,
                    limit,
                    ..Product::default()
                },
            )
            .await,
        );
    }
    products.push(Uuid::now_v7());
    let customers: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    let deciding = (0..8).map(|_| {
        let mut decider = PostgresDecider::new(database.options(Role::Order));
        let (products, customers) = (products.clone(), customers.clone());
        tokio::spawn(async move {
            for _ in 0..40 {
                let batch: Vec<_> = (0..24)
                    .map(|_| {
                        let mut random = rand::rng();
                        let product = products[random.random_range(0..products.len())];
                        let customer = customers[random.random_range(0..customers.len())];
                        let key = format!("key-{}", random.random_range(0..60));
                        OrderRequest {
                            quantity: random.random_range(1..=3),
                            ..request(customer, &key, product)
                        }
                    })
                    .collect();
                let batch: Vec<_> = batch.iter().collect();
                decider.decide(&batch).await.unwrap();
            }
        })
    });
    for decider in deciding.collect::<Vec<_>>() {
        decider.await.unwrap();
    }
    for product in &products[..4] {
        let (free, sold) = stock(&pool, *product).await;
        assert_eq!(free + sold, 150);
        assert_eq!(ordered(&pool, *product).await.1, sold);
    }
    let (twice, over_limit): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (SELECT FROM orders.orders GROUP BY customer_id, key HAVING count(*) > 1) AS t),
                (SELECT count(*) FROM (SELECT FROM orders.orders WHERE sale_id IS NOT NULL
                  GROUP BY customer_id, sale_id HAVING sum(quantity) > 5) AS t)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((twice, over_limit), (0, 0));
}
