//! What runs on a cluster, as `shopctl status` answers it.

use serde::Serialize;
use serde_json::Value;

use super::{K3sError, NAMESPACE};
use crate::cluster::{Cluster, ObjectPlan, label, list, number, pods, text, trouble};
use crate::environment::Environment;

/// The answer of `shopctl status`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The environment.
    pub environment: String,
    /// Where the API server is.
    pub server: String,
    /// The nodes.
    pub nodes: Vec<NodeRow>,
    /// The pods, by component.
    pub pods: Vec<PodRow>,
    /// The objects that are not as the environment says; none if that was not looked at.
    pub pending: Option<ObjectPlan>,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// `server` or `agent`.
    pub role: String,
    /// Whether it takes part.
    pub ready: bool,
    /// Its version of k3s.
    pub version: String,
    /// Its address.
    pub address: String,
    /// Whether no host of the environment file is this node.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stranger: bool,
    /// Why it is not ready, or takes no pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRow {
    /// Its component.
    pub component: String,
    /// Its name.
    pub pod: String,
    /// Its phase: `Running`, `Pending`, `Succeeded`…
    pub phase: String,
    /// Whether it can serve, or has done what it was made for.
    pub ready: bool,
    /// Its node.
    pub node: String,
    /// How often its containers were started again.
    pub restarts: i64,
    /// Since when it is there.
    pub since: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Looks at the cluster of an environment.
pub async fn status(
    cluster: &Cluster,
    environment: &Environment,
) -> Result<ClusterStatus, K3sError> {
    let kinds = cluster.kinds();
    let node_kind = kinds
        .all()
        .find(|kind| kind.kind == "Node" && kind.api_version == "v1");
    let nodes = async {
        match node_kind {
            Some(kind) => cluster.list(kind, None, "").await,
            None => Ok(Vec::new()),
        }
    };
    let (nodes, pods) = tokio::try_join!(nodes, pods(cluster, NAMESPACE))?;
    let mut rows: Vec<PodRow> = pods.iter().map(pod_row).collect();
    rows.sort_by(|left, right| (&left.component, &left.pod).cmp(&(&right.component, &right.pod)));
    Ok(ClusterStatus {
        environment: environment.name.to_string(),
        server: cluster.server().to_owned(),
        nodes: nodes
            .iter()
            .map(|node| NodeRow {
                stranger: !is_named(node, environment),
                ..node_row(node)
            })
            .collect(),
        pods: rows,
        pending: None,
    })
}

fn is_named(node: &Value, environment: &Environment) -> bool {
    text(node, "/metadata/name").is_some_and(|name| environment.hosts.contains_key(name))
}

fn node_row(node: &Value) -> NodeRow {
    let of = |pointer| text(node, pointer).unwrap_or_default().to_owned();
    let ready = list(node, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == Some("Ready"));
    let is_ready = ready.is_some_and(|ready| text(ready, "/status") == Some("True"));
    let is_server = label(node, "node-role.kubernetes.io/control-plane").is_some();
    let cordoned = node.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
    let detail = if is_ready {
        cordoned.then(|| "it takes no new pods".to_owned())
    } else {
        let message = ready.and_then(|ready| text(ready, "/message"));
        Some(message.unwrap_or("nothing is known of it").to_owned())
    };
    NodeRow {
        name: of("/metadata/name"),
        role: if is_server { "server" } else { "agent" }.to_owned(),
        ready: is_ready,
        version: of("/status/nodeInfo/kubeletVersion"),
        address: list(node, "/status/addresses")
            .iter()
            .find(|address| text(address, "/type") == Some("InternalIP"))
            .and_then(|address| text(address, "/address"))
            .unwrap_or_default()
            .to_owned(),
        stranger: false,
        detail,
    }
}

fn pod_row(pod: &Value) -> PodRow {
    let of = |pointer| text(pod, pointer).unwrap_or_default().to_owned();
    let going = text(pod, "/metadata/deletionTimestamp").is_some();
    let detail = trouble(pod).map(|trouble| trouble.reason);
    PodRow {
        component: label(pod, "app.kubernetes.io/name")
            .unwrap_or_default()
            .to_owned(),
        pod: of("/metadata/name"),
        phase: if going {
            "Terminating".to_owned()
        } else {
            of("/status/phase")
        },
        ready: !going && detail.is_none(),
        node: of("/spec/nodeName"),
        restarts: list(pod, "/status/containerStatuses")
            .iter()
            .filter_map(|status| number(status, "/restartCount"))
            .sum(),
        since: of("/metadata/creationTimestamp"),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_is_silent_says_so_and_a_cordoned_one_takes_no_pods() {
        let node = |status: &str, cordoned: bool| {
            node_row(
                &json!({"metadata": {"name": "a", "labels": {"node-role.kubernetes.io/control-plane": "true"}},
                "spec": {"unschedulable": cordoned},
                "status": {"nodeInfo": {"kubeletVersion": "v1"}, "conditions": [
                    {"type": "Ready", "status": status, "message": "Kubelet stopped posting"}]}}),
            )
        };
        let silent = node("Unknown", false);
        assert_eq!((silent.ready, silent.role.as_str()), (false, "server"));
        assert_eq!(silent.detail.as_deref(), Some("Kubelet stopped posting"));
        assert!(node("True", true).detail.is_some());
        assert_eq!(node("True", false).detail, None);
    }

    #[test]
    fn a_pod_that_is_not_ready_says_why() {
        let row = pod_row(
            &json!({"metadata": {"name": "order-1", "labels": {"app.kubernetes.io/name": "order"}},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "order", "restartCount": 2,
                "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
        );
        assert_eq!(
            (row.component.as_str(), row.restarts, row.ready),
            ("order", 2, false)
        );
        assert_eq!(row.detail.as_deref(), Some("ImagePullBackOff"));
    }
}
