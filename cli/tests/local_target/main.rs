//! The local target, by the real binary with real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod interrupts;
mod life;
mod ordinary;
mod refusals;
mod repairs;
mod shop;
#[path = "../skipped/mod.rs"]
mod skipped;
