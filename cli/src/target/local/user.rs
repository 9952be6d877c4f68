//! The user that servers and services run as. Postgres refuses root, and nothing of the shop needs it.

use std::process::Command;

use nix::unistd::{Uid, User};

use super::LocalError;
use crate::supervisor::RunAs;

/// The system user that servers run as when shopctl is root.
const NAME: &str = "shopctl";

/// Who servers and services run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerUser {
    /// The user who runs shopctl.
    Own,
    /// Shopctl is root: a system user of their own.
    System(RunAs),
    /// Shopctl is root, and that system user has to be made first.
    Missing,
}

impl ServerUser {
    /// Who servers would run as at this moment.
    pub fn find() -> Result<Self, LocalError> {
        if !Uid::effective().is_root() {
            return Ok(Self::Own);
        }
        let user = User::from_name(NAME).map_err(|error| LocalError::User {
            user: NAME.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(user.map_or(Self::Missing, |user| {
            Self::System(RunAs {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            })
        }))
    }

    /// Makes the system user.
    pub(super) fn make() -> Result<Self, LocalError> {
        let failed = |reason: String| LocalError::User {
            user: NAME.to_owned(),
            reason,
        };
        let output = Command::new("useradd")
            .args(["--system", "--user-group", "--no-create-home"])
            .args(["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"])
            .args(["--comment", "The shop's servers", NAME])
            .output()
            .map_err(|error| failed(format!("useradd: {error}")))?;
        // Another `up` may have made it at the same moment.
        match Self::find()? {
            Self::Missing => Err(failed(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            )),
            found => Ok(found),
        }
    }

    /// The user and group to become; none to stay who one is.
    pub fn run_as(self) -> Option<RunAs> {
        match self {
            Self::System(run_as) => Some(run_as),
            Self::Own | Self::Missing => None,
        }
    }
}
