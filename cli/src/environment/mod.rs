//! The environment: what an environment file asks for, complete and valid.
//!
//! [`Environment`] cannot be wrong: whoever holds one needs no checks and no defaults of their own. Not here: finding
//! and reading files (`project`), and showing what is wrong with one (`ui`). Knows no clock, file or runtime.

mod capacity;
mod check;
mod cluster;
mod defaults;
mod file;
mod hosts;
mod ingress;
mod model;
mod placement;
mod schema;
mod starter;

pub use cluster::{Autoscaling, K3s, NodeLoss, Registry, Rollout};
pub use file::EnvironmentFile;
pub use hosts::{Connection, Host, HostFaults, HostRole, Sudo};
pub use ingress::{EntryPort, Ingress, IngressTls, TlsKind};
pub use model::*;
pub use schema::schema;
pub use starter::{HostTextError, read_host, starter};
