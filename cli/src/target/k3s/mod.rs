//! A cluster of k3s: instances are pods, their files lie in `ConfigMap`s and Secrets, and Kubernetes keeps them running.
//!
//! | file | does |
//! |---|---|
//! | `secrets` | what the cluster keeps and nobody makes anew |
//! | `objects`, `down` | what there is; what makes it what is wanted; what takes it away |
//! | `status` | nodes and pods |
//! | `tunnel` | ports of pods on this machine |

mod down;
mod error;
mod objects;
mod secrets;
mod status;
mod tunnel;

pub use down::Removal;
pub use error::K3sError;
pub use objects::{Doing, ObjectSight, Objects};
pub use secrets::{ClusterSecrets, load as load_cluster_secrets};
pub use status::{ClusterStatus, NodeRow, PodRow, status};
pub use tunnel::Tunnel;

/// The namespace of every shop.
pub const NAMESPACE: &str = "ecommerce";
