//! The schema `product`, as numbered changes that the service applies when it starts.

use sqlx::migrate::Migrator;

/// Tables and functions of the schema. Applied as the role that owns it.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
