//! Deletes what an environment left on this machine: data, secrets, logs and sockets.

use std::fs;
use std::io;
use std::path::Path;

use super::down::stop_all;
use super::folder::LOST_AND_FOUND;
use super::lock::{LockPatience, WorkLock};
use super::{LocalError, LocalFolder};
use crate::event::Observer;
use crate::interrupt::Interrupt;

/// Stops the shop and deletes its state folder. Touches nothing but a folder that is marked as this environment's.
/// Says whether there was one.
pub async fn purge(
    folder: &LocalFolder,
    patience: LockPatience,
    observer: &dyn Observer,
) -> Result<bool, LocalError> {
    if !folder.exists()? {
        return Ok(false);
    }
    let _lock = WorkLock::take(
        folder,
        "down --purge",
        patience,
        observer,
        &Interrupt::never(),
    )
    .await?;
    // Whoever had the lock may have deleted the shop, or made it another one's.
    if !folder.exists()? {
        return Ok(false);
    }
    if stop_all(folder, observer).await.is_err() {
        // On a full disk the supervisor cannot note what it is to stop. All goes; configuration goes first.
        remove_configuration(folder)?;
        stop_all(folder, observer).await?;
    }
    let step = format!("delete {}", folder.state_dir().display());
    observer.started(&*step);
    remove(folder.run_dir())?;
    let kept = folder.kept_to_the_end();
    // The marker goes last: a purge that is killed before finds the folder to be ours the next time.
    let state = folder.state_dir();
    let entries = fs::read_dir(state).map_err(|error| LocalError::read(state, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| LocalError::read(state, error))?;
        // A file system's own folder is not ours.
        if !kept.contains(&entry.path()) && entry.file_name() != *LOST_AND_FOUND {
            remove(&entry.path())?;
        }
    }
    for path in kept {
        remove(&path)?;
    }
    match fs::remove_dir(state) {
        // A mount point, or a folder that its user made and may not remove, may stay: nothing of ours is in it.
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied
            ) => {}
        Err(error)
            if error.kind() == io::ErrorKind::DirectoryNotEmpty
                && state.join(LOST_AND_FOUND).exists() => {}
        Err(error) => return Err(LocalError::write(state, error)),
    }
    observer.done(step, true);
    Ok(true)
}

fn remove_configuration(folder: &LocalFolder) -> Result<(), LocalError> {
    let instances = folder.names().instances();
    let entries = match fs::read_dir(&instances) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LocalError::read(&instances, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| LocalError::read(&instances, error))?;
        remove(&entry.path().join("config"))?;
    }
    Ok(())
}

/// Removes a file, or a folder with all that is in it. Follows no links.
fn remove(path: &Path) -> Result<(), LocalError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LocalError::write(path, error))
        }
        _ => Ok(()),
    }
}
