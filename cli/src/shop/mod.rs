//! A running shop as its clients see it: one way in, and tokens that shopctl mints with the shop's own key.
//!
//! What shopctl knows of the services by name is here and in `smoke`, and nowhere else. Not here: how the shop is run.

mod access;
mod auditor;
mod books;
mod ledger;
mod redis;
pub mod seed;
mod stale_releases;
pub mod test_data;

pub use access::{Answer, Request, Shop, ShopError};
pub use auditor::{AuditError, Auditor, ProductBooks, TestRemains};
pub use books::{StockWatch, TestBooks};
pub use ledger::{Ledger, LedgerOrder, PostgresSeen, StockSeen};
pub use redis::{KeptConnection, RedisAccess, SentinelView, ServerRole};
pub use stale_releases::StaleReleases;
