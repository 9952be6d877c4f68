//! What can go wrong when files are looked for and read.

use std::io;
use std::path::PathBuf;

use crate::document::Invalid;

/// Why there is no environment or no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no environment of this name.
    #[error("there is no environment `{name}`")]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
        /// The one that was perhaps meant.
        meant: Option<String>,
    },
    /// There is no file at this path.
    #[error("there is no file {}", path.display())]
    NoFile {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A file or folder cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was meant to be a file is something else, or far too large.
    #[error("{} is {what}, not a file of text", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Files have problems.
    #[error("{}", summary(.0))]
    Invalid(Vec<Invalid>),
}

fn summary(files: &[Invalid]) -> String {
    files
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
