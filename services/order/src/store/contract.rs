//! Whether product's part of the contract is there.

use sqlx::PgPool;

/// The functions of product's that orders are decided with.
const FUNCTIONS: [&str; 2] = [
    "product.take_stock(uuid[],uuid[],integer[],text[])",
    "product.flash_sale(uuid[])",
];

/// Whether product's functions are there and may be executed; says which one is missing.
pub async fn check_product_contract(pool: &PgPool) -> Result<String, String> {
    let wanted = FUNCTIONS.map(str::to_owned);
    let missing = sqlx::query_scalar!(
        r#"SELECT name AS "name!" FROM unnest($1::text[]) AS name
            WHERE to_regprocedure(name) IS NULL
               OR NOT has_function_privilege(to_regprocedure(name), 'EXECUTE')"#,
        &wanted,
    )
    .fetch_all(pool)
    .await
    .map_err(|error| error.to_string())?;
    if missing.is_empty() {
        Ok("product's functions may be executed".to_owned())
    } else {
        Err(format!("not there, or not granted: {}", missing.join(", ")))
    }
}
