//! Files that are written whole or not at all, and folders that belong to who uses them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::{LocalError, LocalFolder, ServerUser};
use crate::render::{RenderedFile, RenderedInstance};
use crate::supervisor::RunAs;

/// Replaces a file so that a reader, and a machine that loses power, see either all of the old or all of the new.
/// Nobody but its owner can read it at any moment, unless `mode` says otherwise.
pub(super) fn write_atomically(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<RunAs>,
) -> Result<(), LocalError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let written = (|| {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Some(owner) = owner {
            std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself lasts only once the folder is on disk.
        path.parent()
            .map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
    })();
    written.map_err(|error| {
        // A half-written temporary on a full disk would only make it fuller.
        let _ = fs::remove_file(&temporary);
        LocalError::write(path, error)
    })
}

/// Gives a folder or file to the servers' user, if that is another one.
pub(super) fn give_to(path: &Path, owner: Option<RunAs>) -> Result<(), LocalError> {
    match owner {
        Some(owner) => chown(path, Some(owner.uid), Some(owner.gid))
            .map_err(|error| LocalError::write(path, error)),
        None => Ok(()),
    }
}

/// The files of an instance that are missing or say something else, and those that it should no longer have.
pub(super) fn differing(
    folder: &LocalFolder,
    instance: &RenderedInstance,
    user: ServerUser,
) -> Result<Vec<PathBuf>, LocalError> {
    let config = folder.config(&instance.name);
    let mut paths = Vec::new();
    for file in instance.all_files() {
        let path = config.join(&file.path);
        if !is_as_wanted(&path, file, user)? {
            paths.push(path);
        }
    }
    paths.extend(surplus(&config, instance)?);
    Ok(paths)
}

/// Writes the files of an instance that differ, and removes those that it should no longer have.
pub(super) fn write(
    folder: &LocalFolder,
    instance: &RenderedInstance,
    user: ServerUser,
) -> Result<(), LocalError> {
    let config = folder.config(&instance.name);
    for file in instance.all_files() {
        let path = config.join(&file.path);
        if !is_as_wanted(&path, file, user)? {
            write_atomically(
                &path,
                file.content.as_bytes(),
                file.mode.bits(),
                user.run_as(),
            )?;
        }
    }
    for path in surplus(&config, instance)? {
        fs::remove_file(&path).map_err(|error| LocalError::write(&path, error))?;
    }
    Ok(())
}

fn is_as_wanted(path: &Path, file: &RenderedFile, user: ServerUser) -> Result<bool, LocalError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(LocalError::read(path, error)),
    };
    if !metadata.is_file()
        || metadata.permissions().mode() & 0o777 != file.mode.bits()
        || user
            .run_as()
            .is_some_and(|owner| owner.uid != metadata.uid())
        || metadata.len() != file.content.len() as u64
    {
        return Ok(false);
    }
    let content = fs::read(path).map_err(|error| LocalError::read(path, error))?;
    Ok(content == file.content.as_bytes())
}

fn surplus(config: &Path, instance: &RenderedInstance) -> Result<Vec<PathBuf>, LocalError> {
    let entries = match fs::read_dir(config) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LocalError::read(config, error)),
    };
    let mut surplus = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| LocalError::read(config, error))?;
        let name = entry.file_name();
        if !instance.all_files().any(|file| name == *file.path) {
            surplus.push(entry.path());
        }
    }
    Ok(surplus)
}
