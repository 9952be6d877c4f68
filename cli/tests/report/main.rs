//! Reports: what is computed, what is written, and what the real binary says of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounting;
mod commands;
mod comparing;
mod fixture;
mod judging;
mod pages;
mod samples;
