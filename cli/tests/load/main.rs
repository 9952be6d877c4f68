//! The load test, by the real binary with real k6, on a real shop.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../local_target/shop.rs"]
#[expect(
    dead_code,
    reason = "the tests of the local target use more of it than these"
)]
mod shop;

mod proofs;
mod refusals;
mod run;
