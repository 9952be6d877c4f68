//! Prints how many requests a second `product.take_stock` decides, on one connection of a durable Postgres of its own:
//!
//! ```text
//! cargo run -p shop-product --example stock_rates
//! ```
//!
//! "committed" is a transaction a batch, which waits for the disk; "decided" is the function alone, many batches in
//! one transaction. Nothing is asserted: the figures depend on the machine and on what else it does.

#![allow(clippy::print_stdout, reason = "this prints a table")]
#![allow(clippy::unwrap_used, reason = "nothing goes on after an error")]

use std::time::{Duration, Instant};

use shop_product::MIGRATIONS;
use shop_testkit::{Durability, Postgres, Role};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const MEASURED: Duration = Duration::from_secs(2);
const PLENTY: i64 = 1_000_000_000_000;
const MANY_PRODUCTS: usize = 100;

/// What a batch asks for.
struct Scenario {
    name: &'static str,
    products: Vec<Uuid>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = Postgres::start(Durability::On);
    let database = server.database().await;
    let mut connection = database.connect(Role::Product).await;
    MIGRATIONS.run(&mut connection).await.unwrap();
    let scenarios = scenarios(&mut connection).await;
    println!(
        "{:<24}{:>7}{:>14}{:>14}",
        "requests for", "batch", "committed/s", "decided/s"
    );
    for scenario in &scenarios {
        for batch in [1, 32, 128, 512, 1024] {
            let committed = rate(&mut connection, scenario, batch).await;
            let mut transaction = connection.begin().await.unwrap();
            let decided = rate(&mut transaction, scenario, batch).await;
            transaction.rollback().await.unwrap();
            println!(
                "{:<24}{batch:>7}{committed:>14.0}{decided:>14.0}",
                scenario.name
            );
        }
    }
}

async fn scenarios(connection: &mut PgConnection) -> Vec<Scenario> {
    let mut many = Vec::new();
    for _ in 0..MANY_PRODUCTS {
        many.push(product(connection, PLENTY).await);
    }
    let in_sale = product(connection, PLENTY).await;
    sqlx::query(
        "INSERT INTO product.sales (id, product_id, starts_at, ends_at, limit_per_customer)
         VALUES (gen_random_uuid(), $1, now() - interval '1 hour', now() + interval '1 day', 1)",
    )
    .bind(in_sale)
    .execute(&mut *connection)
    .await
    .unwrap();
    let sold_out = product(connection, 0).await;
    let one = vec![many[0]];
    vec![
        Scenario {
            name: "one product",
            products: one,
        },
        Scenario {
            name: "one product in a sale",
            products: vec![in_sale],
        },
        Scenario {
            name: "one that is sold out",
            products: vec![sold_out],
        },
        Scenario {
            name: "a hundred products",
            products: many,
        },
    ]
}

async fn product(connection: &mut PgConnection, stock: i64) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO product.products (id, sku, name, description, price_minor, currency)
         VALUES ($1, $1::text, 'Mug', '', 100, 'EUR')",
    )
    .bind(id)
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query("INSERT INTO product.stock (product_id, received, free) VALUES ($1, $2, $2)")
        .bind(id)
        .bind(stock)
        .execute(connection)
        .await
        .unwrap();
    id
}

/// Requests a second. Every request is a new customer's, as in a flash sale.
async fn rate(connection: &mut PgConnection, scenario: &Scenario, batch: usize) -> f64 {
    let products: Vec<Uuid> = scenario
        .products
        .iter()
        .copied()
        .cycle()
        .take(batch)
        .collect();
    let quantities = vec![1; batch];
    let tags: Vec<Option<String>> = vec![None; batch];
    let started = Instant::now();
    let mut decided = 0;
    while started.elapsed() < MEASURED {
        let customers: Vec<Uuid> = (0..batch).map(|_| Uuid::now_v7()).collect();
        let verdicts: Vec<String> =
            sqlx::query_scalar("SELECT verdict FROM product.take_stock($1, $2, $3, $4)")
                .bind(&products)
                .bind(customers)
                .bind(&quantities)
                .bind(&tags)
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        decided += verdicts.len();
    }
    decided as f64 / started.elapsed().as_secs_f64()
}
