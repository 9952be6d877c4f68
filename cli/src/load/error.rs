//! What can go wrong with a load test. A shop that fails under load is no error: that is what the report says.

use std::path::PathBuf;

use crate::render::RenderError;
use crate::shop::{AuditError, ShopError};

/// Why there is no report, or no complete one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no k6, or one that is too old.
    #[error("failed to find a k6 that will do: {0}")]
    NoGenerator(String),
    /// The shop does not answer.
    #[error("failed to reach the shop at {url}")]
    Down {
        /// Where it was looked for.
        url: String,
        /// What came instead.
        #[source]
        source: ShopError,
    },
    /// Another load test of the same shop is going on.
    #[error("failed to begin: another load test of this shop is going on{}", holder.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Busy {
        /// Its process.
        holder: Option<i32>,
    },
    /// There is no script of that name, or it cannot be read.
    #[error("failed to read the script {}", path.display())]
    NoScript {
        /// The script.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// The shop did not take what the test needs.
    #[error("failed to make the test data")]
    Stage(#[source] ShopError),
    /// A template of a script is wrong.
    #[error("failed to make the script")]
    Script(#[source] RenderError),
    /// A file or folder cannot be written.
    #[error("failed to {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it did not work.
        #[source]
        source: std::io::Error,
    },
    /// There is not enough room for a report.
    #[error("failed to begin: the disk of {} has {free} KiB free, and a report needs up to {needed}", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// How much is free, in KiB.
        free: u64,
        /// How much is needed, in KiB.
        needed: u64,
    },
    /// k6 cannot be started.
    #[error("failed to start {}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// k6 refuses the script.
    #[error("failed to load {}: k6 refuses it", script.display())]
    Refused {
        /// The script.
        script: PathBuf,
        /// k6's own words, a line each.
        said: Vec<String>,
    },
    /// k6 ended without having asked the shop anything.
    #[error("failed to load the shop: k6 ended with {ended} and asked nothing")]
    NothingAsked {
        /// How it ended.
        ended: String,
        /// k6's own words, a line each.
        said: Vec<String>,
    },
    /// It was to end before it had begun.
    #[error("interrupted before anything was loaded")]
    Interrupted,
    /// The books could not be asked for what earlier tests left.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl LoadError {
    /// An IO error at a path.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
