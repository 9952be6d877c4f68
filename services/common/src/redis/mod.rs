//! Redis: a client that follows the Sentinels to the master and never holds a request up.
//!
//! A call takes at most the configured time, and none at all while there is no master or while the breaker is
//! open: then it fails at once and the caller goes on without. Finding the master, connecting, and noticing that
//! it moved is the work of one background task. Nothing that matters may live only in Redis.
//!
//! Not here: what is kept in Redis and under which keys; that is each service's own.

mod breaker;
mod client;
mod keeper;
mod sentinels;
mod watch;

pub use client::{Redis, RedisCallError};
pub use watch::MasterWatch;
