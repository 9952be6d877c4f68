//! Hosts over a real ssh: an sshd of our own on a loopback port, with keys and an account of its own configuration.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what tests share"
)]

mod commands;
mod connecting;
mod pushing;
#[path = "../skipped/mod.rs"]
mod skipped;
mod sshd;
