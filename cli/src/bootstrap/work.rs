//! Carries out what hosts need: servers one by one, everything else side by side.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::BootstrapError;
use super::config::{node_config, sha256};
use super::facts::HostFacts;
use super::images::check_images;
use super::kubeconfig::fetch;
use super::marker::{Before, LOOK_BEFORE, Marker};
use super::model::{Role, WantedCluster, WantedHost};
use super::paths;
use super::plan::{HostAction, HostWave, SeenCluster, lacks_agent_token, unwanted_images};
use super::ready::Waiting;
use super::removal::remove;
use crate::event::{Event, Observer};
use crate::host::{Command, Host, HostError, Mode, Push, push_file, read_file, write_file};
use crate::interrupt::Interrupt;
use crate::plan::Step;

/// Everything that carrying steps out needs.
pub struct HostWork<'a> {
    /// What is wanted.
    pub cluster: &'a WantedCluster,
    /// What was seen when the plan was made.
    pub seen: &'a SeenCluster,
    /// The hosts, by their names.
    pub hosts: &'a BTreeMap<String, Arc<dyn Host>>,
    /// Where the kubeconfig is kept here.
    pub kubeconfig: PathBuf,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// Ctrl-C: ends it after what is under way, or while that waits.
    pub interrupt: Interrupt,
}

impl HostWork<'_> {
    /// Carries out the steps that are needed. What is carried out again changes nothing more.
    pub async fn carry_out(&self, steps: &[Step<HostAction>]) -> Result<(), BootstrapError> {
        let needed: Vec<&Step<HostAction>> = steps.iter().filter(|step| step.needed).collect();
        let of = |wave: HostWave, role: Option<Role>| {
            needed
                .iter()
                .copied()
                .filter(|step| step.action.wave() == wave)
                .filter(|step| role.is_none() || self.role_of(step) == role)
                .collect::<Vec<_>>()
        };
        self.side_by_side(&of(HostWave::Prepare, None)).await?;
        for step in of(HostWave::Start, Some(Role::Server)) {
            self.carry_out_step(step).await?;
        }
        self.side_by_side(&of(HostWave::Start, Some(Role::Agent)))
            .await?;
        for step in of(HostWave::Settle, None) {
            self.carry_out_step(step).await?;
        }
        self.side_by_side(&of(HostWave::Check, None)).await
    }

    /// The role of the host that a step is for: to forget a node is for that node's sake.
    fn role_of(&self, step: &Step<HostAction>) -> Option<Role> {
        let name = match &step.action {
            HostAction::Forget { node, .. } => node,
            other => other.host(),
        };
        self.wanted(name).ok().map(|host| host.role)
    }

    /// The steps of each host one after the other, the hosts side by side. If one fails the others still end theirs.
    async fn side_by_side(&self, steps: &[&Step<HostAction>]) -> Result<(), BootstrapError> {
        let mut chains = BTreeMap::<&str, Vec<&Step<HostAction>>>::new();
        for step in steps {
            let name = match &step.action {
                HostAction::Forget { node, .. } => node.as_str(),
                other => other.host(),
            };
            chains.entry(name).or_default().push(step);
        }
        let carried = chains.into_values().map(|chain| async move {
            for step in chain {
                self.carry_out_step(step).await?;
            }
            Ok(())
        });
        join_all(carried).await.into_iter().collect()
    }

    async fn carry_out_step(&self, step: &Step<HostAction>) -> Result<(), BootstrapError> {
        if self.interrupt.is_pressed() {
            return Err(BootstrapError::Interrupted(format!(
                "before the step \"{}\"",
                step.name
            )));
        }
        self.observer.started(&*step.name);
        let outcome = tokio::select! {
            biased;
            outcome = self.act(step) => outcome,
            // Everything here is safe to be left where it is: files get their names when they are whole.
            () = self.interrupt.pressed() => Err(BootstrapError::Interrupted(format!(
                "in the step \"{}\", which is not done", step.name
            ))),
        };
        match &outcome {
            Ok(()) => self.observer.observe(Event::StepDone {
                step: step.name.clone(),
                changed: true,
                detail: (!step.detail.is_empty()).then(|| step.detail.clone()),
            }),
            Err(error) => self.observer.failed(&*step.name, error.in_short()),
        }
        outcome
    }

    async fn act(&self, step: &Step<HostAction>) -> Result<(), BootstrapError> {
        let host = self.host(step.action.host())?;
        match &step.action {
            HostAction::Claim { host: name } => self.claim(host, self.wanted(name)?).await,
            HostAction::PlaceBinary { .. } => self.place_binary(host, &step.name).await,
            HostAction::PlaceImages { host: name } => {
                self.place_images(host, self.facts(name)?, &step.name).await
            }
            HostAction::WriteConfiguration { host: name } => {
                self.configure(host, self.wanted(name)?, self.facts(name)?)
                    .await
            }
            HostAction::Forget { node, .. } => forget(host, node).await.map_err(Into::into),
            HostAction::Start { host: name } => {
                self.start(host, self.wanted(name)?, self.facts(name)?, &step.name)
                    .await
            }
            HostAction::FetchKubeconfig { host: name } => {
                let wanted = self.wanted(name)?;
                let fetched = fetch(host, &self.cluster.environment, &wanted.client).await?;
                fetched.keep(&self.kubeconfig)
            }
            HostAction::AwaitCluster { .. } => {
                let waiting = self.waiting(host, Role::Server, &step.name);
                waiting.cluster(with_dns(self.cluster)).await
            }
            HostAction::CheckImages { host: name } => {
                let waiting = self.waiting(host, self.wanted(name)?.role, &step.name);
                check_images(&waiting, self.cluster).await
            }
            HostAction::Remove { host: name } => match &self.facts(name)?.marker {
                Some(marker) => remove(host, marker).await.map_err(Into::into),
                None => Ok(()),
            },
        }
    }

    fn waiting<'a>(&'a self, host: &'a dyn Host, role: Role, step: &'a str) -> Waiting<'a> {
        Waiting {
            host,
            step,
            observer: self.observer,
            unit: role.unit(),
        }
    }

    fn host(&self, name: &str) -> Result<&dyn Host, BootstrapError> {
        self.hosts
            .get(name)
            .map(|host| &**host)
            .ok_or_else(|| BootstrapError::NoHost(name.to_owned()))
    }

    fn wanted(&self, name: &str) -> Result<&WantedHost, BootstrapError> {
        let found = self.cluster.hosts.iter().find(|host| host.name == name);
        found.ok_or_else(|| BootstrapError::NoHost(name.to_owned()))
    }

    fn facts(&self, name: &str) -> Result<&HostFacts, BootstrapError> {
        let found = self.seen.hosts.get(name);
        found.ok_or_else(|| BootstrapError::NoHost(name.to_owned()))
    }

    /// Writes the marker. How the host was is looked up once, before the first change.
    async fn claim(&self, host: &dyn Host, wanted: &WantedHost) -> Result<(), BootstrapError> {
        let old = self.facts(&wanted.name)?.marker.clone();
        let before = match old {
            Some(marker) => marker.before,
            None => look_before(host).await?,
        };
        let marker = Marker {
            environment: self.cluster.environment.clone(),
            host: wanted.name.clone(),
            role: wanted.role,
            before,
        };
        let text = serde_json::to_string(&marker).unwrap_or_default() + "\n";
        write_file(host, paths::MARKER, text.as_bytes(), Mode::Public).await?;
        Ok(())
    }

    async fn place_binary(&self, host: &dyn Host, step: &str) -> Result<(), BootstrapError> {
        let binary = &self.cluster.binary;
        let push = Push {
            from: &binary.path,
            sha256: &binary.sha256,
            to: paths::BINARY,
            mode: Mode::Program,
            step,
        };
        push_file(host, &push, self.observer).await?;
        Ok(())
    }

    async fn place_images(
        &self,
        host: &dyn Host,
        facts: &HostFacts,
        step: &str,
    ) -> Result<(), BootstrapError> {
        let mut names = Vec::new();
        for archive in &self.cluster.archives {
            let name = archive.name();
            if facts.images.get(&name) != Some(&archive.size) {
                let push = Push {
                    from: &archive.path,
                    sha256: &archive.sha256,
                    to: &format!("{}/{name}", paths::IMAGES),
                    mode: Mode::Public,
                    step,
                };
                push_file(host, &push, self.observer).await?;
            }
            names.push(name);
        }
        for old in unwanted_images(&names, facts) {
            crate::host::remove_file(host, &format!("{}/{old}", paths::IMAGES)).await?;
        }
        Ok(())
    }

    async fn configure(
        &self,
        host: &dyn Host,
        wanted: &WantedHost,
        facts: &HostFacts,
    ) -> Result<(), BootstrapError> {
        if lacks_agent_token(self.cluster, wanted, facts) {
            make_agent_token(host).await?;
        }
        for file in node_config(self.cluster, wanted, facts).files {
            if !file.differs(facts) {
                continue;
            }
            match &file.content {
                Some(content) => write_file(host, file.path, content.as_bytes(), file.mode).await?,
                None => crate::host::remove_file(host, file.path).await?,
            }
        }
        Ok(())
    }

    /// Writes the token and the unit, starts k3s if it is not running like this, and waits for its node.
    async fn start(
        &self,
        host: &dyn Host,
        wanted: &WantedHost,
        facts: &HostFacts,
        step: &str,
    ) -> Result<(), BootstrapError> {
        let first = self
            .cluster
            .first_server()
            .ok_or_else(|| BootstrapError::NoHost("server".to_owned()))?;
        let server = self.host(&first.name)?;
        let token = self.write_token(host, wanted, first, server).await?;
        let config = node_config(self.cluster, wanted, facts);
        let unit = config.unit(token.as_deref());
        let content = unit.content.unwrap_or_default();
        write_file(host, unit.path, content.as_bytes(), unit.mode).await?;
        // It answers at once: what takes long is waited for where it can be seen.
        let script = r#"set -e
systemctl daemon-reload
systemctl enable --quiet "$1"
pid=$(systemctl show -p MainPID --value "$1")
if [ "${pid:-0}" -gt 0 ] && tr '\0' '\n' < "/proc/$pid/environ" | grep -qxF "SHOPCTL_DIGEST=$2"; then
  systemctl start --no-block "$1"
else
  systemctl reset-failed "$1" 2>/dev/null || :
  systemctl restart --no-block "$1"
fi"#;
        let digest = config.digest(token.as_deref());
        let unit = wanted.role.unit();
        let command = Command::script("start k3s", script, [unit, &digest]).as_root();
        host.run_well(command).await?;
        let waiting = self.waiting(host, wanted.role, step);
        waiting.node(server, &wanted.name, wanted.role).await
    }

    /// The token that a host joins with comes from the first server and holds the digest of its authority, by which
    /// whoever joins knows it. Gives its SHA-256.
    async fn write_token(
        &self,
        host: &dyn Host,
        wanted: &WantedHost,
        first: &WantedHost,
        server: &dyn Host,
    ) -> Result<Option<String>, BootstrapError> {
        if wanted == first {
            return Ok(None);
        }
        let path = match wanted.role {
            Role::Agent => "/var/lib/rancher/k3s/server/agent-token",
            Role::Server => "/var/lib/rancher/k3s/server/token",
        };
        let token = read_file(server, path).await?.unwrap_or_default();
        if !token.starts_with(b"K10") || !token.windows(2).any(|two| two == b"::") {
            return Err(BootstrapError::Host(HostError::Unexpected {
                host: first.name.clone(),
                about: format!("read {path}"),
                reason: "it holds no full token, by which the server could be known".to_owned(),
            }));
        }
        let digest = sha256(&token);
        let there = self.facts(&wanted.name)?.files.get(paths::JOIN_TOKEN);
        if there.is_none_or(|file| file.sha256 != digest || file.mode != "600") {
            write_file(host, paths::JOIN_TOKEN, &token, Mode::Private).await?;
        }
        Ok(Some(digest))
    }
}

/// Whether the cluster has CoreDNS.
pub(super) fn with_dns(cluster: &WantedCluster) -> bool {
    !cluster
        .config
        .get("disable")
        .and_then(serde_json::Value::as_array)
        .is_some_and(|disabled| disabled.iter().any(|name| name == "coredns"))
}

async fn look_before(host: &dyn Host) -> Result<Before, HostError> {
    let about = "look how it is";
    let command = Command::script(about, LOOK_BEFORE, [] as [&str; 0]).as_root();
    let output = host.run_well(command).await?;
    serde_json::from_slice(&output.stdout).map_err(|error| HostError::Unexpected {
        host: host.name().to_owned(),
        about: about.to_owned(),
        reason: error.to_string(),
    })
}

/// The token for agents is made on the server, from its own randomness, and is seen by nobody else.
async fn make_agent_token(host: &dyn Host) -> Result<(), HostError> {
    let script = r#"set -eu
umask 077
[ -s "$1" ] || { od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$1.new"; sync -- "$1.new"; mv -f -- "$1.new" "$1"; }
chmod 0600 -- "$1""#;
    let command = Command::script("make the token for agents", script, [paths::AGENT_TOKEN]);
    host.run_well(command.as_root()).await.map(drop)
}

/// Takes a node out of the cluster, with the password by which the server knew its machine.
async fn forget(server: &dyn Host, node: &str) -> Result<(), HostError> {
    let script = r#"set -e
ask() { /usr/local/bin/k3s kubectl --cache-dir /run/k3s/kubectl-cache --request-timeout 20s "$@"; }
ask delete node "$1" --ignore-not-found --wait=false
ask -n kube-system delete secret "$1.node-password.k3s" --ignore-not-found"#;
    let command = Command::script(format!("forget the node {node}"), script, [node]);
    server
        .run_well(command.deadline(Duration::from_mins(1)).as_root())
        .await
        .map(drop)
}
