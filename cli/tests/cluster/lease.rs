//! One run at a time.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use shopctl::cluster::{ClusterError, Lease, LeaseRequest, ObjectKey};
use shopctl::event::Unobserved;
use shopctl::interrupt::Interrupt;

use super::server::cluster;

fn request<'a>(environment: &'a str, refuse: bool, interrupt: &'a Interrupt) -> LeaseRequest<'a> {
    LeaseRequest {
        environment,
        command: "up",
        refuse,
        interrupt,
    }
}

#[tokio::test]
async fn the_second_run_is_told_who_is_at_work_and_goes_on_when_the_first_is_done() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let never = Interrupt::never();
    let first = Lease::take(&cluster, &request("one", true, &never), &Unobserved)
        .await
        .unwrap();
    let refused = Lease::take(&cluster, &request("one", true, &never), &Unobserved)
        .await
        .unwrap_err();
    assert!(matches!(refused, ClusterError::Busy { .. }), "{refused}");
    let told = refused.to_string();
    assert!(
        told.contains(&format!("shopctl up, pid {}", std::process::id())),
        "{told}"
    );
    // Another environment is another shop.
    let other = Lease::take(&cluster, &request("two", true, &never), &Unobserved)
        .await
        .unwrap();
    other.release().await.unwrap();
    first.release().await.unwrap();
    let next = Lease::take(&cluster, &request("one", true, &never), &Unobserved)
        .await
        .unwrap();
    next.release().await.unwrap();
}

#[tokio::test]
async fn who_was_killed_on_this_machine_holds_nobody_up() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let never = Interrupt::never();
    let held = Lease::take(&cluster, &request("killed", true, &never), &Unobserved)
        .await
        .unwrap();
    drop(held);
    let key = ObjectKey {
        group: "coordination.k8s.io".to_owned(),
        kind: "Lease".to_owned(),
        namespace: Some("kube-system".to_owned()),
        name: "shopctl-killed".to_owned(),
    };
    let mut lease = cluster.get(&key).await.unwrap().unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let process = json!({"pid": dead.id(), "startTicks": 1, "bootId": boot.trim()});
    lease["metadata"]["annotations"]["shopctl/process"] = json!(process.to_string());
    assert!(cluster.replace(&lease).await.unwrap());
    let next = Lease::take(&cluster, &request("killed", true, &never), &Unobserved)
        .await
        .unwrap();
    next.release().await.unwrap();
}

#[tokio::test]
async fn a_run_whose_lease_was_taken_hears_of_it() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let never = Interrupt::never();
    let held = Lease::take(&cluster, &request("taken", true, &never), &Unobserved)
        .await
        .unwrap();
    let key = ObjectKey {
        group: "coordination.k8s.io".to_owned(),
        kind: "Lease".to_owned(),
        namespace: Some("kube-system".to_owned()),
        name: "shopctl-taken".to_owned(),
    };
    let mut lease = cluster.get(&key).await.unwrap().unwrap();
    lease["spec"]["holderIdentity"] = json!("somebody@else");
    assert!(cluster.replace(&lease).await.unwrap());
    let lost = tokio::time::timeout(Duration::from_secs(20), held.lost())
        .await
        .unwrap();
    assert!(lost.to_string().contains("somebody@else"), "{lost}");
}
