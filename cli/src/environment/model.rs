//! The types of an environment. Every field has a default; the parts that depend on the catalogue have theirs there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Autoscaling, Host, Ingress, K3s, Registry};
use crate::catalogue::Resources;
use crate::value::{ComponentName, Duration, EnvironmentName, HostName, Quantity};

/// A complete and valid environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Its name: of its state folder, and of everything that is made for it.
    pub name: EnvironmentName,
    /// Where it runs.
    pub target: Target,
    /// Destructive commands and proofs refuse unless the name is repeated.
    pub protected: bool,
    /// Every server and service of the catalogue, also those that are not enabled.
    pub components: BTreeMap<ComponentName, ComponentSettings>,
    /// The machines of a cluster, by the names of its nodes; none on `local`.
    pub hosts: BTreeMap<HostName, Host>,
    /// The cluster; on `local` it says nothing.
    pub k3s: K3s,
    /// The registry that the services' image goes through, if it is not put on the hosts.
    pub registry: Option<Registry>,
    /// How the shop is reached from outside.
    pub ingress: Ingress,
    /// Where secrets come from.
    pub secrets: Secrets,
    /// What the shop sells to begin with.
    pub seed: Seed,
    /// What the proofs hold the shop to.
    pub objectives: Objectives,
    /// Kinds of load, by name.
    pub load_profiles: BTreeMap<String, LoadProfile>,
    /// Kinds of drill, by name.
    pub drill_profiles: BTreeMap<String, DrillProfile>,
}

impl Environment {
    /// The components that are to run, in the order of their names.
    pub fn enabled(&self) -> impl Iterator<Item = (&ComponentName, &ComponentSettings)> {
        self.components
            .iter()
            .filter(|(_, settings)| settings.enabled && settings.replicas > 0)
    }
}

impl Environment {
    /// The network of the pods.
    pub fn pod_network(&self) -> &str {
        let set = self.k3s.config.get("cluster-cidr");
        let first = set
            .and_then(serde_json::Value::as_str)
            .and_then(|networks| networks.split(',').next());
        first.unwrap_or("10.42.0.0/16")
    }

    /// The networks of the proxies before the shop whose word about a client's address is taken.
    pub fn proxy_networks(&self) -> Vec<&str> {
        let proxied = self.target == Target::K3s && self.ingress.has_class();
        proxied.then(|| self.pod_network()).into_iter().collect()
    }

    /// The networks whose addresses stand for many clients: a port of every host hides the addresses of those who
    /// come through it.
    pub fn shared_networks(&self) -> Vec<&str> {
        let hidden = self.target == Target::K3s && !self.ingress.has_class();
        hidden.then(|| self.pod_network()).into_iter().collect()
    }
}

/// Where an environment runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Processes on this machine.
    #[default]
    Local,
    /// Pods on k3s.
    K3s,
}

/// What an environment says about one component, with the catalogue's defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentSettings {
    /// Whether it runs at all.
    pub enabled: bool,
    /// How many instances run.
    pub replicas: u32,
    /// The first instance's ports, by name.
    pub ports: BTreeMap<String, u16>,
    /// How much storage an instance gets; `None`: it keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Quantity>,
    /// The version that must run, as in `15` or `7.2`; `None`: any that the catalogue accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The container image; `None`: the image of the shop's own services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What an instance is promised and what it may use at most.
    pub resources: Resources,
    /// How many instances run by the work that they have, on k3s; `None`: as many as `replicas` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// The component's own settings. Durations and quantities are texts that have been checked.
    pub settings: BTreeMap<String, serde_json::Value>,
}

impl ComponentSettings {
    /// The most instances that may run.
    pub fn most_replicas(&self) -> u32 {
        let most = self.autoscaling.map_or(0, |it| it.maximum_replicas);
        most.max(self.replicas)
    }
}

/// Where secrets come from. Each is made once and then kept, in the state folder or the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Secrets {
    /// How many letters and digits a made password has.
    #[schemars(range(min = 16, max = 128))]
    pub password_length: u16,
    /// The e-mail address of the shop's first administrator.
    #[schemars(length(min = 3, max = 254))]
    pub admin_email: String,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            password_length: 32,
            admin_email: "admin@shop.local".to_owned(),
        }
    }
}

/// What the shop sells to begin with. Products that are there already are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Seed {
    /// The products, each known by its `sku`.
    #[schemars(length(max = 1000))]
    pub products: Vec<SeedProduct>,
}

/// A product of the seed catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeedProduct {
    /// The stock keeping unit: what the product is known by.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^(?!\.{1,2}$)[!-.0-\[\]-~]+$"),
        extend("format" = "shop-segment")
    )]
    pub sku: String,
    /// The name that customers see.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// A sentence or two about it.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub description: String,
    /// What one costs.
    pub price: Price,
    /// How many there are to begin with.
    #[serde(default = "seed_stock")]
    #[schemars(range(max = 1_000_000_000))]
    pub stock: u32,
}

fn seed_stock() -> u32 {
    100
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// The amount in the currency's smallest unit: 1990 is 19.90.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub amount_minor: u64,
    /// The currency's ISO 4217 code.
    #[serde(default = "euro")]
    #[schemars(regex(pattern = "^[A-Z]{3}$"), extend("format" = "shop-currency"))]
    pub currency: String,
}

fn euro() -> String {
    "EUR".to_owned()
}

/// What the proofs hold the shop to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Objectives {
    /// Under load.
    pub load: LoadObjectives,
    /// While something is broken on purpose.
    pub drills: DrillObjectives,
}

/// What a load test holds the shop to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadObjectives {
    /// The fewest requests a second.
    #[schemars(range(min = 0.0))]
    pub minimum_requests_per_second: f64,
    /// The largest share of requests that may fail.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub maximum_error_ratio: f64,
    /// The median's limit.
    pub p50: Duration,
    /// The 95th percentile's limit.
    pub p95: Duration,
    /// The 99th percentile's limit.
    pub p99: Duration,
}

impl Default for LoadObjectives {
    fn default() -> Self {
        Self {
            minimum_requests_per_second: 950.0,
            maximum_error_ratio: 0.0,
            p50: Duration::from_milliseconds(50),
            p95: Duration::from_milliseconds(200),
            p99: Duration::from_milliseconds(500),
        }
    }
}

/// What a drill holds the shop to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DrillObjectives {
    /// How long Redis may refuse writes after its master was killed, in the median of a drill's runs: the Sentinels'
    /// `downAfter` and 1.5 s to switch.
    pub redis_writable: Duration,
    /// How long Postgres may be away after it was killed.
    pub postgres_back: Duration,
    /// What Kubernetes may take besides to start a pod again, until its probes let requests in. Only with `target: k3s`.
    pub pod_restart: Duration,
    /// What is added to every limit of time besides, because orders reach a host later and what happens there is seen
    /// later. Only with `target: k3s`.
    pub cluster_delay: Duration,
    /// The longest time without an acknowledged order while a Redis process is away.
    pub redis_order_gap: Duration,
    /// The longest time without an acknowledged order while one of a service's replicas is away.
    pub service_order_gap: Duration,
}

impl Default for DrillObjectives {
    fn default() -> Self {
        Self {
            redis_writable: Duration::from_milliseconds(2_700),
            postgres_back: Duration::from_seconds(5),
            pod_restart: Duration::from_seconds(15),
            cluster_delay: Duration::from_milliseconds(500),
            redis_order_gap: Duration::from_milliseconds(500),
            service_order_gap: Duration::from_seconds(1),
        }
    }
}

/// A kind of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadProfile {
    /// What its users do.
    pub kind: LoadKind,
    /// How many users there are at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub vus: u32,
    /// How long it lasts.
    pub duration: Duration,
    /// Requests a second that are begun whatever the answers take: for `open` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rate: Option<u32>,
    /// The mean time that a user thinks between two requests.
    pub think_time: Duration,
    /// The most logins a second: each costs 27 ms of processor time.
    #[schemars(range(min = 0, max = 1000))]
    pub logins_per_second: u32,
    /// How many pieces a flash sale has.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub stock: u32,
}

/// What the users of a load do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LoadKind {
    /// Look around and order now and then.
    Browse,
    /// Storm one product with few pieces.
    FlashSale,
    /// Browse, for long.
    Soak,
    /// Arrive at a constant rate, however slow the answers are.
    Open,
    /// Ask for nothing: what k6 and this machine can do at all.
    Null,
}

/// A kind of drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillProfile {
    /// What is broken, one after the other.
    #[schemars(length(min = 1))]
    pub scenarios: Vec<DrillScenario>,
    /// How often each is run.
    #[schemars(range(min = 1, max = 1000))]
    pub runs: u32,
    /// How many users load the shop meanwhile.
    #[schemars(range(min = 0, max = 100_000))]
    pub vus: u32,
    /// Orders a second of the recorder, whose history is what the verdict is computed from.
    #[schemars(range(min = 1, max = 10_000))]
    pub orders_per_second: u32,
    /// How long all must be well before the fault.
    pub steady: Duration,
    /// How long recovery may take before the run is given up.
    pub deadline: Duration,
}

/// What a drill breaks: a process is killed, or stopped as if it hung; on k3s a pod is deleted as well, and a machine
/// loses its power or its network.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum DrillScenario {
    RedisMaster,
    RedisMasterHang,
    RedisReplica,
    RedisReplicaHang,
    RedisAll,
    RedisAllHang,
    Sentinel,
    SentinelHang,
    Postgres,
    PostgresHang,
    Gateway,
    GatewayHang,
    Auth,
    AuthHang,
    Product,
    ProductHang,
    Order,
    OrderHang,
    RedisMasterDelete,
    PostgresDelete,
    GatewayDelete,
    AuthDelete,
    ProductDelete,
    OrderDelete,
    Node,
    Partition,
}

impl DrillScenario {
    /// All of them: each kill followed by its hang, then what only a cluster has.
    pub const ALL: [Self; 26] = [
        Self::RedisMaster,
        Self::RedisMasterHang,
        Self::RedisReplica,
        Self::RedisReplicaHang,
        Self::RedisAll,
        Self::RedisAllHang,
        Self::Sentinel,
        Self::SentinelHang,
        Self::Postgres,
        Self::PostgresHang,
        Self::Gateway,
        Self::GatewayHang,
        Self::Auth,
        Self::AuthHang,
        Self::Product,
        Self::ProductHang,
        Self::Order,
        Self::OrderHang,
        Self::RedisMasterDelete,
        Self::PostgresDelete,
        Self::GatewayDelete,
        Self::AuthDelete,
        Self::ProductDelete,
        Self::OrderDelete,
        Self::Node,
        Self::Partition,
    ];

    /// Those that there are on a target: pods and machines are broken where there are any.
    pub fn on(target: Target) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |scenario| target == Target::K3s || !scenario.needs_a_cluster())
    }

    /// Whether it breaks what only a cluster has.
    pub fn needs_a_cluster(self) -> bool {
        matches!(
            self,
            Self::RedisMasterDelete
                | Self::PostgresDelete
                | Self::GatewayDelete
                | Self::AuthDelete
                | Self::ProductDelete
                | Self::OrderDelete
                | Self::Node
                | Self::Partition
        )
    }
}
