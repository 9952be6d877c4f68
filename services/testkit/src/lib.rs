//! Real servers for tests: Postgres, Redis, and Redis under Sentinels, each started by the tests that need it.
//!
//! Everything lives in a folder below the temporary folder, listens on 127.0.0.1 and on ports that nobody else
//! holds, and ends with the test process, however that ends. A server that is not installed is a failure that
//! names its package, never a test that is skipped.
//!
//! Not here: anything of a service. A test applies the migrations of the service that it tests.

mod database;
mod folder;
mod poll;
mod ports;
mod postgres;
mod process;
mod programs;
mod redis;
mod sentinels;

pub use database::{Database, Role};
pub use folder::Folder;
pub use poll::{eventually, wait_until};
pub use ports::free_port;
pub use postgres::{Durability, Postgres};
pub use process::{Launch, Process};
pub use programs::shopd;
pub use redis::{Redis, RedisUser};
pub use sentinels::Sentinels;
