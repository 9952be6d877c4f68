//! The product service: the catalogue, stock with its sales, and stock that is held for a while.
//!
//! Stock is decided by the functions in `migrations/`, in Postgres and nowhere else: the order service calls the same
//! ones inside of its own transaction.
//!
//! Not here: orders, and anything that Redis may speed up.

mod migrations;

pub use migrations::MIGRATIONS;
