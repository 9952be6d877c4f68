//! What auth keeps in Postgres: accounts, and sessions with their refresh tokens.
//!
//! Rows are locked in one order everywhere: account, session, token. Times are the database's, so replicas with
//! different clocks agree on what has expired. Not here: HTTP, hashing, and making the schema's owner.

mod accounts;
mod sessions;

use std::time::Duration;

use sqlx::migrate::Migrator;

pub(crate) use accounts::{Account, Accounts, Credentials, EMAIL_TAKEN, NewAccount};
pub(crate) use sessions::{Lifetimes, Rotation, Sessions, Swept};

/// The migrations of the schema `auth`, for whoever needs the schema without the service.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Seconds for `make_interval`, which takes a double.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
