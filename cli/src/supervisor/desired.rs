//! What is wanted, kept in `desired.json` so that a supervisor that starts anew wants the same.
//!
//! What *is*, is never read from here: that is observed.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::error::SupervisorError;
use super::folder::{StateFolder, write_atomically};
use super::spec::InstanceSpec;

/// The format that this shopctl writes.
const FORMAT: u32 = 1;

/// All instances of a state folder, in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) entries: Vec<DesiredEntry>,
}

/// One instance and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DesiredEntry {
    pub(super) want: Want,
    pub(super) spec: InstanceSpec,
}

/// What is wanted of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Want {
    /// A process.
    Running,
    /// No process; it stays listed.
    Stopped,
    /// No process; it is forgotten once it has none.
    Gone,
}

/// The file, as read first: only its format, so that a newer one is told from a broken one.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    instances: Vec<DesiredEntry>,
}

impl Desired {
    /// Reads the file; nothing is wanted when there is none.
    pub(super) fn load(folder: &StateFolder) -> Result<Self, SupervisorError> {
        let path = folder.desired();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(SupervisorError::read(&path, source)),
        };
        let corrupt = |error: serde_json::Error| SupervisorError::Corrupt {
            path: path.clone(),
            reason: error.to_string(),
        };
        let head: Head = serde_json::from_slice(&text).map_err(corrupt)?;
        if head.format > FORMAT {
            return Err(SupervisorError::Newer {
                path,
                found: head.format,
                known: FORMAT,
            });
        }
        let file: File = serde_json::from_slice(&text).map_err(corrupt)?;
        Ok(Self {
            entries: file.instances,
        })
    }

    /// Replaces the file. Nothing is set in motion before this has succeeded.
    pub(super) fn save(&self, folder: &StateFolder) -> Result<(), SupervisorError> {
        let path = folder.desired();
        let mut text = serde_json::to_vec_pretty(&File {
            format: FORMAT,
            instances: self.entries.clone(),
        })
        .map_err(|error| SupervisorError::write(&path, error.into()))?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }

    pub(super) fn entry(&self, name: &str) -> Option<&DesiredEntry> {
        self.entries.iter().find(|entry| entry.spec.name == name)
    }

    pub(super) fn entry_mut(&mut self, name: &str) -> Option<&mut DesiredEntry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.spec.name == name)
    }
}
