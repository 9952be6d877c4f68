//! Where the known host keys and the sockets of connections are.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::host::HostError;

/// A socket's path may have 107 bytes, and ssh makes it first under a name that is 17 longer.
const LONGEST_SOCKET: usize = 107 - 17;

/// The folder of what ssh needs, for one environment.
#[derive(Clone, Debug)]
pub struct SshFolder {
    known_hosts: PathBuf,
    sockets: PathBuf,
}

impl SshFolder {
    /// The known host keys are in the state folder, the sockets in the run folder, or, where its path is too long for
    /// sockets, in a folder of this user under `/tmp`.
    pub fn new(state_dir: &Path, run_dir: &Path) -> Self {
        let sockets = run_dir.join("ssh");
        let longest = sockets.join("0000000-000");
        let sockets = if longest.as_os_str().len() > LONGEST_SOCKET {
            let uid = nix::unistd::Uid::effective();
            PathBuf::from(format!("/tmp/shopctl-{uid}-ssh"))
        } else {
            sockets
        };
        Self {
            known_hosts: state_dir.join("ssh").join("known_hosts"),
            sockets,
        }
    }

    /// The file of the known host keys.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// Makes the folders, for nobody else to enter.
    pub(super) fn make(&self) -> Result<(), HostError> {
        for folder in [
            self.known_hosts.parent().unwrap_or(&self.sockets),
            &self.sockets,
        ] {
            make_private(folder).map_err(|source| HostError::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// A name for a socket that nobody else uses.
    pub(super) fn socket(&self) -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.sockets
            .join(format!("{}-{number}", std::process::id()))
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::Uid::effective().as_raw() {
        return Err(io::Error::other(
            "it is a link, or belongs to somebody else",
        ));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
