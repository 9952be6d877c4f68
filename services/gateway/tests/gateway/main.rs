//! A real gateway between real sockets: what goes in, what comes out, and what happens when one side misbehaves.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking and shows what it measured"
)]

mod bounds;
mod drain;
mod faults;
mod harness;
mod limits;
mod process;
mod proxying;
mod slow_clients;
mod tokens;
