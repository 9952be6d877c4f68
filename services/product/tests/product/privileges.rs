//! Who may do what: the order service takes stock, and that is all it may.

use shop_testkit::Role;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::sql::{migrated, new_product, take, take_verdicts};

const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn the_order_service_takes_stock_and_touches_nothing_else_of_product() {
    let database = migrated().await;
    let owner = database.pool(Role::Product, 1).await;
    let mug = new_product(&owner, 10, None).await;
    let order = database.pool(Role::Order, 1).await;
    let taken = take_verdicts(&order, &[take(mug, Uuid::now_v7(), 1)])
        .await
        .unwrap();
    assert_eq!(taken, ["taken"]);

    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'product'::regnamespace AND relkind IN ('r', 'v', 'm')",
    )
    .fetch_all(&owner)
    .await
    .unwrap();
    assert!(tables.len() >= 7, "{tables:?}");
    for table in tables {
        let statements = [
            format!("SELECT * FROM product.{table}"),
            format!("DELETE FROM product.{table}"),
            format!("TRUNCATE product.{table}"),
            format!("INSERT INTO product.{table} DEFAULT VALUES"),
            format!("SELECT FROM product.{table} FOR UPDATE"),
        ];
        for statement in statements {
            let error = sqlx::query(AssertSqlSafe(statement.clone()))
                .execute(&order)
                .await
                .unwrap_err();
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code);
            assert_eq!(
                code.as_deref(),
                Some(INSUFFICIENT_PRIVILEGE),
                "{statement}: {error}"
            );
        }
    }
    sqlx::query("CREATE TABLE product.mine (id int)")
        .execute(&order)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn the_accountant_reads_what_it_counts_and_changes_nothing() {
    let database = migrated().await;
    assert_eq!(
        database.readable(Role::Auditor, "product").await,
        [
            "holds",
            "products",
            "sale_counters",
            "sales",
            "stock",
            "stock_receipts"
        ]
    );
    let auditor = database.pool(Role::Auditor, 1).await;
    for statement in [
        "UPDATE product.stock SET free = free",
        "DELETE FROM product.holds",
        "SELECT FROM product.stock FOR UPDATE",
        "SELECT product.expire_holds(1)",
    ] {
        sqlx::query(statement).execute(&auditor).await.unwrap_err();
    }
}

#[tokio::test]
async fn nobody_but_the_owner_executes_more_than_the_contract() {
    let database = migrated().await;
    let owner = database.pool(Role::Product, 1).await;
    let executable = async |role: Role| -> Vec<String> {
        sqlx::query_scalar(
            "SELECT proname::text FROM pg_proc
             WHERE pronamespace = 'product'::regnamespace AND has_schema_privilege($1, 'product', 'USAGE')
                AND has_function_privilege($1, oid, 'EXECUTE') AND prorettype <> 'trigger'::regtype
             ORDER BY proname",
        )
        .bind(role.name())
        .fetch_all(&owner)
        .await
        .unwrap()
    };
    assert_eq!(executable(Role::Order).await, ["flash_sale", "take_stock"]);
    assert!(executable(Role::Auth).await.is_empty());
    assert!(executable(Role::Auditor).await.is_empty());
    assert_eq!(executable(Role::Product).await.len(), 11);
}

#[tokio::test]
async fn a_function_that_runs_as_its_owner_never_looks_into_its_callers_schemas() {
    let database = migrated().await;
    let owner = database.pool(Role::Product, 1).await;
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'product'::regnamespace
            AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)",
    )
    .fetch_all(&owner)
    .await
    .unwrap();
    assert_eq!(loose, Vec::<String>::new());
}
