//! Who calls: access tokens, verified by each service itself against the keys that auth publishes.
//!
//! A service keeps a [`KeySource`] in its state, and its handlers take [`Customer`], [`Admin`] or
//! [`MaybeCustomer`]. Not here: the cryptography (`shop-token`) and issuing tokens (the auth service).

mod cache;
mod extract;
mod fetch;
mod keys;

pub use extract::{Admin, Customer, MaybeCustomer};
pub use keys::{KeySource, TokenRejection};
