//! One `up` or `down` at a time for a state folder: a lock that says who holds it and since when.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{LocalError, LocalFolder};
use crate::event::Observer;
use crate::interrupt::Interrupt;

const STEP: &str = "wait for another shopctl";
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to do when somebody else has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPatience {
    /// Wait for them.
    Wait,
    /// Fail at once.
    Refuse,
}

impl LockPatience {
    /// What `--no-wait` means.
    pub fn of(no_wait: bool) -> Self {
        if no_wait { Self::Refuse } else { Self::Wait }
    }
}

/// The lock, held until this is dropped or the process ends, however it ends. A state folder that was made for it and
/// in which nothing else was made goes with it.
#[derive(Debug)]
pub struct WorkLock {
    folder: LocalFolder,
    made_folder: bool,
    _file: fs::File,
}

impl Drop for WorkLock {
    fn drop(&mut self) {
        self.folder.remove_if_fresh(self.made_folder);
    }
}

#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    command: String,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
}

impl WorkLock {
    /// Takes the lock for a command.
    pub async fn take(
        folder: &LocalFolder,
        command: &str,
        patience: LockPatience,
        observer: &dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Self, LocalError> {
        let path = folder.lock();
        let mut made_folder = folder.make_state_dir()?;
        let mut file = open(&path)?;
        let mut waited = false;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &path) => break,
                // Whoever held it deleted the folder: the lock of a file that nobody can find is none.
                Ok(()) => {
                    made_folder |= folder.make_state_dir()?;
                    file = open(&path)?;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let holder = describe(&mut file);
                    if patience == LockPatience::Refuse {
                        return Err(LocalError::Locked {
                            path: folder.state_dir().to_owned(),
                            holder,
                        });
                    }
                    if !waited {
                        observer.started(STEP);
                        observer.note(format!(
                            "{holder} is at work on {}: waiting",
                            folder.state_dir().display()
                        ));
                        waited = true;
                    }
                    observer.waiting(STEP, format!("{holder} to end"));
                    tokio::select! {
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                        () = interrupt.pressed() => {
                            let error = LocalError::InterruptedDuring { step: STEP.to_owned() };
                            observer.failed(STEP, error.in_short());
                            return Err(error);
                        }
                    }
                }
                Err(error) => return Err(LocalError::write(&path, error.into())),
            }
        }
        if waited {
            observer.done(STEP, false);
        }
        let holder = Holder {
            pid: std::process::id(),
            command: command.to_owned(),
            since: OffsetDateTime::now_utc(),
        };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        // The text is for whoever waits. On a full disk, where `down --purge` is the way out, there is none.
        let _ = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(text.as_bytes()));
        Ok(Self {
            folder: folder.clone(),
            made_folder,
            _file: file,
        })
    }
}

fn open(path: &PathBuf) -> Result<fs::File, LocalError> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| LocalError::write(path, error))
}

/// Whether a path still leads to an open file.
fn is_at(file: &fs::File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Who holds the lock: "`shopctl up` (pid 4711, for 12 s)".
fn describe(file: &mut fs::File) -> String {
    let mut text = String::new();
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut text));
    match (read, serde_json::from_str::<Holder>(&text)) {
        (Ok(_), Ok(holder)) => {
            let seconds = (OffsetDateTime::now_utc() - holder.since).whole_seconds();
            format!(
                "`shopctl {}` (pid {}, for {} s)",
                holder.command,
                holder.pid,
                seconds.max(0)
            )
        }
        _ => "another shopctl".to_owned(),
    }
}
