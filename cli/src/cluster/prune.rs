//! Which objects nobody wants any more. Pure.
//!
//! What is ours is told by our labels, and by the API server's word that shopctl applied it: controllers copy labels to
//! what they make (Endpoints of a Service, pods of a Deployment), and that is theirs to remove.

use std::collections::BTreeSet;

use serde_json::Value;

use super::object::{MANAGER, ObjectKey, belongs_to, list, text};

/// What may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything that can be made again: no claims, Secrets and namespaces.
    Replaceable,
    /// All of it, with data and secrets.
    Everything,
}

/// What holds data or secrets, or other objects.
const KEPT: &[&str] = &[
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Secret",
];

/// Kinds whose objects are made by the cluster itself; nobody looks for ours among them.
pub(super) const NEVER_OURS: &[&str] = &[
    "ComponentStatus",
    "ControllerRevision",
    "Endpoints",
    "EndpointSlice",
    "Event",
    "Lease",
    "Node",
    "NodeMetrics",
    "Pod",
    "PodMetrics",
    "ReplicaSet",
];

/// The objects of an environment that are not wanted, in the order in which they are removed: what is made last goes
/// first.
pub fn unwanted<'a>(
    live: &'a [Value],
    wanted: &BTreeSet<ObjectKey>,
    environment: &str,
    reach: Reach,
) -> Vec<&'a Value> {
    let mut unwanted: Vec<&Value> = live
        .iter()
        .filter(|object| belongs_to(object, environment))
        .filter(|object| ObjectKey::of(object).is_some_and(|key| !wanted.contains(&key)))
        .filter(|object| is_ours(object))
        .filter(|object| text(object, "/metadata/deletionTimestamp").is_none())
        .filter(|object| reach == Reach::Everything || !holds(object, KEPT))
        .collect();
    unwanted.sort_by_key(|object| {
        std::cmp::Reverse(super::stage::Stage::of_kind(
            text(object, "/kind").unwrap_or_default(),
        ))
    });
    unwanted
}

fn holds(object: &Value, kinds: &[&str]) -> bool {
    text(object, "/kind").is_some_and(|kind| kinds.contains(&kind))
}

/// Whether an object is ours. Claims are made by their `StatefulSet` from our template, labels and all.
fn is_ours(object: &Value) -> bool {
    text(object, "/kind") == Some("PersistentVolumeClaim")
        || (list(object, "/metadata/ownerReferences").is_empty()
            && !holds(object, NEVER_OURS)
            && is_made_by_us(object))
}

/// Whether shopctl set a field of an object itself.
pub(super) fn is_made_by_us(object: &Value) -> bool {
    list(object, "/metadata/managedFields")
        .iter()
        .any(|entry| text(entry, "/manager") == Some(MANAGER))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::object::{ENVIRONMENT, MANAGED_BY};
    use super::*;

    fn object(kind: &str, name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "ecommerce",
            "labels": {MANAGED_BY: MANAGER, ENVIRONMENT: "lab"},
            "managedFields": [{"manager": MANAGER, "operation": "Apply"}]}})
    }

    fn removed(live: &[Value], wanted: &[Value], reach: Reach) -> Vec<String> {
        let wanted = wanted.iter().filter_map(ObjectKey::of).collect();
        unwanted(live, &wanted, "lab", reach)
            .into_iter()
            .filter_map(ObjectKey::of)
            .map(|key| key.to_string())
            .collect()
    }

    #[test]
    fn what_left_the_manifests_goes_and_what_was_made_last_goes_first() {
        let live =
            ["ConfigMap", "Service", "Deployment", "Ingress"].map(|kind| object(kind, "echo"));
        let wanted = [object("ConfigMap", "echo")];
        assert_eq!(
            removed(&live, &wanted, Reach::Replaceable),
            ["ingress/echo", "deployment/echo", "service/echo"]
        );
    }

    #[test]
    fn claims_secrets_and_namespaces_go_only_in_a_purge() {
        let live =
            ["Namespace", "Secret", "PersistentVolumeClaim"].map(|kind| object(kind, "data"));
        assert_eq!(removed(&live, &[], Reach::Replaceable), [""; 0]);
        assert_eq!(
            removed(&live, &[], Reach::Everything),
            [
                "persistentvolumeclaim/data",
                "secret/data",
                "namespace/data"
            ]
        );
    }

    #[test]
    fn what_others_made_stays() {
        let mut of_other = object("ConfigMap", "other");
        of_other["metadata"]["labels"][ENVIRONMENT] = json!("staging");
        let mut copied = object("Deployment", "copied");
        copied["metadata"]["managedFields"] = json!([{"manager": "kube-controller-manager"}]);
        let mut owned = object("ConfigMap", "owned");
        owned["metadata"]["ownerReferences"] = json!([{"kind": "Deployment"}]);
        let mut going = object("ConfigMap", "going");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let live = [
            of_other,
            copied,
            owned,
            going,
            object("Endpoints", "gateway"),
        ];
        assert_eq!(removed(&live, &[], Reach::Everything), [""; 0]);
    }

    #[test]
    fn a_claim_that_a_stateful_set_made_goes_in_a_purge() {
        let mut claim = object("PersistentVolumeClaim", "data-postgres-0");
        claim["metadata"]["managedFields"] = json!([{"manager": "k3s"}]);
        assert_eq!(
            removed(&[claim], &[], Reach::Everything),
            ["persistentvolumeclaim/data-postgres-0"]
        );
    }

    #[test]
    fn the_version_of_an_api_makes_no_other_object() {
        let mut old = object("Ingress", "shop");
        old["apiVersion"] = json!("networking.k8s.io/v1beta1");
        let mut new = object("Ingress", "shop");
        new["apiVersion"] = json!("networking.k8s.io/v1");
        assert_eq!(removed(&[old], &[new], Reach::Replaceable), [""; 0]);
    }
}
