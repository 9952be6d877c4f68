//! Gathers the orders that wait and has them decided together, one batch at a time a lane.
//!
//! Postgres commits a batch of a thousand about as fast as a single order, and a batch takes a product's stock row
//! once instead of a thousand times. So while one batch is being decided the next one gathers, and at low load
//! nobody waits for anybody.
//!
//! A product belongs to one lane of a process, so its orders are decided in the order of their arrival, and the
//! lanes of a process do not meet at a stock row. A request's fate lies in its lane's task: a handler that is dropped
//! because its client went away leaves nothing behind.
//!
//! Not here: SQL (`decide`), HTTP, and the Redis lock, which is only carried along until its order is decided.

mod batch;
mod lane;
mod queue;

pub use lane::{Attempt, Decide, Verdict};
pub use queue::{Batcher, BatcherSettings, Undecided};
