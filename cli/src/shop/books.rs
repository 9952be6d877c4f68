//! The books of a load test: every order of its tag and the stock of its products, read at one moment.

use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::auditor::{AuditError, Auditor};
use crate::report::{BookedOrder, BookedProduct};

/// Many orders take longer to read than one answer.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the books say about a load test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestBooks {
    /// Its orders.
    pub orders: Vec<BookedOrder>,
    /// Its products.
    pub products: Vec<BookedProduct>,
}

impl TestBooks {
    /// How many pieces are kept for somebody.
    pub fn held(&self) -> i64 {
        self.products.iter().map(|product| product.held).sum()
    }
}

const PRODUCTS: &str = "\
SELECT s.product_id::text AS product, s.received, s.free, s.held, s.sold,
       (SELECT min(r.quantity) FROM orders.refusals AS r
        WHERE r.product_id = s.product_id AND r.verdict = 'sold_out') AS refused
FROM product.stock AS s
WHERE s.product_id = ANY ($1)
ORDER BY s.product_id";

const ORDERS: &str = "\
SELECT id::text AS id, customer_id::text AS customer, key, product_id::text AS product, quantity
FROM orders.orders
WHERE tag = $1 OR product_id = ANY ($2)
ORDER BY id";

impl Auditor {
    /// What the books say about a test: its orders by their tag, and whoever else ordered its products.
    pub async fn test_books(&self, tag: &str, products: &[Uuid]) -> Result<TestBooks, AuditError> {
        let read = async {
            let mut connection = self.connect().await?;
            let mut moment = connection.begin().await?;
            // Both questions see the same moment, whoever writes meanwhile.
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut *moment)
                .await?;
            let rows = sqlx::query(PRODUCTS)
                .bind(products)
                .fetch_all(&mut *moment)
                .await?;
            let stock = rows.iter().map(product).collect::<Result<_, _>>()?;
            let rows = sqlx::query(ORDERS)
                .bind(tag)
                .bind(products)
                .fetch_all(&mut *moment)
                .await?;
            let orders = rows.iter().map(order).collect::<Result<_, _>>()?;
            moment.rollback().await?;
            // What was asked for is there: a server that would not be told good-bye has it all the same.
            let _ = connection.close().await;
            Ok(TestBooks {
                orders,
                products: stock,
            })
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .map_err(|_| AuditError::TimedOut)?
    }
}

/// Looks again and again how many pieces are left, without logging in each time.
#[derive(Debug, Default)]
pub struct StockWatch {
    connection: Option<sqlx::postgres::PgConnection>,
}

impl StockWatch {
    /// How many pieces of these products may be sold. `None`: Postgres is away, or does not know them.
    pub async fn free(&mut self, auditor: &Auditor, products: &[Uuid]) -> Option<u64> {
        // Taken out, so that a look that is given up midway leaves no connection in the midst of an answer.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => auditor.connect().await.ok()?,
        };
        let free: i64 = sqlx::query(
            "SELECT sum(free)::bigint AS free FROM product.stock WHERE product_id = ANY ($1)",
        )
        .bind(products)
        .fetch_one(&mut connection)
        .await
        .and_then(|row| row.try_get("free"))
        .ok()?;
        self.connection = Some(connection);
        u64::try_from(free).ok()
    }
}

fn product(row: &sqlx::postgres::PgRow) -> Result<BookedProduct, sqlx::Error> {
    Ok(BookedProduct {
        product: row.try_get("product")?,
        received: row.try_get("received")?,
        free: row.try_get("free")?,
        held: row.try_get("held")?,
        sold: row.try_get("sold")?,
        refused: row
            .try_get::<Option<i32>, _>("refused")?
            .map(|pieces| u32::try_from(pieces).unwrap_or(0)),
    })
}

fn order(row: &sqlx::postgres::PgRow) -> Result<BookedOrder, sqlx::Error> {
    Ok(BookedOrder {
        order: row.try_get("id")?,
        customer: row.try_get("customer")?,
        key: row.try_get("key")?,
        product: row.try_get("product")?,
        quantity: u32::try_from(row.try_get::<i32, _>("quantity")?).unwrap_or(0),
    })
}
