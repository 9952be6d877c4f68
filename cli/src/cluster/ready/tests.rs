#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is used"
)]

use serde_json::json;

use super::*;

fn deployment(generation: i64, status: Value) -> Value {
    json!({"kind": "Deployment", "metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status})
}

fn waiting(readiness: Readiness) -> String {
    match readiness {
        Readiness::Waiting(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deployment_is_ready_when_every_pod_is_new_and_the_old_ones_are_gone() {
    let status = |all, updated, available, seen| json!({"replicas": all, "updatedReplicas": updated, "availableReplicas": available, "observedGeneration": seen});
    assert_eq!(
        readiness(&deployment(2, status(2, 2, 2, 2))),
        Readiness::Ready
    );
    // The status is that of the version before.
    assert_eq!(
        waiting(readiness(&deployment(3, status(2, 2, 2, 2)))),
        UNOBSERVED
    );
    assert!(
        waiting(readiness(&deployment(2, status(3, 1, 2, 2))))
            .contains("1 of 2 pods are of the new")
    );
    assert!(
        waiting(readiness(&deployment(2, status(2, 2, 1, 2)))).contains("1 of 2 pods are ready")
    );
    assert!(waiting(readiness(&deployment(2, status(3, 2, 2, 2)))).contains("not gone"));
}

#[test]
fn a_deployment_that_gave_up_says_why() {
    let status = json!({"observedGeneration": 2, "updatedReplicas": 1, "conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}]});
    assert_eq!(
        readiness(&deployment(2, status)),
        Readiness::Failed("ProgressDeadlineExceeded: too slow".to_owned())
    );
}

fn set(status: Value, strategy: Value) -> Value {
    json!({"kind": "StatefulSet", "metadata": {"generation": 2, "uid": "u"},
        "spec": {"replicas": 3, "updateStrategy": strategy}, "status": status})
}

#[test]
fn a_stateful_set_is_ready_when_all_are_new_and_ready_and_no_surplus_is_left() {
    let rolling = json!({"type": "RollingUpdate"});
    let status = |all, updated, ready| json!({"observedGeneration": 2, "replicas": all, "updatedReplicas": updated, "readyReplicas": ready});
    assert_eq!(
        readiness(&set(status(3, 3, 3), rolling.clone())),
        Readiness::Ready
    );
    assert!(waiting(readiness(&set(status(3, 1, 3), rolling.clone()))).contains("1 of 3"));
    assert!(waiting(readiness(&set(status(3, 3, 2), rolling.clone()))).contains("2 of 3"));
    assert!(waiting(readiness(&set(status(4, 3, 3), rolling))).contains("surplus"));
    let by_hand = json!({"type": "OnDelete"});
    assert_eq!(readiness(&set(status(3, 1, 3), by_hand)), Readiness::Ready);
    let held = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    assert_eq!(readiness(&set(status(3, 1, 3), held)), Readiness::Ready);
}

#[test]
fn a_job_is_ready_when_it_is_done_and_failed_when_it_gave_up() {
    let job = |status: Value| json!({"kind": "Job", "status": status});
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    assert_eq!(readiness(&job(done)), Readiness::Ready);
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    assert_eq!(
        readiness(&job(failed)),
        Readiness::Failed("BackoffLimitExceeded".to_owned())
    );
    assert!(waiting(readiness(&job(json!({"active": 1, "failed": 3})))).contains("3 tries"));
}

#[test]
fn claims_services_and_namespaces_have_a_state_of_their_own() {
    let claim = |phase: &str| json!({"kind": "PersistentVolumeClaim", "status": {"phase": phase}});
    assert_eq!(readiness(&claim("Bound")), Readiness::Ready);
    assert!(matches!(readiness(&claim("Lost")), Readiness::Failed(_)));
    waiting(readiness(&claim("Pending")));
    let service = |spec: Value| json!({"kind": "Service", "spec": spec});
    assert_eq!(
        readiness(&service(json!({"clusterIP": "None"}))),
        Readiness::Ready
    );
    waiting(readiness(&service(
        json!({"clusterIP": "10.0.0.1", "type": "LoadBalancer"}),
    )));
    waiting(readiness(
        &json!({"kind": "Namespace", "status": {"phase": "Terminating"}}),
    ));
    assert_eq!(readiness(&json!({"kind": "ConfigMap"})), Readiness::Ready);
}

fn pod(revision: &str, container: Value) -> Value {
    json!({"kind": "Pod", "metadata": {"name": format!("redis-{revision}"), "ownerReferences": [{"uid": "u"}],
        "labels": {"controller-revision-hash": revision}},
        "status": {"phase": "Pending", "containerStatuses": [container]}})
}

fn no_image() -> Value {
    json!({"name": "redis", "ready": false, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}})
}

#[test]
fn a_pod_without_an_image_is_stuck_and_says_why() {
    let found = trouble(&pod("1", no_image())).unwrap();
    assert!(found.is_stuck && found.is_hopeless && !found.has_ended);
    assert_eq!(found.reason, "ImagePullBackOff: no such image");
    assert_eq!(found.container.as_deref(), Some("redis"));
}

#[test]
fn a_pod_that_crashes_says_how_it_ended_last() {
    let container = json!({"name": "redis", "ready": false, "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "a\nno data folder\n"}}});
    let found = trouble(&pod("1", container)).unwrap();
    assert!(found.has_ended && found.is_stuck && !found.is_hopeless);
    assert_eq!(
        found.reason,
        "CrashLoopBackOff: back-off 40s; it ended with 1 (Error): no data folder"
    );
}

#[test]
fn a_pod_that_crashes_again_and_again_is_given_up_unless_it_wants_to_be_started_again() {
    let hopeless = |restarts: u32, code: u32| {
        let container = json!({"name": "redis", "ready": false, "restartCount": restarts,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": code, "reason": "Error"}}});
        trouble(&pod("1", container)).unwrap().is_hopeless
    };
    assert!(hopeless(3, 1) && !hopeless(2, 1));
    assert!(!hopeless(9, 75));
}

#[test]
fn a_deployment_whose_pods_are_refused_says_so() {
    let refused = json!({"kind": "Deployment", "metadata": {"generation": 1}, "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "conditions": [{"type": "ReplicaFailure", "status": "True",
            "reason": "FailedCreate", "message": "pods \"echo-1\" is forbidden"}]}});
    assert_eq!(
        readiness(&refused),
        Readiness::Failed("FailedCreate: pods \"echo-1\" is forbidden".to_owned())
    );
}

#[test]
fn a_pod_that_is_being_made_is_neither_stuck_nor_fine() {
    let container = json!({"name": "redis", "ready": false, "state": {"waiting": {"reason": "ContainerCreating"}}});
    let found = trouble(&pod("1", container)).unwrap();
    assert!(!found.is_stuck && !found.is_hopeless);
    let mut ready = pod("1", no_image());
    ready["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    assert_eq!(trouble(&ready), None);
}

#[test]
fn pods_of_an_older_version_that_cannot_start_hold_up_a_rollout() {
    let rolling = set(
        json!({"observedGeneration": 2, "updateRevision": "2", "currentRevision": "0"}),
        json!({"type": "RollingUpdate"}),
    );
    let runs = json!({"name": "redis", "ready": true, "state": {"running": {}}});
    let mut of_others = pod("1", no_image());
    of_others["metadata"]["ownerReferences"] = json!([{"uid": "other"}]);
    let mut going = pod("1", no_image());
    going["metadata"]["deletionTimestamp"] = json!("now");
    let pods = [
        pod("1", no_image()),
        pod("2", no_image()),
        pod("0", runs),
        of_others,
        going,
    ];
    let stuck: Vec<&str> = stuck_pods(&rolling, &pods)
        .into_iter()
        .filter_map(|pod| text(pod, "/metadata/name"))
        .collect();
    assert_eq!(stuck, ["redis-1"]);
}
