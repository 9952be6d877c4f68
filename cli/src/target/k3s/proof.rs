//! The mark of a proof: what ran when the smoke test passed, and when that was.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::smoke::SmokeReport;

/// The mark of an environment's last proof.
#[derive(Clone, Debug)]
pub struct Proof {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    running: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl Proof {
    /// The mark in a state folder.
    pub fn of(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("cluster-proof.json"),
        }
    }

    /// Whether what runs now is what was proved. A mark that cannot be read is none: a proof can always be repeated.
    pub fn holds_for(&self, digest: &str) -> bool {
        self.read().is_some_and(|mark| mark.running == digest)
    }

    fn read(&self) -> Option<Mark> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Notes how a smoke test of what runs ended.
    pub fn note(&self, report: &SmokeReport, digest: &str) {
        // A mark that cannot be written or removed costs one smoke test more, or tells of one that passed before.
        if report.passed {
            let mark = Mark {
                running: digest.to_owned(),
                at: OffsetDateTime::now_utc(),
            };
            if let Ok(text) = serde_json::to_vec(&mark) {
                let _ = fs::write(&self.path, text);
            }
        } else if !report.interrupted {
            let _ = fs::remove_file(&self.path);
        }
    }
}
