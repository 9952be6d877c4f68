//! The secrets of an environment on this machine: made once, then kept, a file each.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::files::{give_alone, write_atomically};
use super::programs::{WantedVersion, find_program};
use super::{LocalError, LocalFolder, ServerUser};
use crate::catalogue::{Catalogue, Component, SecretBond, SecretKind, SecretSpec};
use crate::environment::Environment;
use crate::render::{Secret, SecretSet, shell_quoted};
use crate::supervisor;
use crate::target::secrets::{generate, public_keys, wanted_secrets};

/// Reads the secrets that there are and thinks up those that there are not. The names of the latter are given beside:
/// nothing is written, so a mistake that is found later costs nothing.
pub fn load_secrets(
    folder: &LocalFolder,
    environment: &Environment,
    catalogue: &Catalogue,
) -> Result<(SecretSet, Vec<String>), LocalError> {
    let mut secrets = SecretSet::new();
    let mut missing = Vec::new();
    for (name, (component, spec)) in wanted_secrets(environment, catalogue) {
        let path = folder.secrets().join(name);
        let value = if let Some(value) = read(&path)? {
            value
        } else {
            refuse_lost(folder, component, spec, &path)?;
            missing.push(name.to_owned());
            made(spec.kind, environment.secrets.password_length)?
        };
        let mut secret = Secret::new(path.to_string_lossy().into_owned(), value);
        if spec.kind == SecretKind::Ed25519Key {
            let keys = public_keys([secret.expose()]);
            secret = secret
                .with_public(keys.map_err(|reason| LocalError::UnusableSecret { path, reason })?);
        }
        secrets.insert(name.to_owned(), secret);
    }
    Ok((secrets, missing))
}

/// Reads a secret; none if there is none.
fn read(path: &Path) -> Result<Option<String>, LocalError> {
    let unusable = |reason: &str| LocalError::UnusableSecret {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    // The servers' user could have root read another file, and have it written where that user reads it.
    let text = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .and_then(io::read_to_string);
    match text {
        Ok(text) if text.trim_end().is_empty() => Err(unusable("the file is empty")),
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            io::ErrorKind::InvalidData => Err(unusable("the file is not text")),
            io::ErrorKind::IsADirectory => Err(unusable("it is a folder")),
            _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                Err(unusable("it is a link"))
            }
            _ => Err(LocalError::read(path, error)),
        },
    }
}

/// Whether a process of the shop lives.
fn is_alive(folder: &LocalFolder) -> Result<bool, LocalError> {
    let instances = supervisor::observe(folder.names())?;
    Ok(instances.iter().any(|instance| instance.pid.is_some()))
}

/// Refuses to think up another secret in place of one that data or running processes know: they would refuse it
/// without a hint.
fn refuse_lost(
    folder: &LocalFolder,
    component: &Component,
    secret: &SecretSpec,
    path: &Path,
) -> Result<(), LocalError> {
    if secret.shared_by_peers && is_alive(folder)? {
        return Err(LocalError::SharedSecret {
            path: path.to_owned(),
            component: component.name.to_string(),
        });
    }
    let Some(SecretBond::Data(reset)) = &secret.bound_to else {
        return Ok(());
    };
    match folder.kept_data(component.name.as_str()).into_iter().next() {
        None => Ok(()),
        Some(data) => Err(LocalError::LostSecret {
            reset: with_names(reset, folder, component, &data, path),
            path: path.to_owned(),
            data,
        }),
    }
}

/// A text with commands for a shell, in which `{data}`, `{secret}` and programs of the component have become paths.
fn with_names(
    text: &str,
    folder: &LocalFolder,
    component: &Component,
    data: &Path,
    secret: &Path,
) -> String {
    let quoted = |path: &Path| shell_quoted(&path.to_string_lossy());
    let mut text = text
        .replace("{data}", &quoted(data))
        .replace("{secret}", &quoted(secret));
    for program in &component.programs {
        let name = format!("{{{}}}", program.name);
        if text.contains(&name) {
            let wanted = WantedVersion::of(program, component.name.as_str(), None, folder);
            let path = find_program(program, wanted.version())
                .map_or_else(|| program.name.clone(), |found| quoted(&found.path));
            text = text.replace(&name, &path);
        }
    }
    text
}

/// Secrets that say only which they are, for files that are shown.
pub fn placeholder_secrets(
    folder: &LocalFolder,
    environment: &Environment,
    catalogue: &Catalogue,
) -> SecretSet {
    wanted_secrets(environment, catalogue)
        .into_iter()
        .map(|(name, (_, spec))| {
            let path = folder.secrets().join(name).to_string_lossy().into_owned();
            let secret = Secret::new(path, format!("SECRET-{name}"));
            let secret = match spec.kind {
                SecretKind::Ed25519Key => {
                    secret.with_public(format!("{{\"keys\":[\"PUBLIC-KEY-OF-{name}\"]}}"))
                }
                SecretKind::Password | SecretKind::Token => secret,
            };
            (name.to_owned(), secret)
        })
        .collect()
}

/// Writes secrets that were thought up. One that is there by now is never replaced.
pub(super) fn write(
    folder: &LocalFolder,
    secrets: &SecretSet,
    names: &[String],
    user: ServerUser,
) -> Result<(), LocalError> {
    for name in names {
        let path = folder.secrets().join(name);
        if let Some(secret) = secrets.get(name)
            && !path.exists()
        {
            let text = format!("{}\n", secret.expose());
            write_atomically(&path, text.as_bytes(), 0o600, user.run_as())?;
        }
    }
    Ok(())
}

/// The secrets' files that the servers' user could not read, or others could: as when they were restored by hand.
pub(super) fn astray(folder: &LocalFolder, user: ServerUser) -> Result<Vec<PathBuf>, LocalError> {
    let secrets = folder.secrets();
    let entries = match fs::read_dir(&secrets) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LocalError::read(&secrets, error)),
    };
    let uid = user
        .run_as()
        .map_or(Uid::effective().as_raw(), |owner| owner.uid);
    let mut astray = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| LocalError::read(&secrets, error))?
            .path();
        let metadata =
            fs::symlink_metadata(&path).map_err(|error| LocalError::read(&path, error))?;
        let in_order = metadata.uid() == uid && metadata.permissions().mode() & 0o777 == 0o600;
        if metadata.is_file() && !in_order {
            astray.push(path);
        }
    }
    Ok(astray)
}

/// Gives secrets' files to the servers' user alone.
pub(super) fn take_back(folder: &LocalFolder, user: ServerUser) -> Result<(), LocalError> {
    for path in astray(folder, user)? {
        give_alone(&path, user.run_as())?;
    }
    Ok(())
}

fn made(kind: SecretKind, password_length: u16) -> Result<String, LocalError> {
    generate(kind, password_length).map_err(|reason| LocalError::Program {
        program: "the key generator".to_owned(),
        reason,
    })
}
