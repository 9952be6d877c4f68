//! What kinds a cluster knows, as its API server tells.

use std::collections::BTreeMap;

use kube::Client;
use kube::discovery::{Discovery, Scope, verbs};
use serde_json::Value;

use super::object::{ObjectKey, group_of, text};

/// A kind of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As objects of it say: `apps/v1`.
    pub api_version: String,
    /// Its name: `Deployment`.
    pub kind: String,
    /// What paths call it: `deployments`.
    pub plural: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether its objects can be listed and deleted.
    pub prunable: bool,
}

impl Kind {
    /// The path of its objects; of all namespaces if none is named.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!(
                "/{root}/{}/namespaces/{namespace}/{}",
                self.api_version, self.plural
            ),
            None => format!("/{root}/{}/{}", self.api_version, self.plural),
        }
    }
}

/// All kinds of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// By group and kind: the version that the server prefers.
    preferred: BTreeMap<(String, String), Kind>,
    /// By version and kind.
    exact: BTreeMap<(String, String), Kind>,
}

impl Kinds {
    /// Asks the server.
    pub(super) async fn discover(client: &Client) -> Result<Self, kube::Error> {
        let discovery = Discovery::new(client.clone()).run_aggregated().await?;
        let mut kinds = Self::default();
        for group in discovery.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    let kind = Kind {
                        api_version: resource.api_version,
                        kind: resource.kind,
                        plural: resource.plural,
                        namespaced: capabilities.scope == Scope::Namespaced,
                        prunable: capabilities.supports_operation(verbs::LIST)
                            && capabilities.supports_operation(verbs::DELETE),
                    };
                    kinds.add(kind, version == group.preferred_version_or_latest());
                }
            }
        }
        Ok(kinds)
    }

    /// Adds a kind. Of two versions the one that the server prefers is used where none is asked for.
    pub fn add(&mut self, kind: Kind, preferred: bool) {
        let group = group_of(&kind.api_version).to_owned();
        let key = (group, kind.kind.clone());
        if preferred || !self.preferred.contains_key(&key) {
            self.preferred.insert(key, kind.clone());
        }
        self.exact
            .insert((kind.api_version.clone(), kind.kind.clone()), kind);
    }

    /// The kind of an object, in the version that the object is written in.
    pub fn of(&self, object: &Value) -> Option<&Kind> {
        let key = (
            text(object, "/apiVersion")?.to_owned(),
            text(object, "/kind")?.to_owned(),
        );
        self.exact.get(&key)
    }

    /// The kind of a key, in the version that the server prefers.
    pub fn of_key(&self, key: &ObjectKey) -> Option<&Kind> {
        self.preferred.get(&(key.group.clone(), key.kind.clone()))
    }

    /// Every kind once.
    pub fn all(&self) -> impl Iterator<Item = &Kind> {
        self.preferred.values()
    }
}
