//! The cluster client against a real API server: one k3s without nodes on loopback, started once for all of these.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apply;
mod lease;
mod scaling;
mod server;
#[path = "../skipped/mod.rs"]
mod skipped;
