//! Who says how many pods there are, on a real API server.

use serde_json::{Value, json};
use shopctl::cluster::{Applying, ObjectKey, ObjectPlan};

use super::apply::{Shop, deeds};

impl Shop {
    /// Sets the number of pods as autoscalers and `kubectl scale` do.
    async fn scale(&self, replicas: u32, manager: &str) {
        let request = kube::core::Request::new(format!(
            "/apis/apps/v1/namespaces/{}/deployments",
            self.name
        ))
        .patch_subresource(
            "scale",
            "order",
            &kube::api::PatchParams {
                field_manager: Some(manager.to_owned()),
                ..Default::default()
            },
            &kube::api::Patch::Merge(json!({"spec": {"replicas": replicas}})),
        )
        .unwrap();
        self.cluster
            .client()
            .request::<Value>(request)
            .await
            .unwrap();
    }

    async fn replicas(&self) -> u64 {
        let key = ObjectKey::of(&self.deployment(0)).unwrap();
        let live = self.cluster.get(&key).await.unwrap().unwrap();
        live["spec"]["replicas"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn the_number_of_pods_is_handed_to_an_autoscaler_and_taken_back_when_it_is_gone() {
    let Some(shop) = Shop::new("scaled").await else {
        return;
    };
    let fixed = [shop.namespace(), shop.deployment(3)];
    shop.up(&fixed, false).await.unwrap();
    let mut scaled = shop.deployment(0);
    scaled["spec"].as_object_mut().unwrap().remove("replicas");
    let mut growing = [shop.namespace(), scaled];
    // To leave the number out would put 1 in its place.
    assert_eq!(deeds(&shop.plan(&growing).await), []);
    growing[1]["spec"]["minReadySeconds"] = json!(1);
    shop.up(&growing, false).await.unwrap();
    assert_eq!(shop.replicas().await, 3);

    shop.scale(5, "k3s").await;
    assert_eq!(deeds(&shop.plan(&growing).await), []);
    growing[1]["spec"]["minReadySeconds"] = json!(2);
    shop.up(&growing, false).await.unwrap();
    assert_eq!(shop.replicas().await, 5);

    let fields = |plan: &ObjectPlan| {
        let change = plan.pending().next().unwrap().clone();
        let paths = change.fields.into_iter().map(|field| field.path);
        (paths.collect::<Vec<_>>(), change.conflicts.len())
    };
    let back = shop.plan(&fixed).await;
    let expected = ["spec.minReadySeconds", "spec.replicas"];
    assert_eq!(fields(&back), (expected.map(str::to_owned).into(), 0));
    shop.up(&fixed, false).await.unwrap();
    assert_eq!(shop.replicas().await, 3);
    // Who scales by hand has a reason.
    shop.scale(4, "kubectl").await;
    assert_eq!(shop.plan(&fixed).await.contested().count(), 1);
}

#[tokio::test]
async fn the_number_of_somebody_elses_autoscaler_is_not_taken_without_a_word() {
    let Some(shop) = Shop::new("foreign-scaler").await else {
        return;
    };
    let wanted = [shop.namespace(), shop.deployment(2)];
    shop.up(&wanted, false).await.unwrap();
    let spec = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "order"},
        "minReplicas": 4, "maxReplicas": 6});
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs", "namespace": shop.name}, "spec": spec});
    let theirs = Applying {
        manager: "kubectl",
        ..Applying::default()
    };
    shop.cluster.apply(&scaler, None, theirs).await.unwrap();
    shop.scale(4, "k3s").await;
    let plan = shop.plan(&wanted).await;
    assert_eq!(plan.contested().count(), 1, "{plan:?}");
    assert!(shop.up(&wanted, false).await.is_err());
}
