//! The hosts of a cluster: connects, looks, plans and carries out.

use std::path::{Path, PathBuf};

use super::K3sError;
use crate::bootstrap::{
    BinarySource, BootstrapError, Given, HostAction, HostWork, RELEASES, SeenCluster, Survey,
    WantedCluster, archive_files, binary_file, find_archive, find_binary, host_specs, plan_hosts,
    plan_removal, wanted_cluster,
};
use crate::environment::Environment;
use crate::event::Observer;
use crate::host::{Connecting, HostSpec, LocalHost, NoPassword, SshFolder, SudoPasswords};
use crate::interrupt::Interrupt;
use crate::plan::Step;
use crate::registry::Access;
use crate::render::Secret;

/// What reaching the hosts needs.
pub(super) struct Reaching<'a> {
    /// What is wanted.
    pub environment: &'a Environment,
    /// The folder of the environment file, from which its paths are seen.
    pub beside: &'a Path,
    /// The state folder, and the one for sockets.
    pub folders: (&'a Path, &'a Path),
    /// Whether they are only left, and given nothing.
    pub is_left: bool,
    /// Archives of images besides those that the environment names.
    pub archives: Vec<PathBuf>,
    /// Images that hosts pull.
    pub pulled: Vec<String>,
    /// The registry, if there is one and its files could be read.
    pub registry: Option<&'a Access>,
    /// Who knows passwords for sudo.
    pub passwords: &'a dyn SudoPasswords,
}

/// The hosts as they were seen.
pub(super) struct Machines {
    cluster: WantedCluster,
    survey: Survey,
    seen: SeenCluster,
    kubeconfig: PathBuf,
}

impl Machines {
    /// Connects to all hosts and looks at them. Everything that is in the way is told at once; nothing is changed.
    pub(super) async fn look(reaching: &Reaching<'_>) -> Result<Self, K3sError> {
        let (cluster, survey, kubeconfig) = reach(reaching).await?;
        let seen = survey.check(&cluster, &kubeconfig).await?;
        Ok(Self {
            cluster,
            survey,
            seen,
            kubeconfig,
        })
    }

    /// The same for hosts that are to be left: only one that cannot be reached is in the way.
    pub(super) async fn look_to_leave(reaching: &Reaching<'_>) -> Result<Self, K3sError> {
        let (cluster, mut survey, kubeconfig) = reach(reaching).await?;
        let lost = survey.found.iter().find(|(_, found)| found.is_err());
        if let Some(name) = lost.map(|(name, _)| name.clone())
            && let Some(Err(error)) = survey.found.remove(&name)
        {
            return Err(BootstrapError::from(error).into());
        }
        let seen = survey.see(&cluster, &kubeconfig).await;
        Ok(Self {
            cluster,
            survey,
            seen,
            kubeconfig,
        })
    }

    /// What makes them a cluster.
    pub(super) fn plan(&self) -> Vec<Step<HostAction>> {
        plan_hosts(&self.cluster, &self.seen)
    }

    /// What makes them what they were.
    pub(super) fn plan_removal(&self) -> Vec<Step<HostAction>> {
        plan_removal(&self.cluster, &self.seen)
    }

    /// Carries a plan out.
    pub(super) async fn carry_out(
        &self,
        steps: &[Step<HostAction>],
        observer: &dyn Observer,
        interrupt: Interrupt,
    ) -> Result<(), K3sError> {
        let work = HostWork {
            cluster: &self.cluster,
            seen: &self.seen,
            hosts: &self.survey.hosts,
            kubeconfig: self.kubeconfig.clone(),
            observer,
            interrupt,
        };
        work.carry_out(steps).await?;
        Ok(())
    }
}

async fn reach(reaching: &Reaching<'_>) -> Result<(WantedCluster, Survey, PathBuf), K3sError> {
    let specs = host_specs(reaching.environment, reaching.beside);
    let folder = SshFolder::new(reaching.folders.0, reaching.folders.1);
    let connecting = Connecting {
        folder: &folder,
        passwords: reaching.passwords,
    };
    let given = async {
        if reaching.is_left {
            return Ok(Given::default());
        }
        given(reaching).await
    };
    let (given, survey) = tokio::join!(given, Survey::of(&specs, connecting));
    let cluster = wanted_cluster(reaching.environment, given?, |name| {
        survey.client_address(name)
    })
    .with_addresses(&survey.facts());
    Ok((cluster, survey, super::kubeconfig(reaching.folders.0)))
}

/// The files that the environment only names.
async fn given<'a>(reaching: &Reaching<'a>) -> Result<Given<'a>, K3sError> {
    let here = LocalHost::new(HostSpec::default(), &NoPassword)
        .await
        .map_err(BootstrapError::from)?;
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let file = binary_file(reaching.environment, reaching.beside);
    let variable = std::env::var_os("SHOPCTL_K3S_BINARY").map(PathBuf::from);
    let source = BinarySource {
        version: &reaching.environment.k3s.version,
        file: file.as_deref(),
        variable: variable.as_deref(),
        cache: &home.join(".cache/shopctl/k3s"),
        releases: RELEASES,
    };
    let mut archives = archive_files(reaching.environment, reaching.beside);
    archives.extend_from_slice(&reaching.archives);
    // Digests of large files take their time, and the hosts are looked at meanwhile.
    let digests = tokio::task::spawn_blocking(move || {
        let found = archives.iter().map(|path| find_archive(path));
        found.collect::<Result<_, BootstrapError>>()
    });
    let (binary, archives) = tokio::join!(find_binary(&source, &here), digests);
    Ok(Given {
        binary: binary?,
        archives: archives.map_err(|error| K3sError::Image {
            reason: error.to_string(),
        })??,
        pulled: reaching.pulled.clone(),
        registry_password: reaching
            .registry
            .and_then(Access::password)
            .map(Secret::expose),
        registry_ca: reaching
            .registry
            .and_then(|registry| registry.authority.clone()),
    })
}
