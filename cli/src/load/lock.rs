//! One load test of a shop at a time: two would measure each other.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::error::LoadError;

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct LoadLock {
    _file: fs::File,
}

impl LoadLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, LoadError> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LoadError::file("open", path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Who it is only makes the message better.
                let _ = file.read_to_string(&mut holder);
                return Err(LoadError::Busy {
                    holder: holder.trim().parse().ok(),
                });
            }
            Err(error) => return Err(LoadError::file("lock", path)(error.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(LoadError::file("write", path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_test_is_refused_with_the_process_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LoadLock::take(&path).unwrap();
        let refused = LoadLock::take(&path).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with(&format!("(process {})", std::process::id())),
            "{refused}"
        );
        drop(first);
        LoadLock::take(&path).unwrap();
    }
}
