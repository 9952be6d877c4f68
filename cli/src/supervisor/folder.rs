//! The names inside a state folder and its short run folder, in one place.
//!
//! Only the files that the supervisor reads or writes are here; secrets and rendered files are the target's.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::SupervisorError;

/// `sockaddr_un` holds 108 bytes, the last of them NUL.
const SOCKET_PATH_MAXIMUM: usize = 107;

/// A state folder and the run folder that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFolder {
    state: PathBuf,
    run: PathBuf,
}

impl StateFolder {
    /// Names both folders; neither needs to exist yet.
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            run: run.into(),
        }
    }

    /// The folder that outlives a reboot.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// The folder of sockets: short, and gone after a reboot.
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// What is wanted.
    pub fn desired(&self) -> PathBuf {
        self.state.join("desired.json")
    }

    /// Held as long as a supervisor lives.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.state.join("supervisor.lock")
    }

    /// What the supervisor did and saw.
    pub fn supervisor_log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }

    /// The folder of all instances.
    pub fn instances(&self) -> PathBuf {
        self.state.join("instances")
    }

    /// The folder of one instance.
    pub fn instance(&self, name: &str) -> PathBuf {
        self.instances().join(name)
    }

    /// The record of an instance's process.
    pub fn record(&self, name: &str) -> PathBuf {
        self.instance(name).join("pid.json")
    }

    /// Where the supervisor listens.
    pub fn socket(&self) -> Result<PathBuf, SupervisorError> {
        socket_in(&self.run)
    }

    /// Makes the folders that the supervisor writes to.
    pub(super) fn create(&self) -> Result<(), SupervisorError> {
        create_dir(&self.state, 0o755)?;
        create_dir(&self.instances(), 0o755)?;
        create_dir(&self.run, 0o755)
    }
}

/// The control socket of a run folder.
pub(super) fn socket_in(run_dir: &Path) -> Result<PathBuf, SupervisorError> {
    let path = run_dir.join("supervisor.sock");
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAXIMUM {
        return Err(SupervisorError::SocketPath {
            path,
            length,
            maximum: SOCKET_PATH_MAXIMUM,
        });
    }
    Ok(path)
}

/// Makes a folder and its parents, if it is not there.
pub(super) fn create_dir(path: &Path, mode: u32) -> Result<(), SupervisorError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| SupervisorError::write(path, source))
}

/// Replaces a file so that a reader, and a machine that loses power, see either all of the old or all of the new.
pub(super) fn write_atomically(path: &Path, contents: &[u8]) -> Result<(), SupervisorError> {
    let temporary = path.with_extension("json.new");
    let result = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself lasts only once the folder is on disk.
        path.parent()
            .map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
    })();
    result.map_err(|source| {
        // A half-written temporary on a full disk would only make it fuller.
        let _ = fs::remove_file(&temporary);
        SupervisorError::write(path, source)
    })
}
