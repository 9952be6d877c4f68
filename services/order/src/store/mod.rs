//! Orders in Postgres: decided, read, and removed.
//!
//! All SQL of the service is here and in `migrations/`. Stock is product's: it is taken by `product.take_stock`
//! inside of `orders.decide`, and nothing here knows its tables.

mod contract;
mod decide;
mod read;
mod remove;

pub use contract::check_product_contract;
pub use decide::PostgresDecider;
pub use read::{Page, find, find_by_key, page, patiently};
pub use remove::{RemovedTestData, remove_test_data, sweep};

/// Tables and functions of the schema `orders`. Applied as the role that owns it.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
