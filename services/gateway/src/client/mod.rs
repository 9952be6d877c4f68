//! The clients' side: listening on a shared port, and a client's connection.

mod listener;
mod stream;

pub use listener::ListenError;
pub(crate) use listener::{SharedListener, bind_all};
pub(crate) use stream::{ClientStream, Framing, RequestWatch};
