//! The books of a drill: the stock of its products again and again while something is broken, its orders at the end.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::auditor::{AuditError, Auditor};

/// A look that takes longer is given up: the server is as good as away.
const LOOK: Duration = Duration::from_secs(1);
/// Many orders take longer to read.
const READ: Duration = Duration::from_mins(1);

/// A product's stock, and what its orders add up to, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockSeen {
    /// The product.
    pub product: Uuid,
    /// All pieces that came in.
    pub received: i64,
    /// What may be sold.
    pub free: i64,
    /// What is kept for somebody.
    pub held: i64,
    /// What was sold.
    pub sold: i64,
    /// Pieces in orders.
    pub ordered: i64,
}

/// Postgres at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSeen {
    /// The cluster's identifier: another one is another database.
    pub system: String,
    /// The timeline: it grows with a promotion or a restore.
    pub timeline: u32,
    /// When the server started, as it says.
    pub started: String,
    /// The stock of the products that were asked about.
    pub stock: Vec<StockSeen>,
    /// By how much the hold that is overdue the longest has outlived its time, in microseconds.
    pub overdue_micros: u64,
}

/// An order as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOrder {
    /// The order.
    pub id: Uuid,
    /// Whose it is.
    pub customer: Uuid,
    /// The key that it was ordered with.
    pub key: String,
    /// What was bought.
    pub product: Uuid,
    /// How many.
    pub quantity: i32,
    /// The price of one, in the currency's smallest unit.
    pub unit_price_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Looks into the books again and again without logging in each time.
#[derive(Debug, Default)]
pub struct Ledger {
    connection: Option<PgConnection>,
}

const STOCK: &str = "\
SELECT s.product_id, s.received, s.free, s.held, s.sold,
       (SELECT coalesce(sum(o.quantity), 0)::bigint FROM orders.orders AS o
        WHERE o.tag = $2 AND o.product_id = s.product_id) AS ordered,
       (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(h.expires_at)) * 1000000, 0)::bigint
        FROM product.holds AS h WHERE h.status = 'held' AND h.expires_at < clock_timestamp()) AS overdue,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
       pg_postmaster_start_time()::text AS started
FROM product.stock AS s
WHERE s.product_id = ANY ($1)
ORDER BY s.product_id";

const ORDERS: &str = "\
SELECT id, customer_id, key, product_id, quantity, unit_price_minor, currency
FROM orders.orders WHERE tag = $1 ORDER BY id";

impl Ledger {
    /// Postgres and the stock of these products now; orders are those with the tag.
    pub async fn look(
        &mut self,
        auditor: &Auditor,
        tag: &str,
        products: &[Uuid],
    ) -> Result<PostgresSeen, AuditError> {
        let look = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => auditor.connect().await?,
            };
            let rows = sqlx::query(STOCK)
                .bind(products)
                .bind(tag)
                .fetch_all(&mut connection)
                .await?;
            Ok::<_, AuditError>((rows, connection))
        };
        let (rows, connection) = tokio::time::timeout(LOOK, look)
            .await
            .map_err(|_| AuditError::TimedOut)??;
        self.connection = Some(connection);
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok(PostgresSeen {
            system: first.try_get("system")?,
            timeline: u32::try_from(first.try_get::<i32, _>("timeline")?).unwrap_or_default(),
            started: first.try_get("started")?,
            overdue_micros: u64::try_from(first.try_get::<i64, _>("overdue")?).unwrap_or_default(),
            stock: rows.iter().map(stock).collect::<Result<_, _>>()?,
        })
    }

    /// All orders with the tag.
    pub async fn orders(auditor: &Auditor, tag: &str) -> Result<Vec<LedgerOrder>, AuditError> {
        let read = async {
            let mut connection = auditor.connect().await?;
            let rows = sqlx::query(ORDERS)
                .bind(tag)
                .fetch_all(&mut connection)
                .await?;
            let _ = connection.close().await;
            let orders: Result<Vec<LedgerOrder>, sqlx::Error> = rows.iter().map(order).collect();
            Ok(orders?)
        };
        tokio::time::timeout(READ, read)
            .await
            .map_err(|_| AuditError::TimedOut)?
    }
}

fn stock(row: &PgRow) -> Result<StockSeen, sqlx::Error> {
    Ok(StockSeen {
        product: row.try_get("product_id")?,
        received: row.try_get("received")?,
        free: row.try_get("free")?,
        held: row.try_get("held")?,
        sold: row.try_get("sold")?,
        ordered: row.try_get("ordered")?,
    })
}

fn order(row: &PgRow) -> Result<LedgerOrder, sqlx::Error> {
    Ok(LedgerOrder {
        id: row.try_get("id")?,
        customer: row.try_get("customer_id")?,
        key: row.try_get("key")?,
        product: row.try_get("product_id")?,
        quantity: row.try_get("quantity")?,
        unit_price_minor: row.try_get("unit_price_minor")?,
        currency: row.try_get("currency")?,
    })
}
