//! Holds that run out: by the database's clock, and never both sold and given back.

use std::time::Duration;

use shop_testkit::{Role, eventually};
use sqlx::PgPool;
use uuid::Uuid;

use crate::sql::{
    Stock, confirm, counters, expire, hold, hold_stock, migrated, new_product, new_sale, release,
    run_out, stock,
};

const GIVEN_BACK: Stock = Stock {
    received: 10,
    free: 10,
    held: 0,
    sold: 0,
};
const SOLD: Stock = Stock {
    received: 10,
    free: 8,
    held: 0,
    sold: 2,
};

async fn held(pool: &PgPool, key: &str) -> Uuid {
    let mug = new_product(pool, 10, None).await;
    let verdicts = hold_stock(pool, &[hold(key, mug, Uuid::now_v7(), 2)])
        .await
        .unwrap();
    assert_eq!(verdicts, ["held"]);
    mug
}

#[tokio::test]
async fn an_expired_hold_cannot_be_confirmed_before_the_sweeper_has_come_by_nor_after() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    let sale = new_sale(&pool, mug, 2, None).await;
    let request = hold("a", mug, Uuid::now_v7(), 2);
    let keys = ["a".to_owned()];
    hold_stock(&pool, std::slice::from_ref(&request))
        .await
        .unwrap();
    run_out(&pool, &keys).await;
    assert_eq!(confirm(&pool, &keys).await.unwrap(), ["expired"]);
    assert_eq!(
        hold_stock(&pool, std::slice::from_ref(&request))
            .await
            .unwrap(),
        ["expired"]
    );
    assert_eq!(stock(&pool, mug).await.held, 2);
    assert_eq!(expire(&pool, 10).await.unwrap(), 1);
    assert_eq!(confirm(&pool, &keys).await.unwrap(), ["expired"]);
    assert_eq!(release(&pool, &keys).await.unwrap(), ["expired"]);
    assert_eq!(stock(&pool, mug).await, GIVEN_BACK);
    assert!(counters(&pool, sale).await.is_empty());
}

#[tokio::test]
async fn a_hold_ends_after_its_time_by_the_databases_clock() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    let mut request = hold("a", mug, Uuid::now_v7(), 2);
    request.ttl_seconds = 1;
    hold_stock(&pool, &[request]).await.unwrap();
    assert_eq!(expire(&pool, 10).await.unwrap(), 0);
    eventually(
        "the hold to run out",
        Duration::from_secs(10),
        async || match expire(&pool, 10).await.unwrap() {
            1 => Ok(()),
            other => Err(format!("{other} expired")),
        },
    )
    .await;
    assert_eq!(stock(&pool, mug).await, GIVEN_BACK);
}

#[tokio::test]
async fn a_confirmation_under_way_is_left_alone_by_the_sweeper_though_its_time_runs_out_meanwhile()
{
    let database = migrated().await;
    let pool = database.pool(Role::Product, 3).await;
    let mug = held(&pool, "a").await;
    let mut confirming = pool.begin().await.unwrap();
    assert_eq!(
        confirm(&mut *confirming, &["a".to_owned()]).await.unwrap(),
        ["confirmed"]
    );
    // Committed it says `held` still; let it also be late.
    sqlx::query("UPDATE product.holds SET expires_at = clock_timestamp() WHERE key = 'a'")
        .execute(&mut *confirming)
        .await
        .unwrap();
    assert_eq!(promptly(expire(&pool, 10)).await.unwrap(), 0);
    confirming.commit().await.unwrap();
    assert_eq!(expire(&pool, 10).await.unwrap(), 0);
    assert_eq!(stock(&pool, mug).await, SOLD);
}

#[tokio::test]
async fn a_confirmation_that_waits_for_the_sweeper_comes_too_late() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 3).await;
    let mug = held(&pool, "a").await;
    run_out(&pool, &["a".to_owned()]).await;
    let mut sweeping = pool.begin().await.unwrap();
    assert_eq!(expire(&mut *sweeping, 10).await.unwrap(), 1);
    let confirming = {
        let pool = pool.clone();
        tokio::spawn(async move { confirm(&pool, &["a".to_owned()]).await.unwrap() })
    };
    waits_for_a_lock(&pool).await;
    sweeping.commit().await.unwrap();
    assert_eq!(confirming.await.unwrap(), ["expired"]);
    assert_eq!(stock(&pool, mug).await, GIVEN_BACK);
}

#[tokio::test]
async fn a_confirmation_and_the_sweeper_at_once_have_one_outcome() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 4).await;
    let mut outcomes = [0, 0];
    for round in 0..150 {
        let key = [format!("hold-{round}")];
        let mug = held(&pool, &key[0]).await;
        // Runs out about when the two meet.
        sqlx::query("UPDATE product.holds SET expires_at = clock_timestamp() + make_interval(secs => $2) WHERE key = $1")
            .bind(&key[0])
            .bind(f64::from(round % 10) * 0.0003)
            .execute(&pool)
            .await
            .unwrap();
        let sweep = async {
            loop {
                let expired = expire(&pool, 10).await.unwrap();
                let left: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM product.holds WHERE status = 'held'")
                        .fetch_one(&pool)
                        .await
                        .unwrap();
                if expired > 0 || left == 0 {
                    break;
                }
            }
        };
        let (verdict, ()) = tokio::join!(async { confirm(&pool, &key).await.unwrap() }, sweep);
        match verdict[0].as_str() {
            "confirmed" => assert_eq!(stock(&pool, mug).await, SOLD),
            "expired" => assert_eq!(stock(&pool, mug).await, GIVEN_BACK),
            other => panic!("unexpected verdict {other}"),
        }
        outcomes[usize::from(verdict[0] == "confirmed")] += 1;
    }
    assert!(
        outcomes.iter().all(|count| *count > 0),
        "one outcome never came: {outcomes:?}"
    );
}

#[tokio::test]
async fn a_sweeper_that_is_killed_in_the_middle_leaves_nothing_half_done() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 2).await;
    let mug = held(&pool, "a").await;
    run_out(&pool, &["a".to_owned()]).await;
    let mut sweeper = database.connect(Role::Product).await;
    let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut sweeper)
        .await
        .unwrap();
    sqlx::query("BEGIN").execute(&mut sweeper).await.unwrap();
    assert_eq!(expire(&mut sweeper, 10).await.unwrap(), 1);
    let killed: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1, 10000)")
        .bind(process)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(killed);
    sqlx::query("COMMIT")
        .execute(&mut sweeper)
        .await
        .unwrap_err();
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 10,
            free: 8,
            held: 2,
            sold: 0
        }
    );
    assert_eq!(expire(&pool, 10).await.unwrap(), 1);
    assert_eq!(stock(&pool, mug).await, GIVEN_BACK);
}

#[tokio::test]
async fn two_sweepers_at_once_return_each_hold_once_and_do_not_wait_for_each_other() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 3).await;
    let (one, other) = (held(&pool, "a").await, held(&pool, "b").await);
    run_out(&pool, &["a".to_owned(), "b".to_owned()]).await;
    let mut first = pool.begin().await.unwrap();
    assert_eq!(expire(&mut *first, 1).await.unwrap(), 1);
    // The first has not committed: a sweeper that waited for it would wait for ever.
    assert_eq!(promptly(expire(&pool, 10)).await.unwrap(), 1);
    first.commit().await.unwrap();
    assert_eq!(expire(&pool, 10).await.unwrap(), 0);
    assert_eq!(stock(&pool, one).await, GIVEN_BACK);
    assert_eq!(stock(&pool, other).await, GIVEN_BACK);
}

/// What has nothing to wait for.
async fn promptly<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(10), work).await;
    done.unwrap_or_else(|_| panic!("it waits for what it should leave alone"))
}

async fn waits_for_a_lock(pool: &PgPool) {
    eventually("somebody to wait for a lock", Duration::from_secs(10), async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if waiting > 0 { Ok(()) } else { Err("nobody waits".to_owned()) }
    })
    .await;
}
