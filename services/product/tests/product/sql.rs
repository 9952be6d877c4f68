//! A migrated database and product's functions as callers see them.

use std::collections::BTreeMap;

use shop_product::MIGRATIONS;
use shop_testkit::{Database, Postgres, Role};
use sqlx::{PgExecutor, PgPool, Row};
use uuid::Uuid;

/// A database of the test's own, with product's schema.
pub(crate) async fn migrated() -> Database<'static> {
    let database = Postgres::shared().database().await;
    MIGRATIONS
        .run(&database.pool(Role::Product, 1).await)
        .await
        .unwrap();
    database
}

/// One request to take stock.
#[derive(Debug, Clone)]
pub(crate) struct Take {
    pub(crate) product: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) quantity: i32,
    pub(crate) tag: Option<String>,
}

/// One row of what `take_stock` returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) verdict: String,
    pub(crate) unit_price_minor: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) sale: Option<Uuid>,
    pub(crate) free: Option<i64>,
}

/// One request to hold stock.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) key: String,
    pub(crate) take: Take,
    pub(crate) ttl_seconds: i32,
}

/// `received`, `free`, `held`, `sold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stock {
    pub(crate) received: i64,
    pub(crate) free: i64,
    pub(crate) held: i64,
    pub(crate) sold: i64,
}

pub(crate) fn take(product: Uuid, customer: Uuid, quantity: i32) -> Take {
    Take {
        product,
        customer,
        quantity,
        tag: None,
    }
}

pub(crate) fn hold(key: &str, product: Uuid, customer: Uuid, quantity: i32) -> Hold {
    Hold {
        key: key.to_owned(),
        take: take(product, customer, quantity),
        ttl_seconds: 3600,
    }
}

pub(crate) async fn new_product(pool: &PgPool, stock: i64, tag: Option<&str>) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO product.products (id, sku, name, description, price_minor, currency, tag)
         VALUES ($1, $1::text, 'Mug', '', 1000, 'EUR', $2)",
    )
    .bind(id)
    .bind(tag)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query("INSERT INTO product.stock (product_id) VALUES ($1)")
        .bind(id)
        .execute(pool)
        .await
        .unwrap();
    if stock > 0 {
        receive(pool, id, stock, "first").await;
    }
    id
}

/// A sale from a moment ago until in an hour.
pub(crate) async fn new_sale(pool: &PgPool, product: Uuid, limit: i32, price: Option<i64>) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO product.sales (id, product_id, starts_at, ends_at, limit_per_customer, price_minor)
         VALUES ($1, $2, clock_timestamp(), clock_timestamp() + interval '1 hour', $3, $4)",
    )
    .bind(id)
    .bind(product)
    .bind(limit)
    .bind(price)
    .execute(pool)
    .await
    .unwrap();
    id
}

/// Ends a sale now, as if its time had come.
pub(crate) async fn end_sale(pool: &PgPool, sale: Uuid) {
    sqlx::query("UPDATE product.sales SET ends_at = clock_timestamp() WHERE id = $1")
        .bind(sale)
        .execute(pool)
        .await
        .unwrap();
}

pub(crate) async fn receive(pool: &PgPool, product: Uuid, added: i64, reference: &str) -> String {
    sqlx::query_scalar("SELECT product.receive_stock($1, $2, $3)")
        .bind(product)
        .bind(added)
        .bind(reference)
        .fetch_one(pool)
        .await
        .unwrap()
}

pub(crate) async fn take_stock<'c>(
    executor: impl PgExecutor<'c>,
    requests: &[Take],
) -> sqlx::Result<Vec<Taken>> {
    let (products, customers, quantities, tags) = columns(requests.iter());
    let rows = sqlx::query("SELECT * FROM product.take_stock($1, $2, $3, $4) ORDER BY ord")
        .bind(products)
        .bind(customers)
        .bind(quantities)
        .bind(tags)
        .fetch_all(executor)
        .await?;
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(
            usize::try_from(row.get::<i32, _>("ord")).unwrap(),
            index + 1
        );
    }
    let taken = rows.iter().map(|row| Taken {
        verdict: row.get("verdict"),
        unit_price_minor: row.get("unit_price_minor"),
        currency: row.get("currency"),
        sale: row.get("sale_id"),
        free: row.get("free"),
    });
    Ok(taken.collect())
}

/// The verdicts only.
pub(crate) async fn take_verdicts<'c>(
    executor: impl PgExecutor<'c>,
    requests: &[Take],
) -> sqlx::Result<Vec<String>> {
    let taken = take_stock(executor, requests).await?;
    Ok(taken.into_iter().map(|taken| taken.verdict).collect())
}

pub(crate) async fn hold_stock<'c>(
    executor: impl PgExecutor<'c>,
    requests: &[Hold],
) -> sqlx::Result<Vec<String>> {
    let keys: Vec<&str> = requests
        .iter()
        .map(|request| request.key.as_str())
        .collect();
    let lifetimes: Vec<i32> = requests.iter().map(|request| request.ttl_seconds).collect();
    let (products, customers, quantities, tags) =
        columns(requests.iter().map(|request| &request.take));
    let rows = sqlx::query(
        "SELECT verdict, expires_at IS NOT NULL AS expires FROM product.hold_stock($1, $2, $3, $4, $5, $6) ORDER BY ord",
    )
    .bind(keys)
    .bind(products)
    .bind(customers)
    .bind(quantities)
    .bind(lifetimes)
    .bind(tags)
    .fetch_all(executor)
    .await?;
    let verdicts = rows.iter().map(|row| {
        let verdict: String = row.get("verdict");
        assert_eq!(
            row.get::<bool, _>("expires"),
            verdict == "held",
            "{verdict}"
        );
        verdict
    });
    Ok(verdicts.collect())
}

pub(crate) async fn confirm<'c>(
    executor: impl PgExecutor<'c>,
    keys: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT verdict FROM product.confirm_holds($1) ORDER BY ord")
        .bind(keys)
        .fetch_all(executor)
        .await
}

pub(crate) async fn release<'c>(
    executor: impl PgExecutor<'c>,
    keys: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT verdict FROM product.release_holds($1) ORDER BY ord")
        .bind(keys)
        .fetch_all(executor)
        .await
}

pub(crate) async fn expire<'c>(executor: impl PgExecutor<'c>, max: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar("SELECT product.expire_holds($1)")
        .bind(max)
        .fetch_one(executor)
        .await
}

/// Lets the time of holds run out, without waiting for it.
pub(crate) async fn run_out(pool: &PgPool, keys: &[String]) {
    sqlx::query(
        "UPDATE product.holds SET expires_at = clock_timestamp() - interval '1 second'
         WHERE key = ANY ($1) AND status = 'held'",
    )
    .bind(keys)
    .execute(pool)
    .await
    .unwrap();
}

pub(crate) async fn stock<'c>(executor: impl PgExecutor<'c>, product: Uuid) -> Stock {
    let row =
        sqlx::query("SELECT received, free, held, sold FROM product.stock WHERE product_id = $1")
            .bind(product)
            .fetch_one(executor)
            .await
            .unwrap();
    Stock {
        received: row.get("received"),
        free: row.get("free"),
        held: row.get("held"),
        sold: row.get("sold"),
    }
}

/// What customers have bought or hold in a sale; those with nothing are left out.
pub(crate) async fn counters(pool: &PgPool, sale: Uuid) -> BTreeMap<Uuid, i32> {
    let rows = sqlx::query_as::<_, (Uuid, i32)>(
        "SELECT customer_id, bought FROM product.sale_counters WHERE sale_id = $1 AND bought > 0",
    )
    .bind(sale)
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

type Columns = (Vec<Uuid>, Vec<Uuid>, Vec<i32>, Vec<Option<String>>);

fn columns<'a>(requests: impl Iterator<Item = &'a Take> + Clone) -> Columns {
    (
        requests.clone().map(|request| request.product).collect(),
        requests.clone().map(|request| request.customer).collect(),
        requests.clone().map(|request| request.quantity).collect(),
        requests.map(|request| request.tag.clone()).collect(),
    )
}
