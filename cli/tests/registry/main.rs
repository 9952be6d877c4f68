//! A real registry on loopback, and what shopctl makes of it when it is well, full, wrong or somebody else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pushing;
mod refusals;
mod server;
#[path = "../skipped/mod.rs"]
mod skipped;
