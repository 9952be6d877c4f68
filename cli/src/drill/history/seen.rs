//! What was done to the shop, and what was seen of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Micros;

/// Something was broken, or mended again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// When the signal had been delivered; what is done on another machine, when it was given the order.
    pub at: Micros,
    /// What was done.
    pub kind: FaultKind,
    /// To which instance.
    pub instance: String,
    /// The process: `pid@start`, the start in ticks since boot; in a cluster `pod/container`, the container by the first
    /// characters of its id.
    pub process: String,
    /// Processes of the instance that it was done to as well: a Postgres has one a connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// How it is known to have happened: the kernel's state of the process, the API server's word, a host that is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Whether it is known to have happened.
    pub confirmed: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it is there and does nothing.
    Stop,
    /// SIGCONT.
    Continue,
    /// Its pod is deleted, as a drain or a rollout does it.
    Delete,
    /// The machine that it runs on is without power.
    PowerOff,
    /// The machine that it runs on has power again.
    PowerOn,
    /// The machine that it runs on is without its network.
    Unplug,
    /// The machine that it runs on has its network again.
    Plug,
}

impl Fault {
    /// Whether a process was broken for certain, and not mended.
    pub fn broke(&self) -> bool {
        self.confirmed && !self.kind.mends()
    }

    /// What is there in the place of what was broken, if that is what was seen: its pid, or its pod and container.
    pub fn successor(&self, seen: &Seen) -> Option<String> {
        match seen {
            Seen::Instance {
                instance,
                pid,
                process,
                ..
            } if *instance == self.instance => match (process, pid) {
                (Some(process), _) => (*process != self.process).then(|| process.clone()),
                (None, Some(pid)) => {
                    (!self.process.starts_with(&format!("{pid}@"))).then(|| pid.to_string())
                }
                (None, None) => None,
            },
            _ => None,
        }
    }
}

impl FaultKind {
    /// What is done, in words: "SIGKILL to redis-0".
    pub fn done_to(self, whom: &str) -> String {
        match self {
            Self::Kill => format!("SIGKILL to {whom}"),
            Self::Stop => format!("SIGSTOP to {whom}"),
            Self::Continue => format!("SIGCONT to {whom}"),
            Self::Delete => format!("deletion of the pod of {whom}"),
            Self::PowerOff => format!("power cut for {whom}"),
            Self::PowerOn => format!("power back for {whom}"),
            Self::Unplug => format!("cable pulled for {whom}"),
            Self::Plug => format!("cable back for {whom}"),
        }
    }

    /// What undoes it, if anything has to.
    pub fn undone_by(self) -> Option<Self> {
        match self {
            Self::Stop => Some(Self::Continue),
            Self::PowerOff => Some(Self::PowerOn),
            Self::Unplug => Some(Self::Plug),
            Self::Kill | Self::Delete | Self::Continue | Self::PowerOn | Self::Plug => None,
        }
    }

    /// Whether it mends what another one broke.
    pub fn mends(self) -> bool {
        matches!(self, Self::Continue | Self::PowerOn | Self::Plug)
    }

    /// Whether it is done to a machine, and so to everything that runs there.
    pub fn hits_a_machine(self) -> bool {
        matches!(
            self,
            Self::PowerOff | Self::PowerOn | Self::Unplug | Self::Plug
        )
    }
}

/// Something was seen to be different than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// When it was seen.
    pub at: Micros,
    /// What.
    pub seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "what",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Seen {
    /// An instance as the supervisor has it.
    Instance {
        /// Its name.
        instance: String,
        /// `running`, `starting`, `failed` or `stopped`.
        state: String,
        /// Whether it serves.
        ready: bool,
        /// Its role, if it has said one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// Its process on this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// Its process in a cluster: `pod/container`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// How often it was started again.
        restarts: u64,
        /// How the process before ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_exit: Option<String>,
    },
    /// What the Sentinels agree on.
    Redis {
        /// The master's address, if a majority names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        master: Option<String>,
        /// The configuration epoch of that answer.
        epoch: u64,
        /// Whether a majority of Sentinels calls it down.
        down: bool,
        /// How many Sentinels answered.
        sentinels: u32,
    },
    /// A probe's write was acknowledged by Redis, or was not any more.
    RedisWritable {
        /// Whether it was.
        writable: bool,
    },
    /// Which Postgres answers.
    Postgres {
        /// Its system identifier.
        system: String,
        /// Its timeline.
        timeline: u32,
        /// When it started, as it says.
        started: String,
    },
    /// Postgres does not answer.
    PostgresGone,
}

impl Seen {
    /// Whether it is an instance that serves.
    pub fn serves(&self) -> bool {
        matches!(self, Self::Instance { ready: true, .. })
    }
}

/// The stock of the drill's products as Postgres had it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Books {
    /// When the answer had come.
    pub at: Micros,
    /// Each product.
    pub products: Vec<ProductBooks>,
    /// By how much the hold that is overdue the longest has outlived its time; none is overdue: 0.
    pub overdue_micros: Micros,
}

/// A product's stock, and what its orders add up to, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductBooks {
    /// The product.
    pub product: Uuid,
    /// All pieces that came in.
    pub received: i64,
    /// What may be sold.
    pub free: i64,
    /// What is kept for somebody.
    pub held: i64,
    /// What was sold.
    pub sold: i64,
    /// Pieces in orders.
    pub ordered: i64,
}

/// What became of the load in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Background {
    /// Requests that ended.
    pub requests: u64,
    /// Whether it went on until it was asked to end.
    pub lasted: bool,
    /// Orders that its users were told are confirmed.
    pub acknowledged: u64,
    /// What of these is not in the books as it was told, or is there and must not be.
    pub wrong: Vec<String>,
}

/// The state in which the shop was left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// When it was seen.
    pub at: Micros,
    /// Redis servers that say they are master.
    pub redis_masters: Vec<String>,
    /// Replicas whose link to that master is up.
    pub redis_replicas: u32,
    /// How many there should be.
    pub redis_replicas_wanted: u32,
    /// The master that each Sentinel names, in the order of their names; one that does not answer is not there.
    pub sentinel_views: Vec<String>,
    /// How many Sentinels there should be.
    pub sentinels_wanted: u32,
    /// Instances that are not ready.
    pub not_ready: Vec<String>,
}
