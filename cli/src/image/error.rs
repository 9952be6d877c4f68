//! Why an image cannot be packed.

use std::io;
use std::path::{Path, PathBuf};

/// Why an image cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no program.
    #[error("failed to pack {path}: it is no program for Linux ({reason})")]
    NotAProgram {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// Shared objects that a program needs are not on this machine.
    #[error("failed to pack {program}: shared objects that it needs are missing: {}", .missing.join(", "))]
    Missing {
        /// The program.
        program: PathBuf,
        /// What is missing, each with who needs it.
        missing: Vec<String>,
    },
    /// What is to be started is not in the root file system.
    #[error("failed to pack {root}: there is no {entrypoint} in it")]
    NoEntrypoint {
        /// The root file system.
        root: PathBuf,
        /// What is to be started.
        entrypoint: String,
    },
    /// Something else than a file is where the archive is to be.
    #[error("failed to write {path}: it is there and no file, and stays as it is")]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// The archive cannot be written.
    #[error("failed to write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ImageError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
