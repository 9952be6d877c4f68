//! A cluster of k3s: instances are pods, their files lie in `ConfigMap`s and Secrets, and Kubernetes keeps them running.
//!
//! | file | does |
//! |---|---|
//! | `image`, `certificate`, `secrets` | what is made once: the services' image, the way in's certificate, what the cluster keeps |
//! | `registry` | the services' image in a registry, where one is configured |
//! | `declared`, `rotation`, `rotate` | what is said of secrets; how far another secret has come in the place of a former one; what brings it further |
//! | `machines` | the hosts, through `bootstrap` |
//! | `objects`, `plan`, `up`, `down` | what there is; what would be done; what makes it what is wanted; what takes it away |
//! | `status`, `proof` | nodes and pods; what was proved to work |
//! | `passage`, `entrance`, `tunnel` | the way to the cluster; the way into the shop; ports of pods on this machine |
//! | `instances`, `fault`, `outage` | instances as pods; containers and machines that are broken on purpose |

mod certificate;
mod declared;
mod down;
mod entrance;
mod error;
mod fault;
mod image;
mod instances;
mod machines;
mod objects;
mod outage;
mod passage;
mod plan;
mod proof;
mod registry;
mod rotate;
mod rotation;
mod secrets;
mod status;
mod tunnel;
mod up;

use std::path::{Path, PathBuf};

pub use declared::{SecretRow, Unfinished, UnfinishedState};
pub use down::Removal;
pub use entrance::Entrance;
pub use error::{K3sError, moment};
pub use fault::Container;
pub use instances::{PodInstance, Slots};
pub use outage::{Machine, Outages, Taken};
pub use plan::{Note, ShopPlan};
pub use proof::Proof;
pub use registry::ImagePush;
pub use rotate::RotationRequest;
pub use rotation::Phase;
pub use secrets::{ClusterSecrets, load as load_cluster_secrets};
pub use status::{ClusterStatus, NodeRow, PodRow, status};
pub use tunnel::{Books, Tunnel};
pub use up::{Brought, Planned, Upping, Wanting};

use crate::bootstrap::{BootstrapError, KeptKubeconfig, unmerge, user_kubeconfig};
pub use crate::render::NAMESPACE;

/// Where the kubeconfig of a shop is kept.
pub fn kubeconfig(state_dir: &Path) -> PathBuf {
    state_dir.join("kubeconfig")
}

/// Where the times of runs are kept.
pub fn journal(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

/// Lets the user's own kubectl find a cluster, under the environment's name. Says which file was changed, if one was.
pub(crate) fn tell_kubectl(
    state_dir: &Path,
    environment: &str,
) -> Result<Option<PathBuf>, BootstrapError> {
    let Some(path) = users_own() else {
        return Ok(None);
    };
    let kept = KeptKubeconfig::read(&kubeconfig(state_dir), environment)?;
    Ok(kept.merge_into(&path)?.then_some(path))
}

/// Forgets a cluster that is gone, in the user's own kubeconfig too.
pub fn forget_cluster(state_dir: &Path, environment: &str) -> Result<(), BootstrapError> {
    // What is left tells of a cluster that does not answer; the next `up` replaces it.
    let _ = std::fs::remove_file(kubeconfig(state_dir));
    users_own().map_or(Ok(false), |path| unmerge(&path, environment))?;
    Ok(())
}

fn users_own() -> Option<PathBuf> {
    let variable = std::env::var("KUBECONFIG").ok();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    user_kubeconfig(variable.as_deref(), home.as_deref())
}
