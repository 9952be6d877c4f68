//! The tables themselves refuse what must never be, whoever writes it.

use shop_testkit::Role;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::sql::{hold, hold_stock, migrated, new_product, new_sale, stock, take, take_stock};

#[tokio::test]
async fn no_statement_can_write_stock_limits_or_holds_that_cannot_be() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    new_sale(&pool, mug, 2, None).await;
    take_stock(&pool, &[take(mug, Uuid::now_v7(), 2)])
        .await
        .unwrap();
    hold_stock(&pool, &[hold("a", mug, Uuid::now_v7(), 1)])
        .await
        .unwrap();
    let before = stock(&pool, mug).await;
    let attempts = [
        (
            "UPDATE product.stock SET free = free - 8, sold = sold + 8",
            "stock_free_check",
        ),
        (
            "UPDATE product.stock SET held = held - 2, free = free + 2",
            "stock_held_check",
        ),
        (
            "UPDATE product.stock SET sold = sold - 3, free = free + 3",
            "stock_sold_check",
        ),
        (
            "UPDATE product.stock SET free = free + 1",
            "stock_balance_check",
        ),
        (
            "UPDATE product.stock SET received = received + 1",
            "stock_balance_check",
        ),
        (
            "UPDATE product.sale_counters SET bought = bought + 1",
            "sale_counters_limit_check",
        ),
        (
            "UPDATE product.sale_counters SET bought = -1",
            "sale_counters_bought_check",
        ),
        (
            "UPDATE product.stock_receipts SET added = 0",
            "stock_receipts_added_check",
        ),
        (
            "UPDATE product.sales SET ends_at = starts_at",
            "sales_window_check",
        ),
        (
            "UPDATE product.sales SET limit_per_customer = 0",
            "sales_limit_check",
        ),
        (
            "UPDATE product.sales SET price_minor = -1",
            "sales_price_check",
        ),
        (
            "UPDATE product.holds SET quantity = 0",
            "holds_quantity_check",
        ),
        (
            "UPDATE product.holds SET status = 'lost'",
            "holds_status_check",
        ),
        (
            "UPDATE product.holds SET status = 'confirmed'",
            "holds_decided_check",
        ),
        (
            "UPDATE product.holds SET ttl_seconds = 0",
            "holds_ttl_check",
        ),
        (
            "UPDATE product.products SET price_minor = -1",
            "products_price_minor_check",
        ),
        (
            "UPDATE product.products SET currency = 'eur'",
            "products_currency_check",
        ),
        ("UPDATE product.products SET tag = ''", "products_tag_check"),
    ];
    for (statement, constraint) in attempts {
        let error = sqlx::query(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap_err();
        let violated = error
            .as_database_error()
            .and_then(|error| error.constraint());
        // `holds_status_check` and `holds_decided_check` both refuse an unknown status.
        let as_told = violated == Some(constraint)
            || (constraint == "holds_status_check" && violated == Some("holds_decided_check"));
        assert!(as_told, "{statement}: {error}");
    }
    assert_eq!(stock(&pool, mug).await, before);
}

#[tokio::test]
async fn no_statement_can_write_a_sku_or_a_tag_that_cannot_stand_in_a_path() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    new_product(&pool, 10, None).await;
    for column in ["sku", "tag"] {
        for name in ["mugs/1", "mugs\\1", ".", "..", "a b", "ä"] {
            let statement = format!("UPDATE product.products SET {column} = $1");
            let error = sqlx::query(AssertSqlSafe(statement))
                .bind(name)
                .execute(&pool)
                .await
                .unwrap_err();
            let violated = error
                .as_database_error()
                .and_then(|error| error.constraint());
            let expected = format!("products_{column}_in_path_check");
            assert_eq!(violated, Some(expected.as_str()), "{name:?}: {error}");
        }
    }
}

#[tokio::test]
async fn two_sales_of_a_product_cannot_overlap_even_when_they_are_made_at_once() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 8).await;
    let mug = new_product(&pool, 10, None).await;
    let make = |pool: sqlx::PgPool, from: i32, to: i32| async move {
        sqlx::query(
            "INSERT INTO product.sales (id, product_id, starts_at, ends_at, limit_per_customer)
             VALUES (gen_random_uuid(), $1, now() + make_interval(hours => $2), now() + make_interval(hours => $3), 1)",
        )
        .bind(mug)
        .bind(from)
        .bind(to)
        .execute(&pool)
        .await
    };
    let outcomes = futures_util::future::join_all((0..8).map(|_| make(pool.clone(), 1, 2))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes {
        if let Err(error) = outcome {
            let constraint = error
                .as_database_error()
                .and_then(|error| error.constraint());
            assert_eq!(constraint, Some("sales_do_not_overlap"), "{error}");
        }
    }
    // One that ends when the other begins does not overlap it.
    make(pool.clone(), 3, 4).await.unwrap();
    make(pool.clone(), 3, 5).await.unwrap_err();
}
