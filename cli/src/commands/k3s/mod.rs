//! The commands for a shop on a cluster.

mod down;
mod drill;
mod loadtest;
mod logs;
mod plan;
mod secrets;
mod shown;
mod site;
mod smoke;
mod status;
mod up;

use std::path::{Path, PathBuf};

pub(super) use down::down;
pub(super) use drill::drill;
pub(super) use loadtest::loadtest;
pub(super) use logs::logs;
pub(super) use plan::plan;
pub(super) use secrets::{list as list_secrets, rotate as rotate_secrets};
pub(super) use smoke::smoke;
pub(super) use status::status;
pub(super) use up::up;

use super::Context;
use super::target::{local_failure, local_folder};
use crate::bootstrap::BootstrapError;
use crate::cluster::{Cluster, ClusterError};
use crate::environment::Environment;
use crate::project::{Loaded, Project};
use crate::registry::RegistryError;
use crate::target::k3s::{K3sError, Wanting, kubeconfig};
use crate::target::local::LocalFolder;
use crate::ui::{AskedPassword, ExitCode, Failure};

/// What the commands share: the environment, where its state is, and who is asked for passwords.
struct Session<'a> {
    loaded: &'a Loaded,
    folder: LocalFolder,
    beside: PathBuf,
    passwords: AskedPassword,
}

impl<'a> Session<'a> {
    fn open(context: &Context, loaded: &'a Loaded) -> Result<Self, Failure> {
        let folder = local_folder(context, loaded.file.environment())?;
        let file = Project::here().file_of(&context.environment);
        let beside = file
            .as_deref()
            .and_then(Path::parent)
            // A bare file name has an empty one, in which no command can be run.
            .filter(|folder| *folder != Path::new(""))
            .map_or_else(|| PathBuf::from("."), Path::to_owned);
        Ok(Self {
            loaded,
            folder,
            beside,
            passwords: AskedPassword::of_this_process(),
        })
    }

    fn environment(&self) -> &'a Environment {
        self.loaded.file.environment()
    }

    fn wanting(&self) -> Wanting<'_> {
        Wanting {
            environment: self.environment(),
            catalogue: &self.loaded.catalogue,
            folder: &self.folder,
            beside: &self.beside,
            passwords: &self.passwords,
        }
    }

    /// The cluster of a shop that was brought up from here.
    async fn cluster(&self) -> Result<Cluster, Failure> {
        let path = kubeconfig(self.folder.state_dir());
        if !self.folder.exists().map_err(local_failure)? || !path.exists() {
            return Err(failure(K3sError::NotUp(
                self.environment().name.to_string(),
            )));
        }
        self.wanting().connect().await.map_err(failure)
    }
}

/// What a user is told when a cluster could not be brought to what was asked.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn failure(error: K3sError) -> Failure {
    let mut failure = Failure::of(&error);
    let exit = match &error {
        K3sError::Render(_)
        | K3sError::Refused(_)
        | K3sError::Contested(_)
        | K3sError::Unconfirmed(_)
        | K3sError::UnknownSecret { .. }
        | K3sError::NotRotatable(_)
        | K3sError::StillKept { .. }
        | K3sError::Unsettled
        | K3sError::Cluster(ClusterError::Foreign { .. }) => Some(ExitCode::Usage),
        K3sError::Bootstrap(
            BootstrapError::Unprepared(_)
            | BootstrapError::NoBinary { .. }
            | BootstrapError::WrongFile { .. },
        )
        | K3sError::Image { .. }
        | K3sError::Registry(RegistryError::Login { .. } | RegistryError::Forbidden { .. }) => {
            Some(ExitCode::Missing)
        }
        _ => None,
    };
    if let Some(exit) = exit {
        failure = failure.exit(exit);
    }
    failure.causes.extend(error.causes());
    let mut hints = error.hints();
    hints.dedup();
    hints.into_iter().fold(failure, Failure::hint)
}
