//! Sales of a product.

use uuid::Uuid;

use super::Store;
use crate::model::{Money, NewSale, Sale};

impl Store {
    /// Makes a sale. The caller has checked that its price has the product's currency, which never changes.
    pub(crate) async fn create_sale(&self, product_id: Uuid, new: &NewSale) -> sqlx::Result<Sale> {
        let id = Uuid::now_v7();
        let row = sqlx::query!(
            "INSERT INTO product.sales (id, product_id, starts_at, ends_at, limit_per_customer, price_minor)
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING starts_at, ends_at",
            id,
            product_id,
            new.starts_at,
            new.ends_at,
            new.limit_per_customer,
            new.price.as_ref().map(|price| price.amount_minor)
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Sale {
            id,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            limit_per_customer: new.limit_per_customer,
            price: new.price.clone(),
        })
    }

    /// All sales of a product, the latest first; nothing if there is no such product.
    pub(crate) async fn sales(&self, product_id: Uuid) -> sqlx::Result<Option<Vec<Sale>>> {
        let Some(product) = self.product(product_id).await? else {
            return Ok(None);
        };
        let rows = sqlx::query!(
            "SELECT id, starts_at, ends_at, limit_per_customer, price_minor FROM product.sales
             WHERE product_id = $1 ORDER BY starts_at DESC LIMIT 1000",
            product_id
        )
        .fetch_all(&self.pool)
        .await?;
        let sale = |amount_minor| Money {
            amount_minor,
            currency: product.price.currency.clone(),
        };
        Ok(Some(
            rows.into_iter()
                .map(|row| Sale {
                    id: row.id,
                    starts_at: row.starts_at,
                    ends_at: row.ends_at,
                    limit_per_customer: row.limit_per_customer,
                    price: row.price_minor.map(sale),
                })
                .collect(),
        ))
    }
}
