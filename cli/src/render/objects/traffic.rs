//! Who may talk to whom, from what components declare: everything else is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::catalogue::{Catalogue, Component};
use crate::environment::Environment;

/// The policies of a component's pods, and of the pods of its tasks.
pub(super) fn policies(
    environment: &Environment,
    catalogue: &Catalogue,
    component: &Component,
) -> Vec<Json> {
    let own: BTreeSet<&String> = component.ports.keys().collect();
    let reaches = component.pod.reaches.iter();
    let reaches = reaches.map(|(name, ports)| (name.as_str(), ports.iter().collect()));
    let mut policies = vec![policy(
        component.name.as_str(),
        &inbound(environment, catalogue, component),
        &outbound(environment, reaches),
    )];
    policies.extend(component.tasks.iter().map(|task| {
        policy(
            &format!("{}-{}", component.name, task.name),
            &[],
            &outbound(environment, [(component.name.as_str(), own.clone())]),
        )
    }));
    policies
}

fn policy(name: &str, ingress: &[Json], egress: &[Json]) -> Json {
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": name },
        "spec": {
            "podSelector": pods([name]),
            "policyTypes": ["Ingress", "Egress"],
            "egress": egress,
        },
    });
    // Nothing comes in either way, but a cluster drops an empty list, and it would differ for ever.
    if !ingress.is_empty() {
        policy["spec"]["ingress"] = json!(ingress);
    }
    policy
}

/// Pods of some components, or of a task.
fn pods<'a>(names: impl IntoIterator<Item = &'a str>) -> Json {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [one] => json!({ "matchLabels": { "app.kubernetes.io/name": one } }),
        several => json!({ "matchExpressions": [
            { "key": "app.kubernetes.io/name", "operator": "In", "values": several },
        ] }),
    }
}

/// What may come in: a rule for each port.
fn inbound(environment: &Environment, catalogue: &Catalogue, component: &Component) -> Vec<Json> {
    let numbers = ports(environment, component.name.as_str());
    let open = open_ports(environment, catalogue, component);
    let mut rules = Vec::new();
    for (port, number) in &numbers {
        let port_rule = json!([{ "port": number, "protocol": "TCP" }]);
        if open.contains(port.as_str()) {
            rules.push(json!({ "ports": port_rule }));
            continue;
        }
        let callers = environment
            .enabled()
            .filter_map(|(name, _)| catalogue.get(name.as_str()))
            .filter(|caller| {
                let reached = caller.pod.reaches.get(component.name.as_str());
                reached.is_some_and(|ports| ports.contains(port))
            })
            .map(|caller| caller.name.to_string());
        let tasks = component
            .tasks
            .iter()
            .map(|task| format!("{}-{}", component.name, task.name));
        let names: Vec<String> = callers.chain(tasks).collect();
        if !names.is_empty() {
            let from = json!([{ "podSelector": pods(names.iter().map(String::as_str)) }]);
            rules.push(json!({ "from": from, "ports": port_rule }));
        }
    }
    rules
}

/// The ports that everybody may connect to. Where nothing of ours stands before the way in, it is open itself.
fn open_ports<'a>(
    environment: &Environment,
    catalogue: &Catalogue,
    component: &'a Component,
) -> BTreeSet<&'a str> {
    let entry = component
        .pod
        .entry
        .as_deref()
        .filter(|_| !is_served(environment, catalogue));
    let open = component.pod.open.iter().map(String::as_str);
    open.chain(entry).collect()
}

/// Whether one of the shop's own components serves the ingress class that is asked for.
pub(super) fn is_served(environment: &Environment, catalogue: &Catalogue) -> bool {
    environment
        .enabled()
        .filter_map(|(name, _)| catalogue.get(name.as_str()))
        .any(|component| component.pod.ingress_class.as_ref() == Some(&environment.ingress.class))
}

/// What may go out: names are looked up, and who is declared is called.
fn outbound<'a>(
    environment: &Environment,
    reaches: impl IntoIterator<Item = (&'a str, BTreeSet<&'a String>)>,
) -> Vec<Json> {
    let mut rules = vec![json!({
        "to": [{
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } },
            "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
        }],
        "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
    })];
    for (name, wanted) in reaches {
        let ports: Vec<Json> = ports(environment, name)
            .into_iter()
            .filter(|(port, _)| wanted.contains(port))
            .map(|(_, number)| json!({ "port": number, "protocol": "TCP" }))
            .collect();
        if !ports.is_empty() {
            rules.push(json!({ "to": [{ "podSelector": pods([name]) }], "ports": ports }));
        }
    }
    rules
}

/// The ports of a component that runs.
fn ports(environment: &Environment, name: &str) -> BTreeMap<String, u16> {
    environment
        .enabled()
        .find(|(known, _)| known.as_str() == name)
        .map(|(_, settings)| settings.ports.clone())
        .unwrap_or_default()
}
