//! Products, read in pages and written one at a time.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::model::{Money, NewProduct, Product, ProductChange, Sale};

/// The reference of the stock that a product is made with.
const FIRST_DELIVERY: &str = "created";

/// One row of the query below.
struct ProductRow {
    id: Uuid,
    sku: String,
    name: String,
    description: String,
    price_minor: i64,
    currency: String,
    tag: Option<String>,
    available: bool,
    sale_id: Option<Uuid>,
    starts_at: Option<OffsetDateTime>,
    ends_at: Option<OffsetDateTime>,
    limit_per_customer: Option<i32>,
    sale_price_minor: Option<i64>,
}

/// Products with the sale that goes on or comes next; the rest of the statement says which products.
macro_rules! select_products {
    ($which:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            ProductRow,
            r#"SELECT p.id, p.sku, p.name, p.description, p.price_minor, p.currency, p.tag,
                s.free > 0 AS "available!", f.id AS "sale_id?", f.starts_at AS "starts_at?", f.ends_at AS "ends_at?",
                f.limit_per_customer AS "limit_per_customer?", f.price_minor AS sale_price_minor
            FROM product.products AS p
            JOIN product.stock AS s ON s.product_id = p.id
            LEFT JOIN LATERAL (
                SELECT e.id, e.starts_at, e.ends_at, e.limit_per_customer, e.price_minor FROM product.sales AS e
                WHERE e.product_id = p.id AND e.ends_at > now() ORDER BY e.ends_at LIMIT 1
            ) AS f ON true "# + $which,
            $($argument),*
        )
    };
}

/// What a change of a product came to.
#[derive(Debug)]
pub(crate) enum ChangeVerdict {
    Changed(Box<Product>),
    NotFound,
    OtherCurrency,
}

impl Store {
    /// At most `limit` of the products that are for everybody, in the order in which they were made, from the first
    /// one after `after`.
    pub(crate) async fn page(&self, after: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Product>> {
        let rows = select_products!(
            "WHERE p.tag IS NULL AND p.id > $1 ORDER BY p.id LIMIT $2",
            after.unwrap_or(Uuid::nil()),
            limit
        );
        Ok(rows
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(Product::from)
            .collect())
    }

    pub(crate) async fn product(&self, id: Uuid) -> sqlx::Result<Option<Product>> {
        let row = select_products!("WHERE p.id = $1", id);
        Ok(row.fetch_optional(&self.pool).await?.map(Product::from))
    }

    pub(crate) async fn product_by_sku(&self, sku: &str) -> sqlx::Result<Option<Product>> {
        let row = select_products!("WHERE p.sku = $1", sku);
        Ok(row.fetch_optional(&self.pool).await?.map(Product::from))
    }

    /// Makes a product and its stock in one transaction.
    pub(crate) async fn create(&self, new: &NewProduct) -> sqlx::Result<Product> {
        let id = Uuid::now_v7();
        let mut transaction = self.pool.begin().await?;
        sqlx::query!(
            "INSERT INTO product.products (id, sku, name, description, price_minor, currency, tag)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            id,
            new.sku,
            new.name,
            new.description,
            new.price.amount_minor,
            new.price.currency,
            new.tag
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!("INSERT INTO product.stock (product_id) VALUES ($1)", id)
            .execute(&mut *transaction)
            .await?;
        if new.stock > 0 {
            sqlx::query_scalar!(
                "SELECT product.receive_stock($1, $2, $3)",
                id,
                new.stock,
                FIRST_DELIVERY
            )
            .fetch_one(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(Product {
            id,
            sku: new.sku.clone(),
            name: new.name.clone(),
            description: new.description.clone(),
            price: new.price.clone(),
            sale: None,
            available: new.stock > 0,
            tag: new.tag.clone(),
        })
    }

    pub(crate) async fn change(
        &self,
        id: Uuid,
        change: &ProductChange,
    ) -> sqlx::Result<ChangeVerdict> {
        // Running sales have prices in the product's currency.
        let changed = sqlx::query!(
            "UPDATE product.products SET name = $2, description = $3, price_minor = $4, updated_at = now()
             WHERE id = $1 AND currency = $5",
            id,
            change.name,
            change.description,
            change.price.amount_minor,
            change.price.currency
        )
        .execute(&self.pool)
        .await?;
        Ok(match self.product(id).await? {
            None => ChangeVerdict::NotFound,
            Some(_) if changed.rows_affected() == 0 => ChangeVerdict::OtherCurrency,
            Some(product) => ChangeVerdict::Changed(Box::new(product)),
        })
    }
}

impl From<ProductRow> for Product {
    fn from(row: ProductRow) -> Self {
        let sale = match (
            row.sale_id,
            row.starts_at,
            row.ends_at,
            row.limit_per_customer,
        ) {
            (Some(id), Some(starts_at), Some(ends_at), Some(limit_per_customer)) => Some(Sale {
                id,
                starts_at,
                ends_at,
                limit_per_customer,
                price: row.sale_price_minor.map(|amount_minor| Money {
                    amount_minor,
                    currency: row.currency.clone(),
                }),
            }),
            _ => None,
        };
        Self {
            id: row.id,
            sku: row.sku,
            name: row.name,
            description: row.description,
            price: Money {
                amount_minor: row.price_minor,
                currency: row.currency,
            },
            sale,
            available: row.available,
            tag: row.tag,
        }
    }
}
