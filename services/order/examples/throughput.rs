//! How many orders of one product a second: decided in batches, and one transaction an order, in the same run on the
//! same durable Postgres. Rates depend on the machine; the ratio is what this is for.
//!
//! `cargo run --release -p shop-order --example throughput [SECONDS]`

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a measurement for people, which may fail loudly

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shop_order::OrderSettings;
use shop_order::batcher::{Batcher, BatcherSettings, Decide};
use shop_order::order::{Decision, OrderRequest, Outcome};
use shop_order::store::{MIGRATIONS, PostgresDecider};
use shop_testkit::{Database, Durability, Postgres, Role};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Connections of the shop that decides order by order.
const POOL: usize = 32;

#[tokio::main]
async fn main() {
    let seconds = std::env::args()
        .nth(1)
        .map_or(3, |text| text.parse().unwrap());
    let duration = Duration::from_secs(seconds);
    let server = Postgres::start(Durability::On);
    let database = server.database().await;
    for (role, migrations) in [
        (Role::Product, &shop_product::MIGRATIONS),
        (Role::Order, &MIGRATIONS),
    ] {
        let mut connection = database.connect(role).await;
        migrations
            .run_direct(None, &mut connection, false)
            .await
            .unwrap();
    }
    println!(
        "{:>8}  {:>8}  {:>12}  {:>12}  {:>10}",
        "callers", "lingers", "batched/s", "singly/s", "ratio"
    );
    for callers in [1, 64, 1000] {
        let product = hot_product(&database).await;
        let singly = singly(&database, product, callers, duration).await;
        for linger in [Duration::ZERO, OrderSettings::default().batcher().linger] {
            let settings = BatcherSettings {
                linger,
                ..OrderSettings::default().batcher()
            };
            let batched = batched(&database, settings, product, callers, duration).await;
            println!(
                "{callers:>8}  {:>5} ms  {batched:>12.0}  {singly:>12.0}  {:>9.1}x",
                linger.as_millis(),
                batched / singly,
            );
        }
    }
}

async fn hot_product(database: &Database<'_>) -> Uuid {
    let id = Uuid::now_v7();
    let pool = database.pool(Role::Superuser, 1).await;
    for statement in [
        "INSERT INTO product.products (id, sku, name, description, price_minor, currency)
         VALUES ($1, $1::text, 'Lamp', 'Shines', 1999, 'EUR')",
        "INSERT INTO product.stock (product_id, received, free) VALUES ($1, 1000000000, 1000000000)",
    ] {
        sqlx::query(statement)
            .bind(id)
            .execute(&pool)
            .await
            .unwrap();
    }
    id
}

fn order(product_id: Uuid) -> OrderRequest {
    OrderRequest {
        decision_id: Uuid::now_v7(),
        customer_id: Uuid::new_v4(),
        key: Uuid::new_v4().to_string().parse().unwrap(),
        product_id,
        quantity: 1,
        tag: None,
    }
}

async fn batched(
    database: &Database<'_>,
    settings: BatcherSettings,
    product: Uuid,
    callers: usize,
    duration: Duration,
) -> f64 {
    let options = database.options(Role::Order);
    let (batcher, deciding) = Batcher::new(settings, || PostgresDecider::new(options.clone()));
    tokio::spawn(deciding);
    rate(callers, duration, move || {
        let batcher = batcher.clone();
        async move { batcher.decide(order(product), None).await.unwrap() }
    })
    .await
}

async fn singly(database: &Database<'_>, product: Uuid, callers: usize, duration: Duration) -> f64 {
    let options = database.options(Role::Order);
    let mut connections = Vec::new();
    for _ in 0..POOL {
        let mut connection = PostgresDecider::new(options.clone());
        // Opens it: connecting is not what is measured.
        connection.decide(&[&order(product)]).await.unwrap();
        connections.push(connection);
    }
    let (free, pool) = (
        Arc::new(Semaphore::new(POOL)),
        Arc::new(Mutex::new(connections)),
    );
    rate(callers, duration, move || {
        let (free, pool) = (Arc::clone(&free), Arc::clone(&pool));
        async move {
            let _turn = free.acquire().await.unwrap();
            let mut connection = pool.lock().await.pop().unwrap();
            let decision = connection
                .decide(&[&order(product)])
                .await
                .unwrap()
                .remove(0);
            pool.lock().await.push(connection);
            decision.unwrap()
        }
    })
    .await
}

/// Orders a second that so many callers get confirmed, each sending its next one when it has its last one's answer.
async fn rate<F>(
    callers: usize,
    duration: Duration,
    order_once: impl Fn() -> F + Clone + Send + 'static,
) -> f64
where
    F: Future<Output = Decision> + Send,
{
    let confirmed = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (order_once, confirmed) = (order_once.clone(), Arc::clone(&confirmed));
        running.spawn(async move {
            while began.elapsed() < duration {
                let decision = order_once().await;
                assert!(
                    matches!(decision.outcome, Outcome::Confirmed(_)),
                    "{decision:?}"
                );
                confirmed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    confirmed.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}
