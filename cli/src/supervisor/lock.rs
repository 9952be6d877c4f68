//! One supervisor a state folder: a lock on a file that also says who holds it.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::error::SupervisorError;
use super::identity::process_stat;

/// A child of a supervisor that was just killed holds the lock until its exec, which is a matter of milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct SupervisorLock {
    _file: fs::File,
}

impl SupervisorLock {
    /// Takes the lock, or says who has it.
    pub(super) async fn take(path: &Path) -> Result<Self, SupervisorError> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| SupervisorError::write(path, source))?;
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK)
                    if begun.elapsed() < PATIENCE && !holder_lives(&mut file) =>
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(SupervisorError::Locked {
                        path: path.to_owned(),
                        holder: read_pid(&mut file),
                    });
                }
                Err(error) => return Err(SupervisorError::write(path, error.into())),
            }
        }
        // The lock holds without the text, which a full disk does not take.
        let _ = write_pid(&mut file);
        Ok(Self { _file: file })
    }
}

/// Whether the process that is named in the lock still runs. If it does, waiting for the lock is no use.
fn holder_lives(file: &mut fs::File) -> bool {
    read_pid(file)
        .and_then(process_stat)
        .is_some_and(|stat| !matches!(stat.state, b'Z' | b'X'))
}

/// Whether a supervisor that lives is named in the lock: one that begins takes the lock before it listens.
pub(super) fn is_held(path: &Path) -> bool {
    fs::File::open(path).is_ok_and(|mut file| holder_lives(&mut file))
}

/// The pid that is named in the lock, whether it lives or not.
pub(super) fn holder(path: &Path) -> Option<i32> {
    read_pid(&mut fs::File::open(path).ok()?)
}

fn read_pid(file: &mut fs::File) -> Option<i32> {
    let mut text = String::new();
    file.seek(io::SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut fs::File) -> io::Result<()> {
    let text = format!("{}\n", std::process::id());
    file.set_len(0)?;
    file.seek(io::SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}
