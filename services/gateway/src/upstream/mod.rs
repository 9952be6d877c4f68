//! The services behind the gateway, as one worker sees them: their endpoints, connections and circuits.
//!
//! Everything here belongs to one worker's thread and is shared with nobody, so there are no locks.

mod body;
mod choice;
mod connect;
mod endpoint;
mod transfer;
mod watch;

pub(crate) use body::{AnswerBody, BodyFault, RequestBody, StreamedBody};
pub(crate) use choice::{Upstream, UpstreamLimits};
pub(crate) use connect::ConnectError;

pub(crate) use endpoint::{AttemptError, Endpoint, EndpointLimits, Lease};
pub(crate) use transfer::AnswerClock;
pub(crate) use watch::watch;
