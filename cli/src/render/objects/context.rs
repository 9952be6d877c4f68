//! What the template of an object sees, as types.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::super::context::{EnvironmentContext, ShopContext};
use super::parts::PodParts;
use crate::environment::Autoscaling;

/// The context of the objects of the shop as a whole.
#[derive(Debug, Serialize)]
pub(super) struct ShopObjects<'a> {
    pub(super) environment: &'a EnvironmentContext<'a>,
    pub(super) namespace: &'a str,
    pub(super) shop: ShopContext<'a>,
    /// The address that clients use.
    pub(super) url: String,
    /// The public halves of all keys.
    #[serde(rename = "publicKeys")]
    pub(super) public_keys: &'a BTreeMap<&'a str, &'a str>,
}

/// The context of the objects of a component.
#[derive(Debug, Serialize)]
pub(super) struct ComponentObjects<'a> {
    pub(super) environment: &'a EnvironmentContext<'a>,
    pub(super) namespace: &'a str,
    /// How many hosts there are.
    pub(super) nodes: usize,
    pub(super) component: ObjectComponent<'a>,
    pub(super) image: &'a str,
    /// The image of the shop's own services.
    #[serde(rename = "shopImage")]
    pub(super) shop_image: &'a str,
    pub(super) ports: &'a BTreeMap<String, u16>,
    pub(super) run: Vec<String>,
    pub(super) pod: PodParts,
    pub(super) tasks: Vec<TaskContext>,
    pub(super) ingress: IngressContext<'a>,
    pub(super) rollout: RolloutContext,
}

#[derive(Debug, Serialize)]
pub(super) struct ObjectComponent<'a> {
    pub(super) name: &'a str,
    pub(super) about: &'a str,
    pub(super) replicas: u32,
    pub(super) autoscaling: Option<Autoscaling>,
    pub(super) storage: Option<&'a str>,
    pub(super) settings: &'a BTreeMap<String, Json>,
}

/// A command that runs once.
#[derive(Debug, Serialize)]
pub(super) struct TaskContext {
    /// The name of its Job: another one for other work.
    pub(super) job: String,
    /// The name in labels and policies.
    pub(super) name: String,
    pub(super) run: Vec<String>,
    pub(super) common: Json,
    pub(super) security: Json,
    pub(super) volumes: Vec<Json>,
    pub(super) mounts: Vec<Json>,
}

/// The way in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IngressContext<'a> {
    /// `own`: a component of ours stands before the shop; `class`: somebody else's; `port`: nobody.
    pub(super) kind: &'static str,
    pub(super) class: &'a str,
    pub(super) host: &'a str,
    /// Whether that is no name: an Ingress takes none, and lets in whoever comes.
    pub(super) by_address: bool,
    pub(super) tls_secret: Option<&'a str>,
    /// The port of every host that leads in, if one does.
    pub(super) node_port: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RolloutContext {
    pub(super) linger_seconds: u32,
    pub(super) deadline_seconds: u64,
}
