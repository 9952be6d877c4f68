//! Stock and the service around it, on a real Postgres. One binary, so that one server serves all tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod concurrency;
mod constraints;
mod expiry;
mod functions;
mod http;
mod internal;
mod model;
mod privileges;
mod process;
mod service;
mod sql;
