//! What holds where an environment file says nothing.

use serde_json::{Map, Value as Json, json};

use super::model::{Objectives, Secrets, Seed, Target};
use super::{Host, Ingress, K3s};
use crate::catalogue::{Catalogue, Component, ComponentKind, Place};
use crate::value::EnvironmentName;

/// The complete file of an environment that asks for nothing, as far as `written` has names of its own.
pub(super) fn of(catalogue: &Catalogue, name: Option<&EnvironmentName>, written: &Json) -> Json {
    let mut file = json!({
        // Without a name there is a problem already; the other values are judged all the same.
        "name": name.map_or("unnamed", EnvironmentName::as_str),
        "target": Target::default(),
        "protected": false,
        "components": components(catalogue, ComponentKind::Server, written),
        "services": components(catalogue, ComponentKind::Service, written),
        "ingress": Ingress::default(),
        "secrets": Secrets::default(),
        "seed": Seed::default(),
        "objectives": Objectives::default(),
        "loadProfiles": load_profiles(&written["loadProfiles"]),
        "drillProfiles": drill_profiles(&written["drillProfiles"]),
    });
    if is_on_k3s(written) {
        file["k3s"] = json!(K3s::default());
        file["hosts"] = hosts(&written["hosts"]);
    }
    file
}

/// Whether a file asks for a cluster.
fn is_on_k3s(written: &Json) -> bool {
    written["target"] == json!(Target::K3s)
}

/// What holds for each host that is written.
fn hosts(written: &Json) -> Json {
    let names = written.as_object().into_iter().flatten();
    names
        .map(|(name, _)| (name.clone(), json!(Host::default())))
        .collect()
}

fn components(catalogue: &Catalogue, kind: ComponentKind, written: &Json) -> Map<String, Json> {
    let place = if is_on_k3s(written) {
        Place::K3s
    } else {
        Place::Local
    };
    let asked = written["ingress"]["class"].as_str().map(str::to_owned);
    let class = asked.unwrap_or_else(|| Ingress::default().class);
    catalogue
        .components()
        .filter(|component| component.kind == kind)
        // One that cannot run here is there only if it is written, so that this can be said.
        .filter(|component| {
            let section = match kind {
                ComponentKind::Service => "services",
                ComponentKind::Server | ComponentKind::Tool => "components",
            };
            component.runs_on(place) || !written[section][component.name.as_str()].is_null()
        })
        .map(|component| {
            let mut fields = settings(component);
            let serves = component.pod.ingress_class.as_ref();
            if serves.is_some_and(|serves| *serves != class) || !component.runs_on(place) {
                fields.insert("enabled".to_owned(), json!(false));
            }
            if place == Place::K3s {
                let ports = component.ports.iter();
                let ports: Map<String, Json> = ports
                    .map(|(name, port)| (name.clone(), json!(port.pod.unwrap_or(port.first))))
                    .collect();
                fields.insert("ports".to_owned(), Json::Object(ports));
            }
            (component.name.to_string(), Json::Object(fields))
        })
        .collect()
}

/// A component's defaults; a field that does not apply to it is not there.
pub(super) fn settings(component: &Component) -> Map<String, Json> {
    let mut fields = Map::new();
    fields.insert("enabled".to_owned(), json!(true));
    fields.insert("replicas".to_owned(), json!(component.replicas));
    let ports: Map<String, Json> = component
        .ports
        .iter()
        .map(|(name, port)| (name.clone(), json!(port.first)))
        .collect();
    fields.insert("ports".to_owned(), Json::Object(ports));
    if let Some(storage) = &component.storage {
        fields.insert("storage".to_owned(), json!(storage));
    }
    if let Some(image) = &component.image {
        fields.insert("image".to_owned(), json!(image));
    }
    fields.insert("resources".to_owned(), json!(component.resources));
    let settings: Map<String, Json> = component
        .settings
        .iter()
        .map(|(name, setting)| (name.clone(), setting.default.clone()))
        .collect();
    fields.insert("settings".to_owned(), Json::Object(settings));
    fields
}

/// The kinds of load that are always there.
const LOADS: [&str; 5] = ["browse", "flashSale", "soak", "open", "null"];

/// The name of the profile of a kind of load: in kebab-case, as names on the command line are.
fn load_name(kind: &str) -> &str {
    if kind == "flashSale" {
        "flash-sale"
    } else {
        kind
    }
}

/// The names of the load profiles that are always there.
pub(super) fn load_names() -> impl Iterator<Item = &'static str> {
    LOADS.into_iter().map(load_name)
}

fn load_profiles(written: &Json) -> Map<String, Json> {
    let mut profiles: Map<String, Json> = LOADS
        .into_iter()
        .map(|kind| (load_name(kind).to_owned(), load_profile(kind)))
        .collect();
    for (name, profile) in written.as_object().into_iter().flatten() {
        // A new profile without a kind is a problem; the rest of it is judged all the same.
        let unknown = (!profiles.contains_key(name)).then_some("browse");
        if let Some(kind) = profile["kind"].as_str().or(unknown) {
            profiles.insert(name.clone(), load_profile(kind));
        }
    }
    profiles
}

fn load_profile(kind: &str) -> Json {
    let mut profile = json!({
        "kind": kind,
        "vus": 1000,
        "duration": "1m",
        "thinkTime": "900ms",
        "loginsPerSecond": 5,
        "stock": 100,
    });
    let special = match kind {
        "flashSale" => json!({ "duration": "30s", "thinkTime": "1s", "loginsPerSecond": 0 }),
        "soak" => json!({ "vus": 200, "duration": "1h" }),
        "open" => json!({ "rate": 1000, "thinkTime": "0s" }),
        "null" => json!({ "duration": "30s", "loginsPerSecond": 0 }),
        _ => json!({}),
    };
    if let (Some(profile), Json::Object(special)) = (profile.as_object_mut(), special) {
        profile.extend(special);
    }
    profile
}

fn drill_profiles(written: &Json) -> Map<String, Json> {
    let default = json!({
        "scenarios": ["redis-master"],
        "runs": 1,
        "vus": 50,
        "ordersPerSecond": 100,
        "steady": "5s",
        "deadline": "1m",
    });
    let mut profiles = Map::new();
    for name in written
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        profiles.insert(name.clone(), default.clone());
    }
    let mut all = default.clone();
    all["scenarios"] = super::DrillScenario::ALL
        .into_iter()
        .map(|scenario| json!(scenario))
        .collect();
    profiles.insert("default".to_owned(), default);
    profiles.insert("all".to_owned(), all);
    profiles
}
