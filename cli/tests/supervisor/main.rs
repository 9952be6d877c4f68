//! The supervisor with real processes: the real binary supervises shells, Redis and Postgres, and is killed at will.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what tests share"
)]

mod adoption;
mod apply;
mod control;
mod laboratory;
mod logs;
mod probes;
mod restart;
#[path = "../skipped/mod.rs"]
mod skipped;
mod state;
