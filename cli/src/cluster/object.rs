//! Objects of a cluster as JSON, and what they are known by. Pure.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What tells everybody that an object is ours.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What says which environment an object belongs to.
pub const ENVIRONMENT: &str = "shopctl/environment";
/// The field manager, and the value of [`MANAGED_BY`].
pub const MANAGER: &str = "shopctl";

/// What an object is known by. The version of its API does not matter: `apps/v1` and `apps/v1beta1` are the same
/// object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKey {
    /// The API group; empty for the core.
    pub group: String,
    /// Its kind, as in `Deployment`.
    pub kind: String,
    /// Its namespace; none if its kind has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// What an object is known by; none if it says no kind or no name.
    pub fn of(object: &Value) -> Option<Self> {
        Some(Self {
            group: group_of(text(object, "/apiVersion")?).to_owned(),
            kind: text(object, "/kind")?.to_owned(),
            namespace: text(object, "/metadata/namespace").map(str::to_owned),
            name: text(object, "/metadata/name")?.to_owned(),
        })
    }
}

impl fmt::Display for ObjectKey {
    /// As kubectl takes it: `deployment/order`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}",
            self.kind.to_ascii_lowercase(),
            self.name
        )
    }
}

/// The group in an `apiVersion`: `apps/v1` is of `apps`, `v1` of the core.
pub(super) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The text at a JSON pointer.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

/// The number at a JSON pointer.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

/// The list at a JSON pointer; empty if there is none.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A label of an object.
pub fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// Whether an object says that it belongs to an environment.
pub(super) fn belongs_to(object: &Value, environment: &str) -> bool {
    label(object, MANAGED_BY) == Some(MANAGER) && label(object, ENVIRONMENT) == Some(environment)
}

/// The selector of all objects of an environment.
pub fn selector_of(environment: &str) -> String {
    format!("{MANAGED_BY}={MANAGER},{ENVIRONMENT}={environment}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_known_by_group_kind_namespace_and_name() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "order", "namespace": "ecommerce"}});
        let key = ObjectKey::of(&object).unwrap();
        assert_eq!(key.to_string(), "deployment/order");
        assert_eq!(
            (key.group.as_str(), key.namespace.as_deref()),
            ("apps", Some("ecommerce"))
        );
        assert_eq!(ObjectKey::of(&json!({"kind": "Deployment"})), None);
    }

    #[test]
    fn only_what_carries_both_labels_belongs_to_an_environment() {
        let of = |labels: Value| json!({"metadata": {"labels": labels}});
        assert!(belongs_to(
            &of(json!({MANAGED_BY: MANAGER, ENVIRONMENT: "lab"})),
            "lab"
        ));
        assert!(!belongs_to(
            &of(json!({MANAGED_BY: MANAGER, ENVIRONMENT: "other"})),
            "lab"
        ));
        assert!(!belongs_to(
            &of(json!({MANAGED_BY: "helm", ENVIRONMENT: "lab"})),
            "lab"
        ));
        assert!(!belongs_to(&json!({}), "lab"));
    }
}
