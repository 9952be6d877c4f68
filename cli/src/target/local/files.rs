//! Files that are written whole or not at all, and folders that belong to who uses them.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};
use rustix::fs::{AtFlags, Gid as FileGid, Mode, OFlags, Uid as FileUid};

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

/// Gives a folder to the servers' user, or takes it back if there is none: if it is another one's.
pub(super) fn give_to(path: &Path, owner: Option<RunAs>) -> Result<(), LocalError> {
    let owner = owner.unwrap_or_else(|| RunAs {
        uid: Uid::effective().as_raw(),
        gid: Gid::effective().as_raw(),
    });
    let given = fs::metadata(path).and_then(|metadata| {
        if metadata.uid() == owner.uid {
            Ok(())
        } else {
            chown(path, Some(owner.uid), Some(owner.gid))
        }
    });
    given.map_err(|error| LocalError::write(path, error))
}

/// Gives a file to a user alone. It may be in a folder that others change meanwhile: a link is not followed, nor a
/// second name of a file of somebody else's believed.
pub(super) fn give_alone(path: &Path, owner: Option<RunAs>) -> Result<(), LocalError> {
    let given = (|| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.nlink() != 1 {
            return Err(io::Error::other("it is a link, or not a file"));
        }
        if let Some(owner) = owner {
            let (uid, gid) = (FileUid::from_raw(owner.uid), FileGid::from_raw(owner.gid));
            rustix::fs::chownat(&file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        // A file that was opened without leave to read it has its mode changed only by this name.
        let held = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(held, fs::Permissions::from_mode(0o600))
    })();
    given.map_err(|error: io::Error| LocalError::write(path, error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_given_to_a_user_alone_and_what_a_link_leads_to_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        for name in ["own", "other", "twice"] {
            fs::write(path(name), "").unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o044)).unwrap();
        }
        let owner = RunAs {
            uid: Uid::effective().as_raw(),
            gid: Gid::effective().as_raw(),
        };
        give_alone(&path("own"), Some(owner)).unwrap();
        assert_eq!(mode("own"), 0o600);
        std::os::unix::fs::symlink(path("other"), path("link")).unwrap();
        assert!(give_alone(&path("link"), Some(owner)).is_err());
        assert_eq!(mode("other"), 0o044);
        fs::hard_link(path("twice"), path("name")).unwrap();
        assert!(give_alone(&path("name"), Some(owner)).is_err());
        assert_eq!(mode("twice"), 0o044);
    }
}
