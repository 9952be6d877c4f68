//! Where the sockets of a shop are. Chosen once, when the state folder is made, and read from its marker after that.
//!
//! The place must be the same for whoever logs in next and must last as long as the shop runs: `$XDG_RUNTIME_DIR` goes
//! with a user's last session. So it is a folder inside the state folder, unless a socket's path, of which the system
//! takes 107 bytes, would become too long there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use sha2::{Digest, Sha256};

use super::LocalError;

/// The run folder's name in the state folder.
const INSIDE: &str = "run";
/// The longest run folder that leaves room for an instance's name and a socket's, as `postgres-0/.s.PGSQL.15432`.
const LONGEST: usize = 67;

/// The run folder of a state folder that is about to be made.
pub(super) fn choose(environment: &str, state: &Path) -> PathBuf {
    let inside = state.join(INSIDE);
    if inside.as_os_str().len() <= LONGEST {
        return inside;
    }
    let uid = Uid::effective();
    let base = if uid.is_root() {
        PathBuf::from("/run/shopctl")
    } else {
        PathBuf::from(format!("/tmp/shopctl-{uid}"))
    };
    // Two folders may hold environments of one name: their sockets are told apart by the folder.
    let digest = hex::encode(&Sha256::digest(state.as_os_str().as_encoded_bytes())[..4]);
    base.join(format!("{environment}-{digest}"))
}

/// The run folder as a marker names it: relative where it is inside the state folder, which can then be moved.
pub(super) fn to_record(run: &Path, state: &Path) -> PathBuf {
    run.strip_prefix(state).unwrap_or(run).to_owned()
}

/// The run folder that a marker names. None if no shopctl can have chosen it: what a marker names is deleted by
/// `down --purge`, and a damaged one could name anything.
pub(super) fn recorded(environment: &str, state: &Path, named: &Path) -> Option<PathBuf> {
    if named == Path::new(INSIDE) {
        return Some(state.join(INSIDE));
    }
    let name = named.file_name()?.to_str()?;
    let base = named.parent()?.file_name()?.to_str()?;
    let known = named.is_absolute()
        && !named.components().any(|part| part.as_os_str() == "..")
        && (base == "shopctl" || base.starts_with("shopctl-"))
        && (name == environment || name.starts_with(&format!("{environment}-")));
    known.then(|| named.to_owned())
}

/// Refuses sockets in a folder that somebody else could exchange under us: in /tmp anybody may take our name first.
pub(super) fn check_base(run: &Path, state: &Path) -> Result<(), LocalError> {
    let Some(base) = base(run, state) else {
        return Ok(());
    };
    match fs::symlink_metadata(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LocalError::read(base, error)),
        Ok(metadata)
            if metadata.is_dir()
                && metadata.uid() == Uid::effective().as_raw()
                && metadata.permissions().mode() & 0o022 == 0 =>
        {
            Ok(())
        }
        Ok(_) => Err(LocalError::ForeignFolder {
            path: base.to_owned(),
            purpose: "the folder of sockets",
            reason: "it is not a folder that only this user may change".to_owned(),
            hint: "remove it, or name a state folder with a shorter path with `--state-dir`: sockets are inside it then"
                .to_owned(),
        }),
    }
}

/// Makes the folder in which the run folder is, for this user alone, if it is not the state folder. What somebody else
/// put there in the same moment is refused.
pub(super) fn make_base(run: &Path, state: &Path) -> Result<(), LocalError> {
    let Some(base) = base(run, state) else {
        return Ok(());
    };
    // The servers of root's shop are another user, who has to get through.
    let mode = if Uid::effective().is_root() {
        0o755
    } else {
        0o700
    };
    match fs::DirBuilder::new().mode(mode).create(base) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(LocalError::write(base, error)),
    }
    check_base(run, state)?;
    // It is ours by now, and nobody else can put another one in its place.
    fs::set_permissions(base, fs::Permissions::from_mode(mode))
        .map_err(|error| LocalError::write(base, error))
}

fn base<'a>(run: &'a Path, state: &Path) -> Option<&'a Path> {
    if run.starts_with(state) {
        return None;
    }
    run.parent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_in_the_state_folder_unless_their_paths_would_be_too_long() {
        let state = Path::new("/home/somebody/.local/state/shopctl/local");
        assert_eq!(choose("local", state), state.join("run"));
        let deep = PathBuf::from(format!("/{}", "deep/".repeat(20)));
        let run = choose("local", &deep);
        assert!(
            !run.starts_with(&deep) && run.as_os_str().len() <= LONGEST,
            "{}",
            run.display()
        );
        assert_ne!(
            run,
            choose("local", &deep.join("er")),
            "two folders share their sockets"
        );
    }

    #[test]
    fn a_marker_is_believed_only_where_shopctl_keeps_sockets() {
        let state = Path::new("/state/local");
        let recorded = |named: &str| recorded("local", state, Path::new(named));
        assert_eq!(recorded("run"), Some(PathBuf::from("/state/local/run")));
        for ours in [
            "/run/shopctl/local",
            "/run/user/1000/shopctl/local-0a1b2c3d",
            "/tmp/shopctl-1000/local",
        ] {
            assert_eq!(recorded(ours), Some(PathBuf::from(ours)));
        }
        for other in [
            "/",
            "",
            "/run",
            "..",
            "/etc",
            "data",
            "/run/shopctl/other",
            "/run/shopctl/../local",
            "shopctl/local",
        ] {
            assert_eq!(recorded(other), None, "{other}");
        }
    }

    #[test]
    fn a_base_that_others_may_change_is_refused_and_a_link_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let state = Path::new("/state/local");
        let base = folder.path().join("shopctl-1");
        let run = base.join("local");
        make_base(&run, state).unwrap();
        check_base(&run, state).unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(make_base(&run, state).is_err());
        fs::remove_dir(&base).unwrap();
        std::os::unix::fs::symlink(folder.path(), &base).unwrap();
        assert!(make_base(&run, state).is_err());
    }
}
