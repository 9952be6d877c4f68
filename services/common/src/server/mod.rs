//! A service's life: bind, serve, drain, end.
//!
//! Not here: what is served, and the gateway's data path, which listens on runtimes of its own.

mod accept;
mod listen;
mod shutdown;

pub use listen::{BoundServer, ServeError, Server};
pub use shutdown::Shutdown;
