//! The small values that files and commands are made of: names, amounts, durations and networks.
//!
//! Each is parsed once, at the edge, and cannot be wrong afterwards. Not here: what the values are used for.

mod duration;
mod name;
mod network;
mod quantity;

pub use duration::{Duration, DurationError};
pub use name::{ComponentName, EnvironmentName, HostName, NameError};
pub use network::{Network, NetworkError};
pub use quantity::{Quantity, QuantityError};
