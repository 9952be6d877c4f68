//! The user that servers and services run as. Postgres refuses root, and nothing of the shop needs it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User};

use super::{LocalError, LocalFolder};
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

impl LocalFolder {
    /// The first folder on the way to the state folder that the servers' user may not enter.
    pub fn closed_to(&self, user: ServerUser) -> Option<PathBuf> {
        let run_as = match user {
            ServerUser::Own => return None,
            ServerUser::System(run_as) => run_as,
            // Nothing belongs to a user who is yet to be made.
            ServerUser::Missing => RunAs {
                uid: u32::MAX,
                gid: u32::MAX,
            },
        };
        self.state_dir()
            .ancestors()
            .skip(1)
            .find(|ancestor| !may_enter(ancestor, run_as))
            .map(Path::to_owned)
    }
}

fn may_enter(folder: &Path, user: RunAs) -> bool {
    // What is not there yet is made by us, with 0755.
    let Ok(metadata) = fs::metadata(folder) else {
        return true;
    };
    let bit = if metadata.uid() == user.uid {
        0o100
    } else if metadata.gid() == user.gid {
        0o010
    } else {
        0o001
    };
    metadata.permissions().mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_folder_is_found_before_the_servers_user_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        let state = closed.join("state");
        let local = LocalFolder::locate("shop", Some(&state), None).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(local.closed_to(ServerUser::Missing), Some(closed.clone()));
        assert_eq!(local.closed_to(ServerUser::Own), None);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o751)).unwrap();
        assert_ne!(local.closed_to(ServerUser::Missing), Some(closed));
    }
}
