//! The file that says that a folder is a state folder: whose, where its sockets are, and which file it was made from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LocalError;
use super::files::write_atomically;

/// The marker's name in the state folder.
pub(super) const MARKER: &str = "environment.json";

/// What the marker says. It tells names; what runs is observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marker {
    /// The environment that lives here.
    pub environment: String,
    /// The run folder; a relative path is one inside the state folder.
    pub run_dir: PathBuf,
    /// The environment's file when the folder was made; none of a shipped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl Marker {
    /// Reads the marker of a state folder; none if there is none.
    pub(super) fn read(state: &Path) -> Result<Option<Self>, LocalError> {
        let path = state.join(MARKER);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text)
                    .map(Some)
                    .map_err(|error| LocalError::Corrupt {
                        path,
                        reason: error.to_string(),
                    })
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(LocalError::read(&path, error)),
        }
    }

    /// Writes the marker, if it says something else than the one that is there.
    pub(super) fn write(&self, state: &Path) -> Result<(), LocalError> {
        let path = state.join(MARKER);
        let text = serde_json::to_vec_pretty(self).map_err(|error| LocalError::Corrupt {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        write_atomically(&path, &text, 0o644, None)
    }
}

/// The file that an environment was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    path: PathBuf,
    by_path: bool,
}

impl SourceFile {
    /// A file that was asked for by its path (`by_path`), or found by its environment's name.
    pub fn new(path: &Path, by_path: bool) -> Self {
        let path = fs::canonicalize(path)
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_else(|_| path.to_owned());
        Self { path, by_path }
    }

    /// The file, for the marker.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a folder that was made from `recorded` is this file's. An environment that is asked for by its name is
    /// one on this machine, wherever its file is; of two files that are asked for by path each is meant for itself.
    pub(super) fn continues(&self, recorded: Option<&Path>) -> bool {
        match recorded {
            // A file that is gone was moved, or nobody can mean it any more.
            Some(recorded) => !self.by_path || recorded == self.path || !recorded.exists(),
            None => true,
        }
    }

    /// Whether the marker is to name this file from now on.
    pub(super) fn replaces(&self, recorded: Option<&Path>) -> bool {
        match recorded {
            Some(recorded) => self.by_path && recorded != self.path,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_by_its_path_is_told_apart_from_another_that_is_still_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = fs::canonicalize(folder.path()).unwrap().join(name);
            fs::write(&path, "").unwrap();
            path
        };
        let (one, two) = (path("one.yaml"), path("two.yaml"));
        let asked = SourceFile::new(&two, true);
        assert!(!asked.continues(Some(&one)));
        assert!(asked.continues(Some(&two)) && !asked.replaces(Some(&two)));
        assert!(SourceFile::new(&two, false).continues(Some(&one)));
        fs::remove_file(&one).unwrap();
        assert!(asked.continues(Some(&one)) && asked.replaces(Some(&one)));
    }
}
