//! Opens a connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderValue;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::RequestBody;

/// The largest head of an answer, and the size of a connection's read buffer at most.
const READ_BUFFER: usize = 64 * 1024;

/// Where an endpoint is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// An address.
    Address(SocketAddr),
    /// `host:port`, looked up at each connection because it may move.
    Name(String),
}

impl Target {
    /// Reads `host:port`.
    pub(crate) fn parse(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Address)
    }

    async fn open(&self) -> io::Result<TcpStream> {
        match self {
            Self::Address(address) => TcpStream::connect(address).await,
            Self::Name(name) => TcpStream::connect(name).await,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Nobody listens, or the network says no.
    #[error("failed to connect to {endpoint}")]
    Refused {
        endpoint: String,
        #[source]
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("failed to connect to {endpoint} within {limit:?}")]
    Late { endpoint: String, limit: Duration },
}

/// A connection and the task that must drive it.
pub(super) struct Opened {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) connection: Connection<TokioIo<TcpStream>, RequestBody>,
}

/// Connects within a limit of time.
pub(super) async fn connect(
    target: &Target,
    endpoint: &HeaderValue,
    limit: Duration,
) -> Result<Opened, ConnectError> {
    let name = || String::from_utf8_lossy(endpoint.as_bytes()).into_owned();
    let refused = |source| ConnectError::Refused {
        endpoint: name(),
        source,
    };
    let stream = match tokio::time::timeout(limit, target.open()).await {
        Ok(stream) => stream.map_err(refused)?,
        Err(_) => {
            return Err(ConnectError::Late {
                endpoint: name(),
                limit,
            });
        }
    };
    stream.set_nodelay(true).map_err(refused)?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| refused(io::Error::other(error)))?;
    Ok(Opened { sender, connection })
}
