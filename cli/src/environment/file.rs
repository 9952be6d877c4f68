//! From the bytes of an environment file to an [`Environment`], or to all that is wrong with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::model::{
    ComponentSettings, DrillProfile, Environment, LoadProfile, Objectives, Secrets, Seed, Target,
};
use super::{Host, Ingress, K3s, Registry, check, defaults, placement, schema};
use crate::catalogue::Catalogue;
use crate::document::{Document, Invalid, Problem, Span, Step};
use crate::value::{ComponentName, EnvironmentName, HostName};

/// A file of the shop's environment: what stands in it, and what follows from it.
#[derive(Clone, Debug)]
pub struct EnvironmentFile {
    document: Document,
    effective: Json,
    environment: Environment,
}

/// An environment file with nothing left out, in the form in which it is written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "shopctl environment")]
pub(super) struct Complete {
    /// The environment's name; the default is the file's name without its extension.
    pub(super) name: EnvironmentName,
    /// Where it runs.
    pub(super) target: Target,
    /// Proofs that break things, and `down --purge`, refuse unless the environment's name is repeated.
    pub(super) protected: bool,
    /// The machines of a cluster, by the names of its nodes. Only with `target: k3s`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) hosts: BTreeMap<HostName, Host>,
    /// The k3s that is installed on them. Only with `target: k3s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) k3s: Option<K3s>,
    /// The registry that the services' image goes through; without one it is put on the hosts. Only with `target: k3s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registry: Option<Registry>,
    /// The servers that the shop runs on, by name.
    pub(super) components: BTreeMap<ComponentName, ComponentSettings>,
    /// The shop's own services, by name.
    pub(super) services: BTreeMap<ComponentName, ComponentSettings>,
    /// How the shop is reached from outside. On `local` the gateway's port on 127.0.0.1 is the way in.
    pub(super) ingress: Ingress,
    /// Where secrets come from. Each is made once and then kept.
    pub(super) secrets: Secrets,
    /// What the shop sells to begin with. Products that are there already are left as they are.
    pub(super) seed: Seed,
    /// What the proofs hold the shop to.
    pub(super) objectives: Objectives,
    /// Kinds of load, by name. A new one says its `kind` and takes what it leaves out from the profile of that kind.
    pub(super) load_profiles: BTreeMap<String, LoadProfile>,
    /// Kinds of drill, by name. A new one takes what it leaves out from `default`.
    pub(super) drill_profiles: BTreeMap<String, DrillProfile>,
}

impl EnvironmentFile {
    /// Reads an environment file. Its `name` defaults to `stem`, its file's name without the extension.
    pub fn parse(
        file: &str,
        bytes: &[u8],
        stem: &str,
        catalogue: &Catalogue,
    ) -> Result<Self, Invalid> {
        let document = Document::parse(file, bytes, &schema(catalogue))?;
        let written = document.values();
        let name = check::name(&document, stem);
        let mut effective = defaults::of(catalogue, name.as_ref().ok(), written);
        merge(&mut effective, written);
        let complete: Complete = document.fill(effective.clone())?;
        let mut problems: Vec<Problem> = name.err().map(|problem| *problem).into_iter().collect();
        if document.is_complete() {
            problems.extend(check::complete(&document, &complete, catalogue));
            problems.extend(placement::misplaced(&document, &complete, catalogue));
        }
        document.verdict(problems)?;
        Ok(Self {
            document,
            effective,
            environment: complete.into(),
        })
    }

    /// The environment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The environment, without the file.
    pub fn into_environment(self) -> Environment {
        self.environment
    }

    /// The file's name, as the user gave it.
    pub fn file(&self) -> &str {
        &self.document.file
    }

    /// The file as it would be with every default written out.
    pub fn effective(&self) -> &Json {
        &self.effective
    }

    /// Where the file itself sets a value; `None`: the value is a default.
    pub fn origin(&self, way: &[Step<'_>]) -> Option<Span> {
        self.document.root.place(way)
    }
}

impl From<Complete> for Environment {
    fn from(complete: Complete) -> Self {
        let mut components = complete.components;
        components.extend(complete.services);
        Self {
            name: complete.name,
            target: complete.target,
            protected: complete.protected,
            components,
            hosts: complete.hosts,
            k3s: complete.k3s.unwrap_or_default(),
            registry: complete.registry,
            ingress: complete.ingress,
            secrets: complete.secrets,
            seed: complete.seed,
            objectives: complete.objectives,
            load_profiles: complete.load_profiles,
            drill_profiles: complete.drill_profiles,
        }
    }
}

/// Lays what is written over the defaults: maps are merged, everything else is replaced.
fn merge(base: &mut Json, over: &Json) {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
