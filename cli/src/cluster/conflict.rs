//! Who else set a field that is ours too. Pure.

use kube::core::Status;
use serde::Serialize;

use super::diff::FieldChange;

/// A field that somebody else set to something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The field, as the API server writes it: `.spec.replicas`.
    pub field: String,
    /// Who set it: a field manager, as in `kubectl-edit`.
    pub owner: String,
}

/// What the API server says of fields that others set; empty if its answer is about something else.
pub(super) fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| Conflict {
            field: cause.field.clone(),
            // conflict with "kubectl" with subresource "scale" using apps/v1
            owner: cause
                .message
                .split('"')
                .nth(1)
                .unwrap_or("somebody else")
                .to_owned(),
        })
        .collect()
}

/// Notes at each change who set what is there.
pub(super) fn attribute(changes: &mut [FieldChange], conflicts: &[Conflict]) {
    for change in changes {
        let path = plain(&change.path);
        change.set_by = conflicts
            .iter()
            .find(|conflict| {
                let field = plain(&conflict.field);
                field == path || path.starts_with(&format!("{field}."))
            })
            .map(|conflict| conflict.owner.clone());
    }
}

/// A path in one notation: `.spec.containers[name="order"].image` is `spec.containers.order.image`.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    for part in path.split(['[', ']']) {
        let keys: Vec<&str> = if part.contains("=\"") || part.contains('=') {
            part.split(',')
                .map(|key| key.split_once('=').map_or(key, |(_, value)| value))
                .collect()
        } else {
            vec![part]
        };
        let part = keys.join("/").replace('"', "");
        let part = part.trim_matches('.');
        if !part.is_empty() {
            if !plain.is_empty() {
                plain.push('.');
            }
            plain.push_str(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::diff::{Mask, changes};
    use super::*;

    fn answer() -> Status {
        serde_json::from_value(json!({
            "status": "Failure", "code": 409, "reason": "Conflict",
            "message": "Apply failed with 2 conflicts",
            "details": {"name": "order", "kind": "deployments", "causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.replicas",
                 "message": "conflict with \"kubectl\" with subresource \"scale\" using apps/v1"},
                {"reason": "FieldManagerConflict", "field": ".spec.template.spec.containers[name=\"order\"].image",
                 "message": "conflict with \"kubectl-edit\" using apps/v1"}]}
        }))
        .unwrap()
    }

    #[test]
    fn a_conflict_names_the_field_and_who_set_it() {
        let found = conflicts(&answer());
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].field.as_str(), found[0].owner.as_str()),
            (".spec.replicas", "kubectl")
        );
        assert_eq!(found[1].owner, "kubectl-edit");
    }

    #[test]
    fn another_refusal_is_no_conflict_of_fields() {
        let mut other = answer();
        other.details = None;
        assert_eq!(conflicts(&other), []);
    }

    #[test]
    fn each_change_says_who_set_what_is_there() {
        let object = |replicas: u32, image: &str, port: u32| {
            json!({"kind": "Deployment", "spec": {"replicas": replicas, "paused": port == 1, "template": {"spec": {
            "containers": [{"name": "order", "image": image}]}}}})
        };
        let mut found = changes(&object(5, "a", 1), &object(2, "b", 2), &Mask::default());
        attribute(&mut found, &conflicts(&answer()));
        let told: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|change| (change.path.as_str(), change.set_by.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("spec.paused", None),
                ("spec.replicas", Some("kubectl")),
                (
                    "spec.template.spec.containers[order].image",
                    Some("kubectl-edit")
                ),
            ]
        );
    }
}
