//! Orders on real Postgres and Redis: decided by the store, over HTTP by the real `shopd order`, and under faults.

#![allow(clippy::unwrap_used)] // a helper of a test may fail as a test does

mod api;
mod batches;
mod faults;
mod model;
mod stalls;
mod store;
mod support;
mod together;
