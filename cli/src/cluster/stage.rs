//! The order in which objects are made: what others need comes first. Pure.

use serde_json::Value;

use super::object::text;

/// A group of objects that may be made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Namespaces.
    Namespaces,
    /// Definitions of kinds and classes that others name.
    Definitions,
    /// Accounts, roles, policies, quotas.
    Rules,
    /// `ConfigMap`s and Secrets.
    Configuration,
    /// Volumes and their claims.
    Storage,
    /// Services, which give pods the names of their peers.
    Network,
    /// What runs pods, and everything that nobody here knows.
    Workloads,
    /// What stands before or beside the pods: Ingress, autoscalers, disruption budgets.
    Edge,
}

impl Stage {
    /// The stage of a kind.
    pub fn of_kind(kind: &str) -> Self {
        match kind {
            "Namespace" => Self::Namespaces,
            "CustomResourceDefinition"
            | "StorageClass"
            | "IngressClass"
            | "PriorityClass"
            | "RuntimeClass"
            | "APIService" => Self::Definitions,
            "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding"
            | "NetworkPolicy" | "ResourceQuota" | "LimitRange" => Self::Rules,
            "ConfigMap" | "Secret" => Self::Configuration,
            "PersistentVolume" | "PersistentVolumeClaim" => Self::Storage,
            "Service" | "EndpointSlice" => Self::Network,
            "Ingress" | "HorizontalPodAutoscaler" | "PodDisruptionBudget" => Self::Edge,
            _ => Self::Workloads,
        }
    }
}

/// Objects in stages; within one in the order in which they were given.
pub fn in_stages(objects: &[Value]) -> Vec<Vec<&Value>> {
    let stage = |object: &Value| Stage::of_kind(text(object, "/kind").unwrap_or_default());
    let mut sorted: Vec<&Value> = objects.iter().collect();
    sorted.sort_by_key(|object| stage(object));
    sorted
        .chunk_by(|left, right| stage(left) == stage(right))
        .map(<[_]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_need_is_made_first() {
        let objects: Vec<Value> = [
            "Ingress",
            "Deployment",
            "Secret",
            "Namespace",
            "Widget",
            "ConfigMap",
        ]
        .map(|kind| json!({"kind": kind}))
        .into();
        let stages: Vec<Vec<&str>> = in_stages(&objects)
            .iter()
            .map(|stage| {
                stage
                    .iter()
                    .filter_map(|object| text(object, "/kind"))
                    .collect()
            })
            .collect();
        assert_eq!(
            stages,
            [
                vec!["Namespace"],
                vec!["Secret", "ConfigMap"],
                vec!["Deployment", "Widget"],
                vec!["Ingress"]
            ]
        );
    }
}
