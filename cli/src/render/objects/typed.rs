//! Passes objects through their types, which know all fields that there are.

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What a kind is like.
pub(super) struct Kind {
    api_version: &'static str,
    name: &'static str,
    /// Whether its objects live in a namespace.
    pub(super) namespaced: bool,
    /// When it is applied: lower comes first.
    pub(super) order: u8,
    round_trip: fn(Json) -> Result<Json, String>,
}

const fn kind<T: Resource + Serialize + DeserializeOwned>(namespaced: bool, order: u8) -> Kind {
    Kind {
        api_version: T::API_VERSION,
        name: T::KIND,
        namespaced,
        order,
        round_trip: round_trip::<T>,
    }
}

/// The kinds that objects may have.
static KINDS: [Kind; 19] = [
    kind::<Namespace>(false, 0),
    kind::<IngressClass>(false, 1),
    kind::<ClusterRole>(false, 1),
    kind::<ClusterRoleBinding>(false, 1),
    kind::<ServiceAccount>(true, 2),
    kind::<Role>(true, 2),
    kind::<RoleBinding>(true, 2),
    kind::<NetworkPolicy>(true, 2),
    kind::<ConfigMap>(true, 3),
    kind::<Secret>(true, 3),
    kind::<PersistentVolumeClaim>(true, 3),
    kind::<Service>(true, 4),
    kind::<StatefulSet>(true, 5),
    kind::<Job>(true, 6),
    kind::<Deployment>(true, 7),
    kind::<DaemonSet>(true, 7),
    kind::<CronJob>(true, 7),
    kind::<PodDisruptionBudget>(true, 8),
    kind::<HorizontalPodAutoscaler>(true, 8),
];
static INGRESS: Kind = kind::<Ingress>(true, 9);

fn round_trip<T: Serialize + DeserializeOwned>(value: Json) -> Result<Json, String> {
    let typed: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    serde_json::to_value(&typed).map_err(|error| error.to_string())
}

/// The kind of an object, once the object fits its type. The error says what does not fit, and where.
pub(super) fn check(value: &Json) -> Result<&'static Kind, String> {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let (api_version, name) = (text("apiVersion"), text("kind"));
    let known = KINDS
        .iter()
        .chain([&INGRESS])
        .find(|kind| kind.api_version == api_version && kind.name == name)
        .ok_or_else(|| format!("there is no kind `{name}` of `{api_version}` here"))?;
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err("it has no `metadata.name`".to_owned());
    }
    let typed = (known.round_trip)(value.clone())?;
    let mut way = Vec::new();
    match unknown(value, &typed, &mut way) {
        Some(field) => Err(format!("unknown field `{field}`")),
        None => Ok(known),
    }
}

/// The first field of the object that its type does not have: it is gone after a way through the type.
fn unknown(value: &Json, typed: &Json, way: &mut Vec<String>) -> Option<String> {
    match (value, typed) {
        (Json::Object(fields), Json::Object(typed)) => fields.iter().find_map(|(key, inner)| {
            way.push(key.clone());
            let found = match typed.get(key) {
                Some(typed) => unknown(inner, typed, way),
                // A field without a value says nothing; types leave it out.
                None if is_nothing(inner) => None,
                None => Some(way.join(".")),
            };
            way.pop();
            found
        }),
        (Json::Array(items), Json::Array(typed)) => {
            items
                .iter()
                .zip(typed)
                .enumerate()
                .find_map(|(index, (inner, typed))| {
                    way.push(index.to_string());
                    let found = unknown(inner, typed, way);
                    way.pop();
                    found
                })
        }
        _ => None,
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(fields) => fields.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config_map() -> Json {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "a" },
            "data": { "key": "value" },
        })
    }

    fn misfit(value: &Json) -> String {
        check(value).err().unwrap_or_default()
    }

    #[test]
    fn an_object_that_fits_is_of_its_kind() {
        let kind = check(&config_map()).map_err(|_| ()).unwrap();
        assert_eq!((kind.name, kind.namespaced), ("ConfigMap", true));
    }

    #[test]
    fn a_field_that_the_type_does_not_have_is_named_with_its_way() {
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "a" },
            "spec": {
                "selector": {},
                "template": { "spec": { "containers": [{ "name": "a" }, { "name": "b", "imagePulPolicy": "Never" }] } },
            },
        });
        assert_eq!(
            misfit(&deployment),
            "unknown field `spec.template.spec.containers.1.imagePulPolicy`"
        );
    }

    #[test]
    fn a_value_of_another_type_is_no_value() {
        let mut wrong = config_map();
        wrong["data"]["key"] = json!(1);
        assert!(
            misfit(&wrong).contains("expected a string"),
            "{}",
            misfit(&wrong)
        );
    }

    #[test]
    fn an_unknown_kind_and_an_object_without_a_name_are_refused() {
        let mut wrong = config_map();
        wrong["kind"] = json!("ConfigMop");
        assert_eq!(misfit(&wrong), "there is no kind `ConfigMop` of `v1` here");
        let mut wrong = config_map();
        wrong["metadata"] = json!({});
        assert_eq!(misfit(&wrong), "it has no `metadata.name`");
    }
}
