//! The types of a `component.yaml`, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::{Place, PodSpec};
use super::program::Program;
use super::secret::SecretSpec;
use crate::value::{ComponentName, Duration, Quantity};

/// A component of the shop: a server that we run, a service that we wrote, or a tool that a command needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// The name: the same as the folder's.
    pub name: ComponentName,
    /// What it is for, in half a line.
    pub about: String,
    /// Where it stands in the environment file.
    pub kind: ComponentKind,
    /// Where it can run; absent: everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// Components that it leans on: it is stopped before them. All servers start at once and find each other by
    /// themselves; services start once all servers are ready.
    #[serde(default)]
    pub after: Vec<ComponentName>,
    /// How many instances run when the environment file does not say.
    #[serde(default = "one")]
    #[schemars(range(max = 64))]
    pub replicas: u32,
    /// The fewest instances with which it does its job.
    #[serde(default = "one")]
    pub minimum_replicas: u32,
    /// The most instances that make sense.
    #[serde(default = "nine")]
    pub maximum_replicas: u32,
    /// The ports it listens on, by name.
    #[serde(default)]
    pub ports: BTreeMap<String, PortSpec>,
    /// How much storage an instance gets; absent: it keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Quantity>,
    /// The container image where instances are pods; absent: the image of the shop's own services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What an instance is promised and what it may use at most.
    #[serde(default)]
    pub resources: Resources,
    /// The programs that must be installed where it runs as a process.
    #[serde(default)]
    pub programs: Vec<Program>,
    /// The secrets it needs: made once, then kept.
    #[serde(default)]
    pub secrets: Vec<SecretSpec>,
    /// The files that are rendered for each instance.
    #[serde(default)]
    pub files: Vec<FileSpec>,
    /// The command of an instance: each argument is a template. Empty for a tool.
    #[serde(default)]
    pub run: Vec<String>,
    /// Environment variables of the command: each value is a template.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What an environment file may set for it.
    #[serde(default)]
    pub settings: BTreeMap<String, SettingSpec>,
    /// How to tell that an instance is ready and alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
    /// How an instance is asked to stop.
    #[serde(default)]
    pub stop: StopSpec,
    /// Commands that run once its instances are ready; each may safely run again.
    #[serde(default)]
    pub tasks: Vec<TaskSpec>,
    /// How its instances are pods.
    #[serde(default)]
    pub pod: PodSpec,
}

/// Where a component stands in the environment file.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ComponentKind {
    /// Somebody else's server, under `components`.
    Server,
    /// One of the shop's own services, under `services`.
    Service,
    /// Programs that commands use. It has no instances and no place in the environment file.
    Tool,
}

/// A port of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortSpec {
    /// The first instance's port; instance `i` listens on `first + i`.
    #[schemars(range(min = 1024))]
    pub first: u16,
    /// All instances listen on the same port.
    #[serde(default)]
    pub shared: bool,
    /// The port in a pod, where nobody else is in its way; absent: the first instance's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub pod: Option<u16>,
    /// What it is for.
    pub about: String,
}

/// What an instance is promised and what it may use at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// What it is promised.
    pub requests: ResourceAmounts,
    /// What it may use at most.
    pub limits: ResourceAmounts,
}

/// An amount of processor time and memory; absent: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResourceAmounts {
    /// Processors, as in `500m` or `2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, as in `256Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// A file that is rendered for each instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSpec {
    /// The template, relative to the component's folder.
    pub template: String,
    /// The file, relative to the instance's configuration folder.
    pub path: String,
    /// Who may read it; only a file of mode 0600 may hold the value of a secret.
    #[serde(default)]
    pub mode: FileMode,
    /// Where it is needed; absent: everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FileMode {
    /// Only its owner.
    #[default]
    #[serde(rename = "0600")]
    Private,
    /// Everybody.
    #[serde(rename = "0644")]
    Public,
    /// Only its owner, who may also run it.
    #[serde(rename = "0700")]
    Executable,
}

impl FileMode {
    /// The permission bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
            Self::Executable => 0o700,
        }
    }
}

/// Something that an environment file may set for a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingSpec {
    /// What kind of value it takes.
    #[serde(rename = "type")]
    pub kind: SettingType,
    /// The value when the environment file does not say.
    pub default: serde_json::Value,
    /// What it does.
    pub about: String,
    /// The smallest number that makes sense; of a duration, its milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The largest number that makes sense; of a duration, its milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// The only texts that it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// The form that its text or the texts of its list have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SettingFormat>,
    /// The setting of another component that each instance uses up by this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws_on: Option<SettingPath>,
    /// How much of this number the component keeps for itself when others draw on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<f64>,
}

impl SettingSpec {
    /// A value as its limits count: itself, or a duration's milliseconds. None for what has no size.
    pub(super) fn size(&self, value: &serde_json::Value) -> Option<f64> {
        match self.kind {
            SettingType::Duration => {
                let length = value.as_str()?.parse::<Duration>().ok()?;
                Some(length.milliseconds() as f64)
            }
            _ => value.as_f64(),
        }
    }
}

/// A form of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SettingFormat {
    /// An address or a network as in `10.0.0.0/8`.
    Cidr,
}

/// A setting of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingPath {
    /// The component.
    pub component: ComponentName,
    /// The name of its setting.
    pub setting: String,
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SettingType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A length of time as in `500ms` or `10s`.
    Duration,
    /// An amount as in `64Mi`.
    Quantity,
    /// A list of texts.
    StringList,
}

/// How to tell that an instance is ready and alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeSpec {
    /// What is asked.
    pub kind: ProbeKind,
    /// The name of the port that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The path of an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The command of an `exec` probe: each argument is a template.
    #[serde(default)]
    pub command: Vec<String>,
    /// The user that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The name of the secret that holds the user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The time between two questions.
    #[serde(default = "probe_interval")]
    #[schemars(range(min = 20))]
    pub interval_milliseconds: u64,
    /// How long an answer may take.
    #[serde(default = "probe_interval")]
    #[schemars(range(min = 20))]
    pub timeout_milliseconds: u64,
    /// How many failures in a row mean that it hangs.
    #[serde(default = "probe_failures")]
    #[schemars(range(min = 1))]
    pub failures: u32,
    /// How long a start may take.
    #[serde(default = "probe_start")]
    #[schemars(range(min = 1))]
    pub start_seconds: u64,
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProbeKind {
    /// An HTTP request that must be answered with 2xx.
    Http,
    /// A connection that must be accepted.
    Tcp,
    /// `PING` and `ROLE` of Redis or a Sentinel.
    Redis,
    /// A session with Postgres.
    Postgres,
    /// A command that must succeed.
    Exec,
}

/// How an instance is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StopSpec {
    /// The signal.
    pub signal: StopSignal,
    /// How long it may take before it is killed.
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: u64,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self {
            signal: StopSignal::Term,
            timeout_seconds: 15,
        }
    }
}

/// The signal that asks an instance to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT: Postgres' fast shutdown.
    Int,
    /// SIGQUIT.
    Quit,
}

/// A command that runs once and may safely run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// When it runs.
    #[serde(default)]
    pub after: TaskMoment,
    /// Its command: each argument is a template.
    pub run: Vec<String>,
    /// The files that are rendered for it, in the first instance's configuration folder.
    #[serde(default)]
    pub files: Vec<FileSpec>,
}

/// When a task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TaskMoment {
    /// Once all instances of its component are ready.
    #[default]
    Ready,
}

fn one() -> u32 {
    1
}

fn nine() -> u32 {
    9
}

fn probe_interval() -> u64 {
    1_000
}

fn probe_failures() -> u32 {
    3
}

fn probe_start() -> u64 {
    30
}
