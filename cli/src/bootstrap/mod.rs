//! From bare hosts to a cluster of k3s, and back.
//!
//! | file | does |
//! |---|---|
//! | `model`, `paths` | what is wanted, and where it is on a host |
//! | `wanted` | from an environment to what is wanted |
//! | `survey` | connects, looks, and says what is in the way |
//! | `facts`, `links` | what hosts are, and whether they reach each other |
//! | `preflight` | all that is in the way, before anything changes |
//! | `config` | what k3s is told on each host |
//! | `plan`, `removal` | what there is + what is wanted → steps |
//! | `work`, `ready` | carries steps out, and waits |
//! | `images` | that every host holds every image |
//! | `binary`, `archive` | where k3s itself comes from; archives of images, and whether they are whole |
//! | `kubeconfig` | the way for clients |
//! | `marker` | whose a host is, and how it was |
//!
//! Not here: what runs in the cluster (`cluster`), and how commands get to hosts (`host`).

mod archive;
mod binary;
mod config;
mod error;
mod facts;
mod images;
mod kubeconfig;
mod links;
mod marker;
mod model;
mod paths;
mod plan;
mod preflight;
mod ready;
mod removal;
mod survey;
mod wanted;
mod work;
mod yaml;

pub use archive::find_archive;
pub use binary::{BinarySource, RELEASES, find_binary};
pub use error::BootstrapError;
pub use facts::{HostFacts, Listener, SeenFile, SeenNode, SeenUnit};
pub(crate) use kubeconfig::write_private;
pub use kubeconfig::{KeptKubeconfig, unmerge, user_kubeconfig};
pub use links::{Link, LinkState, try_links};
pub use marker::{Before, Marker};
pub use model::{
    Registries, Role, WantedArchive, WantedBinary, WantedCluster, WantedHost, WantedNodeLoss,
};
pub use plan::{HostAction, HostWave, SeenCluster, plan_hosts};
pub use preflight::{Problem, preflight};
pub use removal::plan_removal;
pub use survey::Survey;
pub use wanted::{Given, archive_files, binary_file, host_specs, wanted_cluster};
pub use work::HostWork;
