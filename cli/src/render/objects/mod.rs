//! Kubernetes objects: an environment and the catalogue to everything that a cluster is to hold.
//!
//! What follows from a declaration alone (accounts, network policies, `ConfigMap`s and Secrets of files) is built here; what
//! a component looks like (workloads, Services, budgets) stands in its templates. Every object goes through its type, so
//! that a field nobody knows is found before a cluster is asked. Not here: applying them, and where secrets come from.

mod context;
mod files;
mod object;
mod parts;
mod placeholder;
mod render;
mod side_by_side;
mod traffic;
mod typed;

pub use object::Object;
pub use parts::{ProbeTimes, grace_seconds};
pub use placeholder::{placeholder_secrets, placeholder_tls};
pub use render::{ClusterInput, TlsFiles, render_objects};

use std::collections::BTreeMap;

use super::context::POD_SECRETS;
use crate::catalogue::{Catalogue, SecretSpec};
use crate::environment::Environment;

/// The namespace of everything.
pub const NAMESPACE: &str = "ecommerce";

/// The file in which a pod finds a secret.
pub fn pod_secret_path(name: &str) -> String {
    format!("{POD_SECRETS}/{name}")
}

/// The secrets that a shop needs, by name, each with the Secret that holds it ([`SecretSpec::object`]).
pub fn wanted_secrets<'a>(
    environment: &Environment,
    catalogue: &'a Catalogue,
) -> BTreeMap<&'a str, &'a SecretSpec> {
    environment
        .enabled()
        .filter_map(|(name, _)| catalogue.get(name.as_str()))
        .flat_map(|component| &component.secrets)
        .map(|secret| (secret.name.as_str(), secret))
        .collect()
}
