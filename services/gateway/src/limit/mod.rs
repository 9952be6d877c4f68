//! Limits of request rates: a token bucket a caller, kept in this process and reconciled with the other replicas'
//! in the background. No request waits for Redis.

mod bucket;
mod share;
mod table;

pub(crate) use bucket::{Rate, Refusal};
pub(crate) use share::keep_sharing;
pub(crate) use table::{Caller, Class, Limiter, Rates};
