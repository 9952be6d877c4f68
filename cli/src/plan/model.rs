//! What a plan is made of: what is wanted, what there is, and steps.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalogue::ComponentKind;

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The instances, in the order in which they start.
    pub instances: Vec<WantedInstance>,
    /// The one-off commands, in the order in which they run.
    pub tasks: Vec<WantedTask>,
}

/// An instance that is wanted.
#[derive(Clone, Debug)]
pub struct WantedInstance {
    /// Its name.
    pub name: String,
    /// Server or service.
    pub kind: ComponentKind,
    /// A digest of all that its process depends on.
    pub digest: String,
    /// Where clients reach it.
    pub address: String,
}

/// A one-off command that is wanted.
#[derive(Clone, Debug)]
pub struct WantedTask {
    /// The instance beside which it runs.
    pub instance: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// A digest of all that it depends on.
    pub digest: String,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The system user that servers need is not there.
    pub user_missing: bool,
    /// Folders that are missing or belong to somebody else.
    pub folders: Vec<String>,
    /// Secrets that were never made.
    pub secrets: Vec<String>,
    /// The shop's own program has to be put where the servers' user can run it.
    pub program_stale: bool,
    /// Files that are missing or differ, by instance.
    pub files: BTreeMap<String, Vec<String>>,
    /// The supervisor.
    pub supervisor: SupervisorSeen,
    /// The instances that there are.
    pub instances: Vec<ObservedInstance>,
    /// The digests of the one-off commands that have run, by `instance/name`.
    pub tasks: BTreeMap<String, String>,
    /// The products that the shop does not have; unknown while it cannot be asked.
    pub missing_products: Option<Vec<String>>,
}

/// The supervisor as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SupervisorSeen {
    /// Nobody answers.
    #[default]
    Absent,
    /// One of this program.
    Current,
    /// One of another program, which has to go first.
    Other,
    /// One that does not answer, which has to go first.
    Hanging,
}

/// An instance as it was seen.
#[derive(Clone, Debug)]
pub struct ObservedInstance {
    /// Its name.
    pub name: String,
    /// Whether it has a process.
    pub alive: bool,
    /// Whether it can serve.
    pub ready: bool,
    /// The digest that its process was started with.
    pub digest: Option<String>,
    /// Where clients reach it.
    pub address: String,
}

/// Which instances a step is about: all servers come up before the first service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Wave {
    /// Postgres, Redis and the like.
    Servers,
    /// The shop's own services.
    Services,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    rename_all = "camelCase",
    tag = "action",
    rename_all_fields = "camelCase"
)]
pub enum Action {
    /// Make the system user that servers run as.
    MakeUser,
    /// Make the state folder and what is in it.
    MakeFolders,
    /// Make secrets.
    MakeSecrets {
        /// Their names.
        names: Vec<String>,
    },
    /// Put the shop's own program where the servers' user can run it.
    PlaceProgram,
    /// Write configuration files.
    WriteFiles {
        /// The instances whose files differ.
        instances: Vec<String>,
    },
    /// See that a supervisor of this program answers.
    EnsureSupervisor,
    /// Start, replace and stop instances, and wait until they are ready.
    Apply {
        /// Which.
        wave: Wave,
        /// Those that have to be stopped together before, because their peers must not see both addresses.
        stop_first: Vec<String>,
    },
    /// Run a one-off command.
    RunTask {
        /// The instance beside which it runs.
        instance: String,
        /// Its name.
        name: String,
    },
    /// Make the products that are not there.
    Seed,
}

/// A step. Each target has actions of its own; these are the local one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step<A = Action> {
    /// What it does, as a person reads it.
    pub name: String,
    /// Whether there is anything to do.
    pub needed: bool,
    /// What would be done, in a few words; empty if nothing.
    pub detail: String,
    /// What it does.
    #[serde(flatten)]
    pub action: A,
}

/// An ordered list of steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether any step has anything to do.
    pub fn has_work(&self) -> bool {
        self.steps.iter().any(|step| step.needed)
    }
}
