//! This machine: instances are processes that the supervisor keeps running.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::{Clock, Ground, Hit, Instance, Struck, chosen, no_victim, strike_of};
use crate::catalogue::Catalogue;
use crate::drill::error::DrillError;
use crate::drill::history::{FaultKind, Seen};
use crate::drill::scenario::Victims;
use crate::environment::Environment;
use crate::load::machine;
use crate::report::Software;
use crate::shop::StaleReleases;
use crate::supervisor::{Client, InstanceState, InstanceStatus};
use crate::target::local::{Strike, Victim, wake};

/// How long the shop may take to be whole: a process that hangs is replaced after a quarter of a minute, and a Redis
/// that comes back loads its data and is found by the Sentinels.
const PATIENCE: Duration = Duration::from_mins(1);
/// A process that was told to go on does so at once; this is for one that the kernel holds.
const UNTIL_IT_GOES_ON: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The processes of a supervisor.
pub struct LocalGround {
    run_dir: PathBuf,
    environment: Environment,
    catalogue: Catalogue,
    client: Mutex<Option<Client>>,
}

impl LocalGround {
    /// Those of the supervisor in a folder.
    pub fn new(run_dir: &Path, environment: &Environment, catalogue: &Catalogue) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            environment: environment.clone(),
            catalogue: catalogue.clone(),
            client: Mutex::default(),
        }
    }

    /// What the supervisor says, over a connection that is kept.
    async fn status(&self) -> Result<Vec<InstanceStatus>, DrillError> {
        let mut kept = self.client.lock().await;
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(&self.run_dir).await?,
        };
        let status = if let Ok(status) = client.status().await {
            status
        } else {
            // The one that was kept may have been closed meanwhile.
            client = Client::connect(&self.run_dir).await?;
            client.status().await?
        };
        *kept = Some(client);
        Ok(status.instances)
    }
}

impl Ground for LocalGround {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn prepare(&self) -> BoxFuture<'_, Result<Option<String>, DrillError>> {
        Box::pin(async { Ok(None) })
    }

    fn instances(&self) -> BoxFuture<'_, Result<Vec<Instance>, DrillError>> {
        Box::pin(async {
            let status = self.status().await?;
            Ok(status.into_iter().map(instance).collect())
        })
    }

    fn hanging(&self) -> BoxFuture<'_, Result<Vec<String>, DrillError>> {
        Box::pin(async {
            let status = self.status().await?;
            let stopped = status.iter().filter_map(Victim::with_descendants);
            Ok(stopped
                .filter(Victim::is_stopped)
                .map(|victim| victim.instance)
                .collect())
        })
    }

    fn victims<'a>(
        &'a self,
        whom: Victims,
        _: FaultKind,
        draw: &'a (dyn Fn(u64) -> u64 + Send + Sync),
    ) -> BoxFuture<'a, Result<Vec<Box<dyn super::Victim>>, DrillError>> {
        Box::pin(async move {
            let mut candidates = self.status().await?;
            candidates.retain(|instance| {
                instance.component == whom.component
                    && whom
                        .role
                        .is_none_or(|role| instance.role.as_deref() == Some(role))
            });
            candidates.sort_by(|one, two| one.instance.cmp(&two.instance));
            let victims: Vec<Box<dyn super::Victim>> = chosen(candidates, whom, draw)
                .iter()
                .filter_map(Victim::of)
                .map(|victim| Box::new(LocalVictim(victim)) as Box<dyn super::Victim>)
                .collect();
            if victims.is_empty() {
                return Err(no_victim(whom));
            }
            Ok(victims)
        })
    }

    fn stale_releases<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Option<StaleReleases>> {
        Box::pin(async move { StaleReleases::of(&self.environment, instance) })
    }

    fn heal(&self) -> BoxFuture<'_, Result<Vec<String>, DrillError>> {
        Box::pin(async { Ok(wake(&self.status().await?)) })
    }

    fn software(&self, k6: Option<String>) -> BoxFuture<'_, (Software, Vec<String>)> {
        Box::pin(async {
            let (software, differs) =
                machine::software_of_the_shop(&self.catalogue, k6, &self.run_dir).await;
            (software, differs.into_iter().collect())
        })
    }
}

fn instance(status: InstanceStatus) -> Instance {
    let trouble = match status.state {
        _ if status.ready => None,
        InstanceState::Running => Some("does not answer"),
        InstanceState::Starting => Some("starts"),
        InstanceState::Failed => Some("failed"),
        InstanceState::Stopped => Some("was stopped"),
    };
    let state = serde_json::to_value(status.state)
        .ok()
        .and_then(|state| state.as_str().map(str::to_owned));
    Instance {
        instance: status.instance.clone(),
        trouble: trouble.map(str::to_owned),
        given_up: status.state == InstanceState::Stopped,
        seen: Seen::Instance {
            instance: status.instance,
            state: state.unwrap_or_default(),
            ready: status.ready,
            role: status.role,
            pid: status.pid,
            process: None,
            restarts: status.restarts,
            last_exit: status.last_exit.map(|exit| exit.to_string()),
        },
    }
}

/// A process and its descendants.
struct LocalVictim(Victim);

impl super::Victim for LocalVictim {
    fn name(&self) -> String {
        self.0.instance.clone()
    }

    fn hits(&self) -> Vec<Hit> {
        vec![Hit {
            instance: self.0.instance.clone(),
            process: self.0.name(),
            others: self.0.others(),
        }]
    }

    fn strike<'a>(&'a mut self, kind: FaultKind, clock: Clock<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let Some(strike) = strike_of(kind) else {
                return Struck {
                    at: clock(),
                    confirmed: false,
                    evidence:
                        "a process of this machine has neither a pod nor a machine of its own"
                            .to_owned(),
                };
            };
            let sent = self.0.strike(strike);
            let at = clock();
            match sent {
                Ok(()) => {
                    let struck = self.0.confirm(strike).await;
                    Struck {
                        at,
                        confirmed: struck.confirmed,
                        evidence: struck.evidence,
                    }
                }
                Err(evidence) => Struck {
                    at,
                    confirmed: false,
                    evidence,
                },
            }
        })
    }

    fn is_broken(&self) -> bool {
        self.0.is_stopped()
    }

    fn mend_at_once(&mut self, clock: Clock<'_>) -> Option<Struck> {
        if !self.0.is_stopped() {
            return None;
        }
        let sent = self.0.strike(Strike::Continue);
        let at = clock();
        let deadline = std::time::Instant::now() + UNTIL_IT_GOES_ON;
        let mut seen = self.0.look(Strike::Continue);
        while sent.is_ok() && !seen.confirmed && std::time::Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
            seen = self.0.look(Strike::Continue);
        }
        Some(match sent {
            Ok(()) => Struck {
                at,
                confirmed: seen.confirmed,
                evidence: seen.evidence,
            },
            Err(evidence) => Struck {
                at,
                confirmed: false,
                evidence,
            },
        })
    }
}

#[cfg(test)]
pub(in crate::drill) mod tests {
    use std::process::{Child, Command};

    use time::OffsetDateTime;

    use super::*;

    /// A process to break.
    pub(in crate::drill) fn sleeper() -> (Child, Box<dyn super::super::Victim>) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let status = InstanceStatus {
            component: "sleeper".to_owned(),
            instance: "sleeper-0".to_owned(),
            role: None,
            state: InstanceState::Running,
            ready: true,
            address: String::new(),
            pid: i32::try_from(child.id()).ok(),
            restarts: 0,
            since: OffsetDateTime::now_utc(),
            spec_hash: None,
            last_exit: None,
            last_probe: None,
        };
        let victim = Victim::of(&status).unwrap();
        (child, Box::new(LocalVictim(victim)))
    }
}
