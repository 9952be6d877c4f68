//! What can be broken, what is expected then, and what the run is held to.

use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::environment::{DrillObjectives, DrillScenario, Environment, Target};
use crate::render::ProbeTimes;

use super::history::{Expected, FaultKind, Figure, Micros, Objective, Over};

/// How long a machine is away once its pods have been given up: for as long they run elsewhere, as far as they can.
const ELSEWHERE: Duration = Duration::from_mins(1);

/// What a scenario does and expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioPlan {
    /// Which.
    pub scenario: DrillScenario,
    /// Whom it hits.
    pub victims: Victims,
    /// What is done to them.
    pub fault: FaultKind,
    /// How long it lasts until the drill mends it; none: what is broken comes back by itself.
    pub lasts: Option<Duration>,
    /// What is expected, in words, fixed before the run.
    pub hypothesis: String,
    /// What the run is held to.
    pub objectives: Vec<Objective>,
    /// What must come of the fault.
    pub expected: Vec<Expected>,
    /// Whether its victim is to hang while it holds sale locks, and to go on when they are somebody else's.
    pub stale_locks: bool,
}

/// How soon a process that hangs is replaced, counted from when it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// If it is probed at once.
    pub earliest: Duration,
    /// If it was probed a moment before.
    pub latest: Duration,
}

impl Replaced {
    /// As a component's probe says. What has no probe is never replaced.
    pub fn of(environment: &Environment, catalogue: &Catalogue, component: &str) -> Option<Self> {
        let component = catalogue.get(component)?;
        let probe = component.probe.as_ref()?;
        let (interval, timeout, failures, grace) = match environment.target {
            Target::Local => (
                Duration::from_millis(probe.interval_milliseconds),
                Duration::from_millis(probe.timeout_milliseconds),
                probe.failures.max(1),
                Duration::ZERO,
            ),
            // Whoever hangs does not hear that it is to end.
            Target::K3s => {
                let times = ProbeTimes::of(probe);
                (
                    Duration::from_secs(times.period),
                    Duration::from_secs(times.timeout),
                    times.failures,
                    Duration::from_secs(times.grace),
                )
            }
        };
        Some(Self {
            earliest: timeout * failures + interval * (failures - 1),
            latest: (timeout + interval) * failures + grace,
        })
    }
}

/// Whom a scenario hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victims {
    /// The component.
    pub component: &'static str,
    /// Only those who say that they are this.
    pub role: Option<&'static str>,
    /// How many of them.
    pub count: Count,
}

/// How many of the candidates are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// One, drawn from the seed.
    One,
    /// So many that those who are left are no majority.
    Majority,
    /// All of them, within a moment.
    All,
}

impl Count {
    /// How many that are, of so many candidates.
    pub fn of(self, candidates: usize) -> usize {
        match self {
            Self::One => candidates.min(1),
            Self::Majority => candidates.div_ceil(2),
            Self::All => candidates,
        }
    }
}

impl ScenarioPlan {
    /// The plan of a scenario under an environment's objectives.
    pub fn new(scenario: DrillScenario, environment: &Environment, catalogue: &Catalogue) -> Self {
        let (component, role, count) = victims(scenario);
        let fault = fault(scenario);
        Self {
            scenario,
            victims: Victims {
                component,
                role,
                count,
            },
            fault,
            lasts: fault.hits_a_machine().then(|| outage(environment)),
            hypothesis: hypothesis(scenario).to_owned(),
            objectives: limits(
                scenario,
                &environment.objectives.drills,
                &Restart::of(environment, catalogue, component),
            ),
            expected: expected(scenario),
            stale_locks: scenario == DrillScenario::OrderHang,
        }
    }
}

/// Its name on the command line, in files and in reports.
pub fn name(scenario: DrillScenario) -> String {
    serde_json::to_value(scenario)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn victims(scenario: DrillScenario) -> (&'static str, Option<&'static str>, Count) {
    use DrillScenario as S;
    match scenario {
        S::RedisMaster | S::RedisMasterHang | S::RedisMasterDelete => {
            ("redis", Some("master"), Count::One)
        }
        S::RedisReplica | S::RedisReplicaHang => ("redis", Some("replica"), Count::One),
        S::RedisAll | S::RedisAllHang => ("redis", None, Count::All),
        S::Sentinel | S::SentinelHang => ("sentinel", None, Count::Majority),
        S::Postgres | S::PostgresHang | S::PostgresDelete => ("postgres", None, Count::One),
        S::Gateway | S::GatewayHang | S::GatewayDelete => ("gateway", None, Count::One),
        S::Auth | S::AuthHang | S::AuthDelete => ("auth", None, Count::One),
        S::Product | S::ProductHang | S::ProductDelete => ("product", None, Count::One),
        S::Order | S::OrderHang | S::OrderDelete => ("order", None, Count::One),
        S::Node | S::Partition => ("host", None, Count::One),
    }
}

/// What a scenario does to its victims.
pub fn fault(scenario: DrillScenario) -> FaultKind {
    use DrillScenario as S;
    match scenario {
        S::RedisMasterDelete
        | S::PostgresDelete
        | S::GatewayDelete
        | S::AuthDelete
        | S::ProductDelete
        | S::OrderDelete => FaultKind::Delete,
        S::Node => FaultKind::PowerOff,
        S::Partition => FaultKind::Unplug,
        _ if is_hang(scenario) => FaultKind::Stop,
        _ => FaultKind::Kill,
    }
}

/// Whether processes are stopped instead of killed.
pub fn is_hang(scenario: DrillScenario) -> bool {
    use DrillScenario as S;
    matches!(
        scenario,
        S::RedisMasterHang
            | S::RedisReplicaHang
            | S::RedisAllHang
            | S::SentinelHang
            | S::PostgresHang
            | S::GatewayHang
            | S::AuthHang
            | S::ProductHang
            | S::OrderHang
    )
}

fn hypothesis(scenario: DrillScenario) -> &'static str {
    use DrillScenario as S;
    match scenario {
        S::RedisMaster => {
            "The Sentinels promote a replica. Orders go on meanwhile: Redis never decides one."
        }
        S::RedisMasterHang => {
            "A master that hangs is replaced like one that died, and follows the new one when it comes back."
        }
        S::RedisReplica | S::RedisReplicaHang => {
            "Nobody notices: the master stays, and one replica is enough for its writes."
        }
        S::RedisAll | S::RedisAllHang => {
            "Without any Redis orders are still right: locks and limits are gone for a while, stock is not."
        }
        S::Sentinel | S::SentinelHang => {
            "Orders go on. Until a majority of Sentinels is back, no failover is possible; nothing needs one."
        }
        S::Postgres => {
            "Orders pause: nothing is acknowledged that is not committed. What was acknowledged is there afterwards."
        }
        S::PostgresHang => {
            "All of the server hangs, and orders with it, until its probes have failed and the supervisor replaces it: what \
             was acknowledged is there afterwards."
        }
        S::Gateway => {
            "The other gateway takes over on the same port. A client that repeats a broken request once loses nothing."
        }
        S::GatewayHang => {
            "Connections to the gateway that hangs wait until it is replaced; the other one goes on serving."
        }
        S::Auth | S::AuthHang => {
            "The other auth process logs people in. Orders go on: tokens are verified without asking anybody."
        }
        S::Product | S::ProductHang => {
            "The other product process serves the catalogue. Orders go on: stock is taken in Postgres."
        }
        S::Order => {
            "The other order process takes the orders. Open keys are settled by asking again."
        }
        S::OrderHang => {
            "The other order process takes the orders. When the one that hung comes back, its locks are no longer its own \
             and Postgres has decided without it."
        }
        S::RedisMasterDelete => {
            "The master ends in an orderly way, the Sentinels promote a replica, and the pod that takes its place follows. \
             Orders go on meanwhile."
        }
        S::PostgresDelete => {
            "Orders pause until the pod is back on its volume. What was acknowledged is there afterwards."
        }
        S::GatewayDelete | S::AuthDelete | S::ProductDelete | S::OrderDelete => {
            "The pod ends what it has begun, the other one takes what comes, and a new one takes its place: as in every \
             rollout, no request is lost."
        }
        S::Node => {
            "Everything on a host is gone at once. Orders are right whatever it takes with it; services run on where they \
             are left, and data is back with the host. How long that takes is measured, not promised."
        }
        S::Partition => {
            "A host runs on that nobody reaches, and its pods are made again elsewhere. When it is back nothing has been \
             sold by two. How long orders are away is measured, not promised."
        }
    }
}

/// How long a machine is away: until Kubernetes has given up its pods, and for a while after that.
fn outage(environment: &Environment) -> Duration {
    let loss = &environment.k3s.node_loss;
    loss.grace.to_std() + Duration::from_secs(loss.toleration_seconds.into()) + ELSEWHERE
}

fn expected(scenario: DrillScenario) -> Vec<Expected> {
    use DrillScenario as S;
    let mut expected = match scenario {
        S::RedisMaster | S::RedisMasterHang | S::RedisMasterDelete => vec![Expected::AnotherMaster],
        S::Postgres | S::PostgresHang | S::PostgresDelete => {
            vec![Expected::PostgresStartedAgain]
        }
        S::Sentinel | S::SentinelHang => vec![Expected::NoFailoverPossible],
        _ => Vec::new(),
    };
    // The order process that hangs with locks is woken by the drill itself.
    if is_hang(scenario) && scenario != S::OrderHang {
        expected.push(Expected::Replaced);
    }
    expected
}

/// How long a Redis that is told to end waits at most until its replicas have what it has, and takes no writes: the
/// `shutdown-timeout` of its template.
const REDIS_ENDS: Micros = 5_000_000;

/// What a target takes before a component works again.
struct Restart {
    /// Until whoever hangs is replaced.
    noticed: Micros,
    /// For a pod.
    pod: Micros,
    /// Because it is far away.
    delay: Micros,
}

impl Restart {
    fn of(environment: &Environment, catalogue: &Catalogue, component: &str) -> Self {
        let limits = &environment.objectives.drills;
        let noticed = Replaced::of(environment, catalogue, component)
            .map_or(0, |replaced| replaced.latest.as_micros());
        let in_cluster = |duration: crate::value::Duration| match environment.target {
            Target::Local => 0,
            Target::K3s => duration.milliseconds().saturating_mul(1000),
        };
        Self {
            noticed: Micros::try_from(noticed).unwrap_or(Micros::MAX),
            pod: in_cluster(limits.pod_restart),
            delay: in_cluster(limits.cluster_delay),
        }
    }
}

fn limits(scenario: DrillScenario, limits: &DrillObjectives, restart: &Restart) -> Vec<Objective> {
    use DrillScenario as S;
    let micros = |duration: crate::value::Duration| {
        let micros = duration.milliseconds().saturating_mul(1000);
        micros.saturating_add(restart.delay)
    };
    let at_most = |figure, limit| Objective {
        figure,
        limit,
        over: Over::EachRun,
    };
    // Which Sentinel asks first, and when, is chance: one run says little about the time that a failover takes.
    let writable = Objective {
        over: Over::Median,
        ..at_most(Figure::Writable, micros(limits.redis_writable))
    };
    let redis_gap = at_most(Figure::OrderGap, micros(limits.redis_order_gap));
    let service_gap = at_most(Figure::OrderGap, micros(limits.service_order_gap));
    let no_failed_order = at_most(Figure::FailedOrders, 0);
    match scenario {
        S::RedisMaster => vec![writable, no_failed_order, redis_gap],
        // It ends when its pod is told to, and not before its replicas have what it has.
        S::RedisMasterDelete => {
            let limit = writable.limit.saturating_add(REDIS_ENDS);
            vec![Objective { limit, ..writable }, no_failed_order, redis_gap]
        }
        S::RedisMasterHang
        | S::RedisReplica
        | S::RedisReplicaHang
        | S::Sentinel
        | S::SentinelHang => {
            vec![no_failed_order, redis_gap]
        }
        // A session that was about to commit when the server was killed may still do so: the first order says little.
        S::Postgres | S::PostgresDelete => vec![at_most(
            Figure::OrderGap,
            micros(limits.postgres_back).saturating_add(restart.pod),
        )],
        // The same, from when its probes have failed.
        S::PostgresHang => {
            let back = micros(limits.postgres_back).saturating_add(restart.pod);
            vec![at_most(
                Figure::OrderGap,
                restart.noticed.saturating_add(back),
            )]
        }
        // These are held to what is always true, and to being well again in time.
        S::RedisAll
        | S::RedisAllHang
        | S::GatewayHang
        | S::OrderHang
        | S::ProductHang
        | S::AuthHang
        | S::Node
        | S::Partition => Vec::new(),
        S::Gateway | S::GatewayDelete | S::OrderDelete => vec![no_failed_order, service_gap],
        S::AuthDelete => vec![
            at_most(Figure::FailedLogins, 0),
            no_failed_order,
            service_gap,
        ],
        S::ProductDelete => vec![
            at_most(Figure::FailedReads, 0),
            no_failed_order,
            service_gap,
        ],
        S::Auth | S::Product | S::Order => vec![service_gap],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(file: &str) -> (Catalogue, Environment) {
        let catalogue = crate::project::Project::at("/nowhere").catalogue().unwrap();
        let file = crate::environment::EnvironmentFile::parse(
            "shop.yaml",
            file.as_bytes(),
            "shop",
            &catalogue,
        )
        .unwrap();
        (catalogue, file.environment().clone())
    }

    #[test]
    fn every_scenario_has_a_name_a_hypothesis_and_somebody_to_hit() {
        let (catalogue, environment) = shop(
            "target: k3s\nhosts: { a: { address: 192.0.2.1 } }\ningress: { host: shop.example.com }\n",
        );
        for scenario in DrillScenario::ALL {
            let plan = ScenarioPlan::new(scenario, &environment, &catalogue);
            assert!(!name(scenario).is_empty());
            assert!(plan.hypothesis.ends_with('.'), "{}", plan.hypothesis);
            assert_eq!(
                name(scenario).ends_with("-hang"),
                plan.fault == FaultKind::Stop
            );
            assert!(plan.victims.count.of(3) > 0);
            // 20 s until the host counts as gone, 10 s until its pods are given up.
            let outage = plan.fault.hits_a_machine().then_some(90);
            assert_eq!(plan.lasts.map(|lasts| lasts.as_secs()), outage);
        }
    }

    #[test]
    fn what_hangs_is_replaced_when_its_probes_have_failed() {
        let (catalogue, environment) = shop("target: local\n");
        let replaced = Replaced::of(&environment, &catalogue, "order").unwrap();
        assert_eq!(replaced.earliest, Duration::from_secs(14));
        assert_eq!(replaced.latest, Duration::from_secs(15));
        let plan = ScenarioPlan::new(DrillScenario::PostgresHang, &environment, &catalogue);
        assert_eq!(plan.objectives[0].limit, 20_000_000);
    }

    #[test]
    fn a_majority_leaves_no_majority() {
        assert_eq!(Count::Majority.of(3), 2);
        assert_eq!(Count::Majority.of(5), 3);
        assert_eq!(Count::One.of(0), 0);
        assert_eq!(Count::All.of(3), 3);
    }
}
