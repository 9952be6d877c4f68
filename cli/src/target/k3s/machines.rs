//! The hosts of a cluster: connects, looks, plans and carries out.

use std::path::{Path, PathBuf};

use super::K3sError;
use crate::bootstrap::{
    BinarySource, BootstrapError, Given, HostAction, HostWork, Problem, RELEASES, SeenCluster,
    Survey, WantedBinary, WantedCluster, archive_files, binary_file, find_archive, find_binary,
    host_specs, plan_hosts, plan_removal, wanted_cluster,
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
        let (cluster, survey, kubeconfig, missing) = reach(reaching).await;
        let seen = survey.check(&cluster, &kubeconfig).await;
        let seen = with_problems(seen.map_err(K3sError::from), missing)?;
        Ok(Self {
            cluster,
            survey,
            seen,
            kubeconfig,
        })
    }

    /// The same for hosts that are to be left: only one that cannot be reached is in the way.
    pub(super) async fn look_to_leave(reaching: &Reaching<'_>) -> Result<Self, K3sError> {
        let (cluster, mut survey, kubeconfig, _) = reach(reaching).await;
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

    /// Whether every host holds an image, named as `NAME@DIGEST`.
    pub(super) fn all_hold(&self, image: &str) -> bool {
        self.cluster.hosts.iter().all(|host| {
            let held = self.seen.images.get(&host.name);
            held.is_some_and(|held| held.contains(image))
        })
    }

    /// The nodes of the cluster that no host of the environment file is.
    pub(super) fn strangers(&self) -> Vec<String> {
        let named = |name: &str| self.cluster.hosts.iter().any(|host| host.name == name);
        let nodes = self.seen.nodes().map(Vec::as_slice).unwrap_or_default();
        let strangers = nodes.iter().filter(|node| !named(&node.name));
        strangers.map(|node| node.name.clone()).collect()
    }

    /// Whether a cluster runs on them.
    pub(super) fn is_running(&self) -> bool {
        self.seen.nodes().is_some()
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

/// What is wanted, what was found, where the kubeconfig is kept, and the files that are not as the environment says.
async fn reach(reaching: &Reaching<'_>) -> (WantedCluster, Survey, PathBuf, Vec<Problem>) {
    let specs = host_specs(reaching.environment, reaching.beside);
    let folder = SshFolder::new(reaching.folders.0, reaching.folders.1);
    let connecting = Connecting {
        folder: &folder,
        passwords: reaching.passwords,
    };
    let given = async {
        if reaching.is_left {
            return (Given::default(), Vec::new());
        }
        given(reaching).await
    };
    let ((given, missing), survey) = tokio::join!(given, Survey::of(&specs, connecting));
    let cluster = wanted_cluster(reaching.environment, given, |name| {
        survey.client_address(name)
    })
    .with_addresses(&survey.facts());
    let kubeconfig = super::kubeconfig(reaching.folders.0);
    (cluster, survey, kubeconfig, missing)
}

/// The files that the environment only names, and what is wrong with those that are not given: hosts are looked at all
/// the same.
async fn given<'a>(reaching: &Reaching<'a>) -> (Given<'a>, Vec<Problem>) {
    let mut archives = archive_files(reaching.environment, reaching.beside);
    archives.extend_from_slice(&reaching.archives);
    // Digests of large files take their time, and the hosts are looked at meanwhile.
    let digests = tokio::task::spawn_blocking(move || {
        let found = archives.iter().map(|path| find_archive(path));
        found.collect::<Vec<_>>()
    });
    let (binary, archives) = tokio::join!(binary(reaching), digests);
    let mut missing = Vec::new();
    let binary = binary.unwrap_or_else(|error| {
        missing.push(error.problem());
        // Hosts are not to be blamed for what nobody knows of it.
        WantedBinary {
            brings_programs: true,
            ..WantedBinary::default()
        }
    });
    let archives = archives
        .unwrap_or_else(|error| {
            missing.push(Problem {
                host: None,
                what: format!("failed to read the archives of images: {error}"),
                hint: "run it again with RUST_BACKTRACE=1, and tell us".to_owned(),
            });
            Vec::new()
        })
        .into_iter()
        .filter_map(|found| {
            found
                .map_err(|error: BootstrapError| missing.push(error.problem()))
                .ok()
        })
        .collect();
    let given = Given {
        binary,
        archives,
        pulled: reaching.pulled.clone(),
        registry_password: reaching
            .registry
            .and_then(Access::password)
            .map(Secret::expose),
        registry_ca: reaching
            .registry
            .and_then(|registry| registry.authority.clone()),
    };
    (given, missing)
}

/// The program k3s.
async fn binary(reaching: &Reaching<'_>) -> Result<WantedBinary, BootstrapError> {
    let here = LocalHost::new(HostSpec::default(), &NoPassword).await?;
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
    find_binary(&source, &here).await
}

/// What was seen of machines, with what else is in the way.
pub(super) fn with_problems<T>(
    seen: Result<T, K3sError>,
    more: Vec<Problem>,
) -> Result<T, K3sError> {
    if more.is_empty() {
        return seen;
    }
    let mut problems = match seen {
        Ok(_) => Vec::new(),
        Err(K3sError::Bootstrap(BootstrapError::Unprepared(problems))) => problems,
        Err(other) => return Err(other),
    };
    problems.extend(more);
    Err(BootstrapError::Unprepared(problems).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(what: &str) -> Problem {
        Problem {
            host: None,
            what: what.to_owned(),
            hint: format!("mend that {what}"),
        }
    }

    #[test]
    fn what_else_is_wrong_is_told_with_what_is_in_the_way_on_hosts() {
        let on_hosts = vec![problem("there is no ip")];
        let unprepared = K3sError::Bootstrap(BootstrapError::Unprepared(on_hosts));
        let more = || vec![problem("there is no TLS")];
        let error = with_problems::<()>(Err(unprepared), more()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to begin: 2 things are in the way"
        );
        assert!(error.hints()[1].contains("no TLS"), "{:?}", error.hints());
        let error = with_problems(Ok(()), more()).unwrap_err();
        assert!(error.to_string().contains("no TLS"), "{error}");
        assert!(with_problems(Ok(()), Vec::new()).is_ok());
    }
}
