//! The mark of a proof: what ran when the smoke test passed, and when that was.
//!
//! The mark is written after a proof that passed and removed before the first change, so that an `up` that was killed
//! before its proof ended is followed by one that proves. It tells what was proved; what runs is observed.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::files::write_atomically;
use super::observe::look;
use super::{LocalError, LocalFolder};
use crate::supervisor::InstanceStatus;

/// What is written down of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    /// What ran.
    running: RunningDigest,
    /// When it had passed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A digest of everything that runs: instances with what their processes were started with, and this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningDigest(String);

impl RunningDigest {
    pub(super) fn of(instances: &[InstanceStatus]) -> Self {
        let mut lines: Vec<String> = instances
            .iter()
            .map(|instance| {
                let hash = instance.spec_hash.as_deref().unwrap_or_default();
                format!("{} {hash}\n", instance.instance)
            })
            .collect();
        lines.sort();
        let mut digest = Sha256::new_with_prefix(crate::COMMIT);
        for line in lines {
            digest.update(line);
        }
        Self(hex::encode(digest.finalize()))
    }

    /// What runs now.
    pub async fn look(folder: &LocalFolder) -> Result<Self, LocalError> {
        Ok(Self::of(&look(folder).await?.instances))
    }
}

impl Proof {
    /// The last one. A mark that cannot be read is none: a proof can always be repeated.
    pub(super) fn load(folder: &LocalFolder) -> Result<Option<Self>, LocalError> {
        let path = folder.proof();
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LocalError::read(&path, error)),
        }
    }

    /// Whether it is a proof of these instances as they run now.
    pub(super) fn holds_for(&self, instances: &[InstanceStatus]) -> bool {
        self.running == RunningDigest::of(instances)
    }
}

/// Notes that what ran was proved, if it still runs.
pub async fn note_proof(folder: &LocalFolder, proved: &RunningDigest) -> Result<(), LocalError> {
    if RunningDigest::look(folder).await? != *proved {
        return Ok(());
    }
    let path = folder.proof();
    let proof = Proof {
        running: proved.clone(),
        at: OffsetDateTime::now_utc(),
    };
    let text = serde_json::to_vec(&proof).map_err(|error| LocalError::Corrupt {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    write_atomically(&path, &text, 0o644, None)
}

/// Forgets the last proof: something changes, or did not hold.
pub fn forget_proof(folder: &LocalFolder) -> Result<(), LocalError> {
    let path = folder.proof();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LocalError::write(&path, error))
        }
        _ => Ok(()),
    }
}
