//! A database with product's and order's tables, and products in it.

use shop_order::batcher::{Decide, Verdict};
use shop_order::order::OrderRequest;
use shop_order::store::{MIGRATIONS, PostgresDecider};
use shop_testkit::{Database, Role, eventually};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

/// Makes the tables of both services, as their owners.
pub(crate) async fn migrate(database: &Database<'_>) {
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
}

/// A product on sale in a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) stock: i64,
    pub(crate) tag: Option<&'a str>,
    /// Pieces a customer may buy in a sale that runs now.
    pub(crate) limit: Option<i32>,
}

impl Default for Product<'_> {
    fn default() -> Self {
        Self {
            stock: 100,
            tag: None,
            limit: None,
        }
    }
}

pub(crate) const PRICE_MINOR: i64 = 1_999;

/// Adds a product with its stock, and its sale if it has one.
pub(crate) async fn add_product(pool: &PgPool, product: Product<'_>) -> Uuid {
    let id = Uuid::now_v7();
    let sku = id.simple().to_string();
    sqlx::query(
        "INSERT INTO product.products (id, sku, name, description, price_minor, currency, tag)
         VALUES ($1, $2, 'Lamp', 'Shines', $3, 'EUR', $4)",
    )
    .bind(id)
    .bind(sku)
    .bind(PRICE_MINOR)
    .bind(product.tag)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query("INSERT INTO product.stock (product_id, received, free) VALUES ($1, $2, $2)")
        .bind(id)
        .bind(product.stock)
        .execute(pool)
        .await
        .unwrap();
    if let Some(limit) = product.limit {
        start_sale(pool, id, limit).await;
    }
    id
}

/// Starts a sale of an hour.
pub(crate) async fn start_sale(pool: &PgPool, product_id: Uuid, limit: i32) {
    sqlx::query(
        "INSERT INTO product.sales (id, product_id, starts_at, ends_at, limit_per_customer)
         VALUES ($1, $2, now() - interval '1 minute', now() + interval '1 hour', $3)",
    )
    .bind(Uuid::now_v7())
    .bind(product_id)
    .bind(limit)
    .execute(pool)
    .await
    .unwrap();
}

/// `(free, sold)` of a product.
pub(crate) async fn stock(pool: &PgPool, product_id: Uuid) -> (i64, i64) {
    sqlx::query_as("SELECT free, sold FROM product.stock WHERE product_id = $1")
        .bind(product_id)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// `(orders, pieces)` of a product.
pub(crate) async fn ordered(pool: &PgPool, product_id: Uuid) -> (i64, i64) {
    sqlx::query_as(
        "SELECT count(*), coalesce(sum(quantity), 0)::bigint FROM orders.orders WHERE product_id = $1",
    )
    .bind(product_id)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Keeps a product's stock row locked, so that decisions about it wait inside of Postgres.
pub(crate) struct StockGate {
    pool: PgPool,
    transaction: Transaction<'static, Postgres>,
}

impl StockGate {
    /// Locks the row.
    pub(crate) async fn close(pool: &PgPool, product_id: Uuid) -> Self {
        let row = "SELECT FROM product.stock WHERE product_id = $1 FOR UPDATE";
        Self::lock(pool, row, product_id).await
    }

    /// Locks what a customer has bought in sales instead: a decision that waits there has taken its stock already.
    pub(crate) async fn close_counter(pool: &PgPool, customer_id: Uuid) -> Self {
        let row = "SELECT FROM product.sale_counters WHERE customer_id = $1 FOR UPDATE";
        Self::lock(pool, row, customer_id).await
    }

    async fn lock(pool: &PgPool, row: &'static str, id: Uuid) -> Self {
        let mut transaction = pool.begin().await.unwrap();
        let locked = sqlx::query(row)
            .bind(id)
            .execute(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(locked.rows_affected(), 1);
        Self {
            pool: pool.clone(),
            transaction,
        }
    }

    /// Waits until a session of this database waits for a lock.
    pub(crate) async fn until_somebody_waits(&self) {
        let check = || async {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&self.pool)
            .await
            .unwrap();
            if waiting > 0 {
                Ok(())
            } else {
                Err("nobody waits".to_owned())
            }
        };
        eventually("a session that waits for a lock", super::SOON, check).await;
    }

    /// The processes of the sessions that wait for a lock and decide orders.
    pub(crate) async fn waiting_deciders(&self) -> Vec<i32> {
        deciders(&self.pool, "AND wait_event_type = 'Lock'").await
    }

    /// Lets the decisions go on.
    pub(crate) async fn open(self) {
        self.transaction.rollback().await.unwrap();
    }
}

/// The processes of this database's sessions that are deciding orders.
pub(crate) async fn deciders(pool: &PgPool, condition: &'static str) -> Vec<i32> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND state = 'active' AND query LIKE '%orders.decide(%' {condition}"
    )))
    .fetch_all(pool)
    .await
    .unwrap()
}

/// An order of one piece.
pub(crate) fn request(customer_id: Uuid, key: &str, product_id: Uuid) -> OrderRequest {
    OrderRequest {
        decision_id: Uuid::now_v7(),
        customer_id,
        key: key.parse().unwrap(),
        product_id,
        quantity: 1,
        tag: None,
    }
}

/// Decides one request on a decider of its own choice.
pub(crate) async fn decide_one(decider: &mut PostgresDecider, request: &OrderRequest) -> Verdict {
    decider.decide(&[request]).await.unwrap().remove(0)
}
