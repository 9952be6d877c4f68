//! A cluster: instances are pods, whose containers are signaled on their hosts, and machines lose power or network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::{Instant, sleep};

use super::{Clock, Ground, Hit, Instance, Struck, Victim, chosen, no_victim, strike_of};
use crate::catalogue::Catalogue;
use crate::cluster::{Cluster, PodWatch, text};
use crate::drill::error::DrillError;
use crate::drill::history::{FaultKind, Seen};
use crate::drill::scenario::{Victims, fault};
use crate::environment::{DrillScenario, Environment, HostRole};
use crate::host::Host;
use crate::load::machine;
use crate::report::Software;
use crate::shop::{RedisAccess, ServerRole, StaleReleases};
use crate::target::k3s::{
    Container, Machine, NAMESPACE, Outages, PodInstance, Slots, Taken, Tunnel,
};
use crate::target::local::Strike;

/// How long the shop may take to be whole: a pod that fails again and again is started less and less often, and a machine
/// that was away has to boot.
const PATIENCE: Duration = Duration::from_mins(4);
/// How long the API server may take to say that a pod is to end.
const UNTIL_TOLD: Duration = Duration::from_secs(5);
/// How long pods that are made anew may take to be gone.
const UNTIL_NEW: Duration = Duration::from_mins(1);
/// After so long without an end the kubelet starts a container at once again.
const FORGIVEN: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The pods of a cluster and its machines.
pub struct ClusterGround {
    cluster: Cluster,
    watch: Arc<PodWatch>,
    slots: Arc<Mutex<Slots>>,
    environment: Environment,
    catalogue: Catalogue,
    redis: RedisAccess,
    hosts: BTreeMap<String, Arc<dyn Host>>,
    outages: Outages,
    /// Kept open for as long as somebody asks through them.
    tunnels: Mutex<Vec<Tunnel>>,
}

/// What a ground in a cluster is made of.
pub struct ClusterGrounds<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The environment.
    pub environment: &'a Environment,
    /// The components.
    pub catalogue: &'a Catalogue,
    /// Redis, as it is reached from here.
    pub redis: &'a RedisAccess,
    /// The hosts by the names of their nodes.
    pub hosts: BTreeMap<String, Arc<dyn Host>>,
    /// What breaks machines.
    pub outages: Outages,
}

impl ClusterGround {
    /// Begins to watch a cluster.
    pub async fn watch(of: ClusterGrounds<'_>) -> Result<Self, DrillError> {
        let watch = PodWatch::start(of.cluster, NAMESPACE).await?;
        Ok(Self {
            cluster: of.cluster.clone(),
            watch: Arc::new(watch),
            slots: Arc::default(),
            environment: of.environment.clone(),
            catalogue: of.catalogue.clone(),
            redis: of.redis.clone(),
            hosts: of.hosts,
            outages: of.outages,
            tunnels: Mutex::default(),
        })
    }

    fn pods(&self) -> Vec<PodInstance> {
        let replicas: BTreeMap<&str, usize> = self
            .environment
            .enabled()
            .map(|(name, settings)| {
                let replicas = usize::try_from(settings.replicas).unwrap_or(usize::MAX);
                (name.as_str(), replicas)
            })
            .collect();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.instances(&self.watch.pods(), &replicas)
    }

    /// What the servers of Redis say that they are, by instance.
    async fn roles(&self) -> BTreeMap<String, &'static str> {
        let asked = self.redis.servers().iter().map(|server| async {
            let role = match self.redis.role(server).await? {
                ServerRole::Master => "master",
                ServerRole::Replica { .. } => "replica",
            };
            let name = server.split(['.', ':']).next().unwrap_or_default();
            Some((name.to_owned(), role))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn victim(&self, pod: PodInstance, kind: FaultKind) -> Result<PodVictim, DrillError> {
        let lost = |reason: String| DrillError::NoProcess {
            instance: pod.instance.clone(),
            reason,
        };
        let container = if kind == FaultKind::Delete {
            None
        } else {
            let node = pod.node().unwrap_or_default();
            let host = self
                .hosts
                .get(node)
                .ok_or_else(|| lost(format!("`hosts` names no node {node}")))?;
            let id = pod
                .container()
                .ok_or_else(|| lost("its container does not run".to_owned()))?;
            Some(Container::find(Arc::clone(host), id).await.map_err(lost)?)
        };
        Ok(PodVictim {
            cluster: self.cluster.clone(),
            watch: Arc::clone(&self.watch),
            container,
            others: 0,
            is_stopped: false,
            pod,
        })
    }

    async fn pod_victims(
        &self,
        whom: Victims,
        kind: FaultKind,
        draw: &(dyn Fn(u64) -> u64 + Send + Sync),
    ) -> Result<Vec<Box<dyn Victim>>, DrillError> {
        let mut candidates = self.pods();
        candidates.retain(|one| one.component == whom.component && one.process.is_some());
        if let Some(wanted) = whom.role {
            let roles = self.roles().await;
            candidates.retain(|one| roles.get(&one.instance) == Some(&wanted));
        }
        let mut victims: Vec<Box<dyn Victim>> = Vec::new();
        for pod in chosen(candidates, whom, draw) {
            victims.push(Box::new(self.victim(pod, kind).await?));
        }
        if victims.is_empty() {
            return Err(no_victim(whom));
        }
        Ok(victims)
    }

    /// An agent that can be broken in this way and on which something runs, with all of that.
    fn machine_victim(
        &self,
        whom: Victims,
        kind: FaultKind,
        draw: &(dyn Fn(u64) -> u64 + Send + Sync),
    ) -> Result<Vec<Box<dyn Victim>>, DrillError> {
        let pods = self.pods();
        let candidates: Vec<(Machine, Vec<Hit>)> = machines(&self.environment, kind)?
            .into_iter()
            .map(|machine| (hits(&pods, &machine.name), machine))
            .filter(|(hits, _)| !hits.is_empty())
            .map(|(hits, machine)| (machine, hits))
            .collect();
        let drawn = chosen(candidates, whom, draw).into_iter().next();
        let (machine, hits) = drawn.ok_or_else(|| no_victim(whom))?;
        Ok(vec![Box::new(MachineVictim {
            outages: self.outages.clone(),
            is_broken: None,
            machine,
            hits,
        })])
    }
}

/// Whether a scenario can take place in an environment: for a machine there must be commands that break it.
pub fn can_break(environment: &Environment, scenario: DrillScenario) -> Result<(), DrillError> {
    let kind = fault(scenario);
    if kind.hits_a_machine() {
        machines(environment, kind)?;
    }
    Ok(())
}

/// The agents that can be broken in this way.
fn machines(environment: &Environment, kind: FaultKind) -> Result<Vec<Machine>, DrillError> {
    let taken = taken(kind);
    let machines: Vec<Machine> = environment
        .hosts
        .iter()
        .filter(|(_, host)| host.role == HostRole::Agent)
        .filter_map(|(name, _)| Machine::of(environment, name.as_str(), taken))
        .collect();
    if machines.is_empty() {
        return Err(DrillError::NoMachine {
            commands: match taken {
                Taken::Power => "`faults.powerOff` and `faults.powerOn`",
                Taken::Network => "`faults.unplug` and `faults.plug`",
            },
        });
    }
    Ok(machines)
}

/// What runs on a node.
fn hits(pods: &[PodInstance], node: &str) -> Vec<Hit> {
    pods.iter()
        .filter(|pod| pod.node() == Some(node))
        .filter_map(|pod| {
            Some(Hit {
                process: pod.process.clone()?,
                instance: pod.instance.clone(),
                others: Vec::new(),
            })
        })
        .collect()
}

fn taken(kind: FaultKind) -> Taken {
    match kind {
        FaultKind::Unplug | FaultKind::Plug => Taken::Network,
        _ => Taken::Power,
    }
}

impl Ground for ClusterGround {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// A container that ended lately is started again only after a pause, which doubles each time: the next drill would
    /// measure how often there was one before. A new pod is started at once. One pod at a time.
    fn prepare(&self) -> BoxFuture<'_, Result<Option<String>, DrillError>> {
        Box::pin(async {
            let ended = self.pods().into_iter().find_map(|one| {
                let pod = one.pod.clone()?;
                one.was_restarted_since(FORGIVEN).then_some((one, pod))
            });
            let Some((one, pod)) = ended else {
                return Ok(None);
            };
            self.cluster.delete(&pod).await?;
            let uid = text(&pod, "/metadata/uid").unwrap_or_default();
            let deadline = Instant::now() + UNTIL_NEW;
            while self.watch.pod(uid).is_some() && Instant::now() < deadline {
                sleep(LOOK_EVERY).await;
            }
            Ok(Some(format!(
                "the pod of {} was made anew before, so that Kubernetes would not let it wait for its last kill",
                one.instance
            )))
        })
    }

    fn instances(&self) -> BoxFuture<'_, Result<Vec<Instance>, DrillError>> {
        Box::pin(async { Ok(self.pods().into_iter().map(instance).collect()) })
    }

    /// Only their hosts could tell.
    fn hanging(&self) -> BoxFuture<'_, Result<Vec<String>, DrillError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn victims<'a>(
        &'a self,
        whom: Victims,
        kind: FaultKind,
        draw: &'a (dyn Fn(u64) -> u64 + Send + Sync),
    ) -> BoxFuture<'a, Result<Vec<Box<dyn Victim>>, DrillError>> {
        Box::pin(async move {
            if kind.hits_a_machine() {
                self.machine_victim(whom, kind, draw)
            } else {
                self.pod_victims(whom, kind, draw).await
            }
        })
    }

    fn stale_releases<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Option<StaleReleases>> {
        Box::pin(async move {
            let (component, port) = StaleReleases::TOLD_BY;
            let port = *self
                .environment
                .components
                .get(component)?
                .ports
                .get(port)?;
            let pods = self.pods();
            let pod = pods.iter().find(|pod| pod.instance == instance)?;
            let name = text(pod.pod.as_ref()?, "/metadata/name")?;
            let tunnel = Tunnel::to_pod(&self.cluster, NAMESPACE, name, port)
                .await
                .ok()?;
            let releases = StaleReleases::on_port(tunnel.address().port());
            let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
            tunnels.push(tunnel);
            releases
        })
    }

    /// Hosts are given back what they lack before anybody asks the cluster, and Kubernetes replaces what hangs.
    fn heal(&self) -> BoxFuture<'_, Result<Vec<String>, DrillError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn software(&self, k6: Option<String>) -> BoxFuture<'_, (Software, Vec<String>)> {
        Box::pin(async {
            let software = machine::software_elsewhere(&self.catalogue, k6);
            let environment = &self.environment;
            let images: Vec<String> = ["postgres", "redis"]
                .iter()
                .filter_map(|name| environment.components.get(*name)?.image.clone())
                .collect();
            let note = format!(
                "k3s {} on {} hosts, images {}",
                environment.k3s.version,
                environment.hosts.len(),
                images.join(" and ")
            );
            (software, vec![note])
        })
    }
}

fn instance(pod: PodInstance) -> Instance {
    Instance {
        trouble: (!pod.ready).then(|| match pod.state {
            "running" => "does not answer".to_owned(),
            state => state.to_owned(),
        }),
        given_up: false,
        instance: pod.instance.clone(),
        seen: Seen::Instance {
            instance: pod.instance,
            state: pod.state.to_owned(),
            ready: pod.ready,
            role: None,
            pid: None,
            process: pod.process,
            restarts: pod.replaced,
            last_exit: pod.last_exit,
        },
    }
}

/// A pod and its container.
struct PodVictim {
    cluster: Cluster,
    watch: Arc<PodWatch>,
    pod: PodInstance,
    container: Option<Container>,
    others: u32,
    is_stopped: bool,
}

impl PodVictim {
    /// The pod as the API server has it now; none if it is gone.
    fn now(&self) -> Option<Arc<serde_json::Value>> {
        self.watch
            .pod(text(self.pod.pod.as_ref()?, "/metadata/uid")?)
    }

    async fn delete(&self) -> Result<String, String> {
        let pod = self.pod.pod.as_ref().ok_or("there is no pod")?;
        // Who ended before was ended by somebody else.
        match self.now() {
            None => return Err("the pod was gone before".to_owned()),
            Some(pod) if text(&pod, "/metadata/deletionTimestamp").is_some() => {
                return Err("somebody else had ended the pod before".to_owned());
            }
            Some(_) => {}
        }
        self.cluster
            .delete(pod)
            .await
            .map_err(|error| error.to_string())?;
        let deadline = Instant::now() + UNTIL_TOLD;
        loop {
            match self.now() {
                None => return Ok("the API server has no such pod any more".to_owned()),
                Some(pod) => {
                    if let Some(at) = text(&pod, "/metadata/deletionTimestamp") {
                        return Ok(format!("the API server says that it ends by {at}"));
                    }
                }
            }
            if Instant::now() >= deadline {
                return Err("the API server does not say that it ends".to_owned());
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Victim for PodVictim {
    fn name(&self) -> String {
        self.pod.instance.clone()
    }

    fn hits(&self) -> Vec<Hit> {
        let others = (0..self.others).map(|_| "of the same container".to_owned());
        vec![Hit {
            instance: self.pod.instance.clone(),
            process: self.pod.process.clone().unwrap_or_default(),
            others: others.collect(),
        }]
    }

    fn strike<'a>(&'a mut self, kind: FaultKind, clock: Clock<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            // What comes of it must not be seen before it: the order is what counts, and not that it was carried out.
            let at = clock();
            let (Some(container), Some(strike)) = (&self.container, strike_of(kind)) else {
                let deleted = self.delete().await;
                return Struck {
                    at,
                    confirmed: deleted.is_ok(),
                    evidence: deleted.unwrap_or_else(|reason| reason),
                };
            };
            // Whoever gives up now has to let it go on all the same.
            self.is_stopped |= strike == Strike::Stop;
            let (seen, others) = container.strike(strike).await;
            let took = clock().saturating_sub(at) / 1_000;
            self.is_stopped &= strike == Strike::Stop || !seen.confirmed;
            if strike != Strike::Kill {
                self.others = others;
            }
            Struck {
                at,
                confirmed: seen.confirmed,
                evidence: format!("{}, {took} ms after the order", seen.evidence),
            }
        })
    }

    fn is_broken(&self) -> bool {
        let runs_still = || {
            let pod = self.now()?;
            let status = crate::cluster::list(&pod, "/status/containerStatuses").first()?;
            status.pointer("/state/running")?;
            Some(text(status, "/containerID")?.ends_with(self.pod.container()?))
        };
        self.is_stopped && runs_still().unwrap_or(false)
    }

    /// A pod that is deleted lingers until nobody sends it anything.
    fn is_ending(&self) -> bool {
        self.container.is_none() && self.now().is_some()
    }

    /// Its host has to be asked; if nobody does, Kubernetes replaces it when its probes have failed.
    fn mend_at_once(&mut self, _: Clock<'_>) -> Option<Struck> {
        None
    }
}

/// A machine, and everything that runs on it.
struct MachineVictim {
    machine: Machine,
    outages: Outages,
    hits: Vec<Hit>,
    is_broken: Option<Taken>,
}

impl Victim for MachineVictim {
    fn name(&self) -> String {
        format!("the host {}", self.machine.name)
    }

    fn hits(&self) -> Vec<Hit> {
        self.hits.clone()
    }

    fn strike<'a>(&'a mut self, kind: FaultKind, clock: Clock<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let taken = taken(kind);
            let at = clock();
            let outcome = if kind.mends() {
                let outcome = self.outages.give_back(&self.machine, taken).await;
                if outcome.is_ok() {
                    self.is_broken = None;
                }
                outcome
            } else if let Err(reason) = self.outages.can_see(&self.machine).await {
                Err(reason)
            } else {
                // Also if it only seems to have failed.
                self.is_broken = Some(taken);
                self.outages.take(&self.machine, taken).await
            };
            Struck {
                at,
                confirmed: outcome.is_ok(),
                evidence: outcome.unwrap_or_else(|reason| reason),
            }
        })
    }

    fn is_broken(&self) -> bool {
        self.is_broken.is_some()
    }

    /// What has to be given back is noted; `--heal` and `up` read it.
    fn mend_at_once(&mut self, _: Clock<'_>) -> Option<Struck> {
        None
    }
}
