//! Whose the number of a workload's pods is: the environment's, or an autoscaler's.
//!
//! A workload that is wanted without a number leaves it to its autoscaler. Two things would go wrong if nobody cared: who
//! stops saying a number that only he said removes it, and the cluster puts 1 in its place; and who says one again is told
//! that another one's must not be taken, though the autoscaler who set it is gone.

use serde_json::{Value, json};

use super::conflict::Conflict;
use super::connect::{Applied, Applying, Cluster};
use super::error::ClusterError;
use super::object::{MANAGER, ObjectKey, list, text};
use super::prune::is_made_by_us;

/// The field.
const REPLICAS: &str = "/spec/replicas";

/// Who keeps a workload's number until its autoscaler says another one.
const KEEPER: &str = "shopctl-autoscaling";

/// Who autoscalers speak through: the controllers, which are one program in k3s.
const CONTROLLERS: [&str; 2] = ["kube-controller-manager", "k3s"];

/// Kinds that an autoscaler may scale.
const SCALABLE: [&str; 2] = ["Deployment", "StatefulSet"];

/// Whether a wanted object leaves the number of its pods to an autoscaler.
pub fn is_autoscaled(wanted: &Value) -> bool {
    text(wanted, "/kind").is_some_and(|kind| SCALABLE.contains(&kind))
        && wanted.pointer(REPLICAS).is_none()
}

/// Lets an object that a dry run gave have the number of pods that there is, if that is left to an autoscaler.
pub(super) fn keep_number(wanted: &Value, live: Option<&Value>, after: &mut Value) {
    if is_autoscaled(wanted)
        && let Some(number) = live.and_then(|live| live.pointer(REPLICAS))
        && let Some(place) = after.pointer_mut(REPLICAS)
    {
        *place = number.clone();
    }
}

/// Says the number that there is as somebody else, before we say none.
pub(super) async fn hand_over(cluster: &Cluster, wanted: &Value) -> Result<(), ClusterError> {
    if !is_autoscaled(wanted) {
        return Ok(());
    }
    let Some(key) = ObjectKey::of(wanted) else {
        return Ok(());
    };
    let Some(kept) = cluster.get(&key).await?.as_ref().and_then(number_of_ours) else {
        return Ok(());
    };
    let keeping = Applying {
        manager: KEEPER,
        ..Applying::default()
    };
    match cluster.apply(&kept, None, keeping).await? {
        Applied::Object(_) => Ok(()),
        Applied::Refused(status) => Err(ClusterError::of_status(
            format!("leave the number of pods of {key} to its autoscaler"),
            &status,
            false,
        )),
    }
}

/// A workload with nothing but its number of pods, if we are among those who said it.
fn number_of_ours(live: &Value) -> Option<Value> {
    let ours = list(live, "/metadata/managedFields").iter().any(|entry| {
        text(entry, "/manager") == Some(MANAGER)
            && entry.pointer("/fieldsV1/f:spec/f:replicas").is_some()
    });
    let number = live.pointer(REPLICAS).filter(|_| ours)?;
    Some(json!({
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": { "name": live["metadata"]["name"], "namespace": live["metadata"]["namespace"] },
        "spec": { "replicas": number },
    }))
}

/// Whether all that is in the way is a number that an autoscaler left which is ours or gone. Nobody would miss it.
pub(super) async fn is_left_over(
    cluster: &Cluster,
    wanted: &Value,
    conflicts: &[Conflict],
) -> Result<bool, ClusterError> {
    let (Some(key), true) = (ObjectKey::of(wanted), conflicts.iter().all(is_scaling)) else {
        return Ok(false);
    };
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let scalers = cluster
        .list_named("autoscaling", "HorizontalPodAutoscaler", namespace, "")
        .await?;
    Ok(!scalers
        .iter()
        .any(|scaler| scales(scaler, &key) && !is_made_by_us(scaler)))
}

fn is_scaling(conflict: &Conflict) -> bool {
    conflict.field == ".spec.replicas"
        && (conflict.owner == KEEPER || CONTROLLERS.contains(&conflict.owner.as_str()))
}

fn scales(scaler: &Value, key: &ObjectKey) -> bool {
    text(scaler, "/spec/scaleTargetRef/kind") == Some(key.kind.as_str())
        && text(scaler, "/spec/scaleTargetRef/name") == Some(key.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: Option<u32>) -> Value {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "order", "namespace": "ecommerce"}, "spec": {"paused": false}});
        if let Some(replicas) = replicas {
            object["spec"]["replicas"] = json!(replicas);
        }
        object
    }

    #[test]
    fn what_an_autoscaler_decides_is_no_difference() {
        let live = deployment(Some(5));
        let mut after = deployment(Some(1));
        keep_number(&deployment(None), Some(&live), &mut after);
        assert_eq!(after, live);
        let mut ours = deployment(Some(2));
        keep_number(&deployment(Some(2)), Some(&live), &mut ours);
        assert_eq!(ours, deployment(Some(2)));
    }

    #[test]
    fn the_number_is_handed_over_only_while_it_is_ours() {
        let mut live = deployment(Some(4));
        let said_by = |manager: &str| {
            json!([{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}}])
        };
        live["metadata"]["managedFields"] = said_by("k3s");
        assert_eq!(number_of_ours(&live), None);
        live["metadata"]["managedFields"] = said_by(MANAGER);
        let kept = number_of_ours(&live).unwrap();
        assert_eq!(kept["spec"], json!({"replicas": 4}));
        assert_eq!(
            kept["metadata"],
            json!({"name": "order", "namespace": "ecommerce"})
        );
    }

    #[test]
    fn a_number_that_a_person_set_is_not_left_over() {
        let by = |field: &str, owner: &str| {
            is_scaling(&Conflict {
                field: field.to_owned(),
                owner: owner.to_owned(),
            })
        };
        assert!(by(".spec.replicas", "k3s") && by(".spec.replicas", KEEPER));
        assert!(!by(".spec.replicas", "kubectl"));
        assert!(!by(".spec.paused", "k3s"));
    }
}
