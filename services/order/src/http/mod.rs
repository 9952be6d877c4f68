//! The service over HTTP: `/api/orders`, and its description at `/openapi.json`.
//!
//! Not here: how orders are decided (`batcher`, `store`), and listening and draining (`shop_common::server`).

mod documents;
mod place;
mod read;
mod remove;
mod routes;

pub use routes::{Shop, router};
