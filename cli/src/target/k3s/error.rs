//! What can go wrong on k3s.

use crate::cluster::{ClusterError, ObjectChange};
use crate::target::local::LocalError;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum K3sError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The state folder on this machine.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Objects that the API server does not accept. Nothing was touched.
    #[error("failed to plan: the cluster does not accept {} of the objects; nothing was touched", .0.len())]
    Refused(Vec<ObjectChange>),
    /// Objects of which others set fields. Nothing was touched.
    #[error("failed to go on: others set fields of {} of the objects to something else; nothing was touched", .0.len())]
    Contested(Vec<ObjectChange>),
    /// Removing objects was not confirmed.
    #[error("failed to go on: removing {0} was not confirmed, and nothing was touched")]
    Unconfirmed(String),
    /// A pod cannot be reached.
    #[error("failed to reach the Service {service}: {reason}")]
    Tunnel {
        /// The Service.
        service: String,
        /// Why.
        reason: String,
    },
    /// The shop cannot be asked for its products, or does not take them.
    #[error("failed to seed the catalogue: {reason}")]
    Seed {
        /// Why.
        reason: String,
    },
    /// The shop is not there.
    #[error("failed to find the shop `{0}`: it was never brought up from this machine")]
    NotUp(String),
}

impl K3sError {
    /// What lies beneath, a line each.
    pub fn causes(&self) -> Vec<String> {
        match self {
            Self::Cluster(ClusterError::Late(late)) => late.causes(),
            Self::Refused(changes) => changes
                .iter()
                .map(|change| {
                    let reason = change.refusal.as_deref().unwrap_or_default();
                    format!("{}: {reason}", change.object)
                })
                .collect(),
            Self::Contested(changes) => changes
                .iter()
                .flat_map(|change| {
                    change.conflicts.iter().map(move |conflict| {
                        format!(
                            "{}{} was set by {}",
                            change.object, conflict.field, conflict.owner
                        )
                    })
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What to do about it, a sentence each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Cluster(error) => error.hints(),
            Self::Local(error) => error.hints(),
            Self::Refused(changes) => {
                let in_place = changes.iter().any(|change| {
                    let reason = change.refusal.as_deref().unwrap_or_default();
                    reason.contains("immutable") || reason.contains("are forbidden")
                });
                vec![if in_place {
                    "what cannot be changed in place has to be put back in the environment file, or deleted by hand (`kubectl delete`) with all it holds".to_owned()
                } else {
                    "`shopctl render` writes the objects as they were sent".to_owned()
                }]
            }
            Self::Contested(_) => vec![
                "write what you want into the environment file, and let it win with `shopctl up --force-conflicts`".to_owned(),
                "`shopctl plan` shows both values".to_owned(),
            ],
            Self::Unconfirmed(_) => vec!["answer y, or use `--yes` in scripts".to_owned()],
            Self::Tunnel { .. } => vec!["`shopctl status` shows what runs".to_owned()],
            Self::NotUp(_) => vec!["`shopctl up` brings it up".to_owned()],
            Self::Seed { .. } => vec!["`shopctl logs` shows what the services write".to_owned()],
        }
    }
}
