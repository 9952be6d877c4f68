//! The order service: places orders, each in one transaction with its stock, and reads them back.
//!
//! | module | for |
//! |---|---|
//! | [`order`] | what an order is and what can become of a request |
//! | [`batcher`] | gathers what waits and has it decided together |
//! | [`store`] | Postgres: decides, reads, removes |
//! | [`sales`], [`sale_lock`] | in a sale, one order of a customer at a time |
//! | [`http`] | the public API |
//!
//! An order is acknowledged only after Postgres has committed it and its stock in one transaction. Redis may refuse
//! (a customer's second order in a sale at the same moment) and never decides.
//!
//! Not here: stock, prices and limits, which are product's and reached through its SQL functions only.

pub mod batcher;
mod config;
pub mod http;
pub mod order;
pub mod sale_lock;
pub mod sales;
mod service;
pub mod store;

pub use config::{Config, OrderSettings};
pub use service::{RunError, run};
