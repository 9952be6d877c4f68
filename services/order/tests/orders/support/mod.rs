//! What the tests share.

mod proxy;
mod service;
mod tables;

pub(crate) use proxy::{Flow, Proxy};
pub(crate) use service::{Answer, Order, SOON, Service, World, hear, shared_redis};
pub(crate) use tables::{
    PRICE_MINOR, Product, StockGate, add_product, decide_one, deciders, migrate, ordered, request,
    start_sale, stock,
};
