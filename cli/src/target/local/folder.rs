//! The state folder of an environment on this machine and its run folder: where they are, how they are made, and how
//! to know that a folder is ours.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::files::give_to;
use super::marker::{MARKER, Marker, SourceFile};
use super::{LocalError, ServerUser, run_folder, secrets};
use crate::render::{Place, ProgramFile};
use crate::supervisor::StateFolder;

/// The file that whoever is at work holds.
const LOCK: &str = "lock";
/// What a file system that begins at the state folder has in it.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// The state folder and the run folder of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFolder {
    environment: String,
    folder: StateFolder,
    /// The environment's file.
    source: Option<SourceFile>,
    /// The folder was named: it is meant whatever the file.
    named: bool,
}

impl LocalFolder {
    /// Where the state of an environment is, or would be. `source` is the environment's file; a folder that was named
    /// is meant whatever the file.
    pub fn locate(
        environment: &str,
        state_dir: Option<&Path>,
        source: Option<SourceFile>,
    ) -> Result<Self, LocalError> {
        let state = match state_dir {
            Some(path) => {
                std::path::absolute(path).map_err(|error| LocalError::read(path, error))?
            }
            None => default_state()?.join(environment),
        };
        // What is wrong with the marker is told by whoever uses the folder.
        let run = Marker::read(&state)
            .ok()
            .flatten()
            .and_then(|marker| run_folder::recorded(environment, &state, &marker.run_dir))
            .unwrap_or_else(|| run_folder::choose(environment, &state));
        Ok(Self {
            environment: environment.to_owned(),
            folder: StateFolder::new(state, run),
            source,
            named: state_dir.is_some(),
        })
    }

    /// The environment that lives here.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The names inside.
    pub fn names(&self) -> &StateFolder {
        &self.folder
    }

    /// The state folder.
    pub fn state_dir(&self) -> &Path {
        self.folder.state_dir()
    }

    /// The run folder.
    pub fn run_dir(&self) -> &Path {
        self.folder.run_dir()
    }

    /// The folder with the secrets.
    pub fn secrets(&self) -> PathBuf {
        self.state_dir().join("secrets")
    }

    /// The folder with the copies of `shopd` that run.
    pub(super) fn binaries(&self) -> PathBuf {
        self.state_dir().join("bin")
    }

    /// The mark of the last proof.
    pub(super) fn proof(&self) -> PathBuf {
        self.state_dir().join("proof.json")
    }

    /// An instance's configuration folder.
    pub(super) fn config(&self, instance: &str) -> PathBuf {
        self.folder.instance(instance).join("config")
    }

    /// An instance's data folder.
    pub(super) fn data(&self, instance: &str) -> PathBuf {
        self.folder.instance(instance).join("data")
    }

    /// An instance's log.
    pub(super) fn log(&self, instance: &str) -> PathBuf {
        self.folder.instance(instance).join("log").join("log")
    }

    /// The folders and addresses that templates see.
    pub fn place(&self, programs: BTreeMap<String, ProgramFile>) -> Place {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Place {
            state_dir: text(self.state_dir()),
            run_dir: text(self.run_dir()),
            secrets_dir: text(&self.secrets()),
            listen: "127.0.0.1".to_owned(),
            networks: vec!["127.0.0.1/32".to_owned()],
            programs,
            in_pods: false,
        }
    }

    /// Whether the state folder is there and ours. Refuses a folder that is something else.
    pub fn exists(&self) -> Result<bool, LocalError> {
        let state = self.state_dir();
        run_folder::check_base(self.run_dir(), state)?;
        match fs::metadata(state) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(LocalError::read(state, error)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(self.foreign(
                    "it is not a folder",
                    "name another folder with `--state-dir`",
                ));
            }
            Ok(metadata) if metadata.uid() != Uid::effective().as_raw() => {
                return Err(self.foreign(
                    &format!("it belongs to user {}", metadata.uid()),
                    "run the command as that user, or name another folder with `--state-dir`",
                ));
            }
            Ok(_) => {}
        }
        match Marker::read(state)? {
            Some(found) => self.check(&found).map(|()| true),
            None if self.is_fresh()? => Ok(false),
            // A damaged marker was moved away. Nothing else is made like this.
            None if self.has_our_layout()? => Ok(true),
            None => Err(self.foreign(
                "there are files in it that shopctl did not make",
                "name a new or an empty folder with `--state-dir`",
            )),
        }
    }

    /// Refuses a folder that holds another shop.
    fn check(&self, found: &Marker) -> Result<(), LocalError> {
        if found.environment != self.environment {
            return Err(self.foreign(
                &format!("it holds the environment `{}`", found.environment),
                &format!(
                    "use `-e {}` with it, or name another folder with `--state-dir`",
                    found.environment
                ),
            ));
        }
        if run_folder::recorded(&self.environment, self.state_dir(), &found.run_dir).is_none() {
            return Err(LocalError::Corrupt {
                path: self.state_dir().join(MARKER),
                reason: format!(
                    "its runDir is {}, where shopctl keeps no sockets",
                    found.run_dir.display()
                ),
            });
        }
        let recorded = found.file.as_deref();
        match (&self.source, recorded) {
            (Some(source), Some(other)) if !self.named && !source.continues(recorded) => Err(self.foreign(
                &format!(
                    "it holds the shop of {}, which has the same name `{}`",
                    other.display(),
                    self.environment
                ),
                "give one of the two files a `name:` of its own, or its shop a folder of its own with `--state-dir`",
            )),
            _ => Ok(()),
        }
    }

    /// Whether nothing is in the folder but what a killed `up` may have left before its marker.
    fn is_fresh(&self) -> Result<bool, LocalError> {
        let state = self.state_dir();
        let entries = fs::read_dir(state).map_err(|error| LocalError::read(state, error))?;
        for entry in entries {
            let name = entry
                .map_err(|error| LocalError::read(state, error))?
                .file_name();
            if ![LOCK, LOST_AND_FOUND].iter().any(|known| name == *known)
                && !name.to_string_lossy().starts_with(MARKER)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the folder holds what every shop's folder has, and nothing that shopctl does not make.
    fn has_our_layout(&self) -> Result<bool, LocalError> {
        let state = self.state_dir();
        if ![self.secrets(), self.folder.instances()]
            .iter()
            .all(|folder| fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()))
        {
            return Ok(false);
        }
        let entries = fs::read_dir(state).map_err(|error| LocalError::read(state, error))?;
        for entry in entries {
            let name = entry
                .map_err(|error| LocalError::read(state, error))?
                .file_name();
            let name = name.to_string_lossy();
            // Files have new, old and moved ones beside them; folders have not.
            let is_ours = [LOCK, LOST_AND_FOUND, "secrets", "bin", "instances", "run"]
                .iter()
                .any(|known| name == *known)
                || [MARKER, "desired.json", "proof.json", "supervisor."]
                    .iter()
                    .any(|known| name.starts_with(known));
            if !is_ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn foreign(&self, reason: &str, hint: &str) -> LocalError {
        LocalError::ForeignFolder {
            path: self.state_dir().to_owned(),
            purpose: "the state folder",
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        }
    }

    /// The marker that the folder has, or is to get.
    fn marker(&self) -> Result<Marker, LocalError> {
        let file = |recorded: Option<PathBuf>| match &self.source {
            Some(source) if source.replaces(recorded.as_deref()) => Some(source.path().to_owned()),
            _ => recorded,
        };
        let found = Marker::read(self.state_dir())?;
        Ok(match found {
            Some(found) => Marker {
                file: file(found.file),
                ..found
            },
            None => Marker {
                environment: self.environment.clone(),
                run_dir: run_folder::to_record(self.run_dir(), self.state_dir()),
                file: file(None),
            },
        })
    }

    /// Makes the folder in which the run folder is, for nobody else to change.
    pub(super) fn make_run_base(&self) -> Result<(), LocalError> {
        run_folder::make_base(self.run_dir(), self.state_dir())
    }

    /// Makes the state folder, so that a lock can be in it. Says whether it was not there.
    pub(super) fn make_state_dir(&self) -> Result<bool, LocalError> {
        let missing = !self.state_dir().exists();
        make_dir(self.state_dir(), 0o755)?;
        Ok(missing)
    }

    /// Removes the lock of a folder in which nothing else was made, and the folder too if it was made for the lock.
    pub(super) fn remove_if_fresh(&self, made_folder: bool) {
        let only_lock = fs::read_dir(self.state_dir()).is_ok_and(|mut entries| {
            entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == *LOCK))
        });
        if only_lock {
            // It is in nobody's way if it cannot be removed.
            let _ = fs::remove_file(self.lock());
            if made_folder {
                let _ = fs::remove_dir(self.state_dir());
            }
        }
    }

    /// The data folders of a component's instances that hold something.
    pub(super) fn kept_data(&self, component: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.instances()) else {
            return Vec::new();
        };
        let is_of_component = |name: &str| {
            name.strip_prefix(component)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
        };
        let mut kept: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(is_of_component))
            .map(|entry| entry.path().join("data"))
            .filter(|data| fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()))
            .collect();
        kept.sort();
        kept
    }

    /// The folders that are missing or that belong to somebody else, of those that instances need.
    pub(super) fn lacking(
        &self,
        instances: &[String],
        user: ServerUser,
    ) -> Result<Vec<PathBuf>, LocalError> {
        let mut lacking = Vec::new();
        for (path, mode, of_servers) in self.layout(instances) {
            let owner = if of_servers { user.run_as() } else { None };
            let uid = owner.map_or(Uid::effective().as_raw(), |owner| owner.uid);
            match fs::metadata(&path) {
                Ok(metadata)
                    if metadata.uid() == uid && metadata.permissions().mode() & 0o777 == mode => {}
                Ok(_) => lacking.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => lacking.push(path),
                Err(error) => return Err(LocalError::read(&path, error)),
            }
        }
        lacking.extend(secrets::astray(self, user)?);
        if Marker::read(self.state_dir())?.as_ref() != Some(&self.marker()?) {
            lacking.push(self.state_dir().join(MARKER));
        }
        Ok(lacking)
    }

    /// Makes all folders that instances need, each with its owner, and the marker before them.
    pub(super) fn make(&self, instances: &[String], user: ServerUser) -> Result<(), LocalError> {
        self.make_state_dir()?;
        self.marker()?.write(self.state_dir())?;
        self.make_run_base()?;
        for (path, mode, of_servers) in self.layout(instances) {
            make_dir(&path, mode)?;
            let owner = if of_servers { user.run_as() } else { None };
            give_to(&path, owner)?;
        }
        secrets::take_back(self, user)
    }

    /// Makes the state folder an environment's of which nothing but files of its own runs on this machine.
    pub fn claim(&self) -> Result<(), LocalError> {
        self.exists()?;
        self.make_state_dir()?;
        self.marker()?.write(self.state_dir())?;
        self.make_run_base()?;
        make_dir(self.run_dir(), 0o755)
    }

    /// Every folder with its mode and whether it belongs to the servers' user, parents first.
    fn layout(&self, instances: &[String]) -> Vec<(PathBuf, u32, bool)> {
        let mut layout = vec![
            (self.state_dir().to_owned(), 0o755, false),
            (self.secrets(), 0o700, true),
            (self.binaries(), 0o755, false),
            (self.folder.instances(), 0o755, false),
            (self.run_dir().to_owned(), 0o755, false),
        ];
        for name in instances {
            let instance = self.folder.instance(name);
            layout.push((instance.clone(), 0o755, false));
            layout.push((instance.join("config"), 0o700, true));
            layout.push((instance.join("data"), 0o700, true));
            layout.push((instance.join("log"), 0o755, false));
            layout.push((self.run_dir().join(name), 0o755, true));
        }
        layout
    }

    /// What goes last when the state folder is deleted: the marker, and the lock that is held meanwhile.
    pub(super) fn kept_to_the_end(&self) -> [PathBuf; 2] {
        [self.state_dir().join(MARKER), self.state_dir().join(LOCK)]
    }

    /// The lock of whoever is at work.
    pub(super) fn lock(&self) -> PathBuf {
        self.state_dir().join(LOCK)
    }
}

/// Makes a folder and its parents. An existing one gets the mode.
fn make_dir(path: &Path, mode: u32) -> Result<(), LocalError> {
    let outcome = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            if metadata.permissions().mode() & 0o777 == mode {
                return Ok(());
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
        _ => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            // The mode of a made folder is narrowed by the umask.
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode))),
    };
    outcome.map_err(|error| LocalError::write(path, error))
}

fn default_state() -> Result<PathBuf, LocalError> {
    if Uid::effective().is_root() {
        return Ok(PathBuf::from("/var/lib/shopctl"));
    }
    absolute_variable("XDG_STATE_HOME")
        .or_else(|| absolute_variable("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("shopctl"))
        .ok_or(LocalError::NoHome)
}

/// The XDG specification says that a relative path is to be ignored.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
