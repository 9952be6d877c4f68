//! What can go wrong on k3s.

use crate::bootstrap::BootstrapError;
use crate::cluster::{ClusterError, ObjectChange};
use crate::render::RenderError;
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
    /// The hosts.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// Templates that cannot be rendered.
    #[error("failed to render {} objects or files; nothing was touched", .0.len())]
    Render(Vec<RenderError>),
    /// The image of the services.
    #[error("failed to pack the image of the services: {reason}")]
    Image {
        /// Why.
        reason: String,
    },
    /// The certificate of the way in.
    #[error("failed to use the certificate of the ingress: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// No node is ready.
    #[error("failed to find the way into the shop: no node of the cluster is ready")]
    NoNode,
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
            Self::Bootstrap(BootstrapError::Unprepared(problems)) => {
                problems.iter().map(ToString::to_string).collect()
            }
            Self::Render(errors) => errors.iter().map(ToString::to_string).collect(),
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
            Self::Bootstrap(error) => error.hints(),
            Self::Render(_) => Vec::new(),
            Self::Image { .. } => {
                vec!["`cargo build --release -p shopctl -p shopd` builds both side by side".to_owned()]
            }
            Self::Certificate { .. } => vec![
                "`ingress.tls` in the environment file says where it comes from".to_owned(),
            ],
            Self::NoNode => vec!["`shopctl status` shows the nodes and what is wrong with them".to_owned()],
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
