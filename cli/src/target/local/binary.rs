//! The copy of `shopd` that instances run.
//!
//! A build of the sources replaces the program beside shopctl at any moment, and root's home is closed to the servers'
//! user. So the services run a copy in the state folder, which changes only by `up`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::program_file;
use super::{LocalError, LocalFolder};

/// `shopd` as it lies beside shopctl, and the copy that runs.
#[derive(Clone, Debug)]
pub(super) struct ShopProgram {
    source: PathBuf,
    /// The copy: its name changes with the program.
    pub copy: PathBuf,
}

/// The program beside this one.
pub(super) fn beside_shopctl() -> Result<PathBuf, LocalError> {
    let own = std::env::current_exe().map_err(|error| LocalError::Program {
        program: "shopctl".to_owned(),
        reason: format!("its own path is not known: {error}"),
    })?;
    Ok(own.with_file_name("shopd"))
}

/// What the program beside this one says that it is: `shopd 0.1.0 (1a2b3c4d5e6f)`.
pub(super) fn version(source: &Path) -> Result<String, std::io::Error> {
    let output = Command::new(source).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl ShopProgram {
    pub(super) fn find(folder: &LocalFolder) -> Result<Self, LocalError> {
        let source = beside_shopctl()?;
        let name = format!("shopd-{}", program_file(&source).fingerprint);
        Ok(Self {
            copy: folder.binaries().join(name),
            source,
        })
    }

    pub(super) fn is_placed(&self) -> bool {
        // A machine that lost power may have kept the name and not the content.
        match (fs::metadata(&self.copy), fs::metadata(&self.source)) {
            (Ok(copy), Ok(source)) => copy.is_file() && copy.len() == source.len(),
            _ => false,
        }
    }

    /// Copies the program, under a temporary name first and to the disk before it gets its own: a copy that was cut
    /// short, be it by a loss of power, is never run.
    pub(super) fn place(&self) -> Result<(), LocalError> {
        let temporary = self.copy.with_extension("new");
        let placed = (|| {
            fs::copy(&self.source, &temporary)?;
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
            fs::File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &self.copy)?;
            // The rename itself lasts only once the folder is on disk.
            self.copy
                .parent()
                .map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
        })();
        placed.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            LocalError::write(&self.copy, error)
        })
    }

    /// Removes the copies that nothing runs any more.
    pub(super) fn remove_others(&self, folder: &LocalFolder) -> Result<(), LocalError> {
        let binaries = folder.binaries();
        let entries =
            fs::read_dir(&binaries).map_err(|error| LocalError::read(&binaries, error))?;
        for entry in entries.filter_map(Result::ok) {
            if entry.path() != self.copy {
                fs::remove_file(entry.path())
                    .map_err(|error| LocalError::write(&entry.path(), error))?;
            }
        }
        Ok(())
    }
}
