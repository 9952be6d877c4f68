//! Why a drill could not be run to its end.

use super::history::HistoryError;
use crate::load::{LoadError, PlanError};
use crate::shop::{AuditError, ShopError};
use crate::supervisor::SupervisorError;

/// Why a drill could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Something was not well before anything was broken.
    #[error("failed to begin the drill: not ready: {}", .0.join(", "))]
    NotReady(Vec<String>),
    /// The shop failed requests before anything was broken.
    #[error("failed to find the shop steady: {0}")]
    NotSteady(String),
    /// There is nobody to break.
    #[error("failed to find a running {component}{}", role.as_ref().map(|role| format!(" that is {role}")).unwrap_or_default())]
    NoVictim {
        /// The component.
        component: String,
        /// The role that it had to have.
        role: Option<String>,
    },
    /// The process that is to be broken was not found.
    #[error("failed to find the process of {instance}: {reason}")]
    NoProcess {
        /// The instance.
        instance: String,
        /// Why.
        reason: String,
    },
    /// No machine can be broken.
    #[error("failed to find a host that can be broken: no agent in `hosts` has {commands}")]
    NoMachine {
        /// The commands that it takes.
        commands: &'static str,
    },
    /// The cluster could not be asked.
    #[error(transparent)]
    Cluster(#[from] crate::cluster::ClusterError),
    /// Ctrl-C.
    #[error("interrupted; what was broken is mended, and the shop recovers by itself")]
    Interrupted,
    /// The shop did not answer.
    #[error(transparent)]
    Shop(#[from] ShopError),
    /// The books could not be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The supervisor could not be asked.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// The background load could not be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The background load failed.
    #[error("failed to load the shop in the background: {0}")]
    Load(#[source] LoadError),
    /// What was broken could not be mended.
    #[error("failed to mend what was broken: {0}")]
    Broken(String),
    /// Test data could not be removed.
    #[error("{0}")]
    Left(String),
    /// A file of the report could not be used.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The history could not be written or read back.
    #[error("failed to keep the history: {0}")]
    History(String),
    /// The history contradicts itself.
    #[error(transparent)]
    Contradiction(#[from] HistoryError),
}

impl DrillError {
    /// Whether no other drill can be begun after it. What one scenario brought about another need not.
    pub(super) fn ends_a_series(&self) -> bool {
        matches!(
            self,
            Self::Interrupted
                | Self::File { .. }
                | Self::History(_)
                | Self::Supervisor(_)
                | Self::Cluster(_)
                | Self::Broken(_)
        )
    }

    /// The error of something that was tried with a file.
    pub(super) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
