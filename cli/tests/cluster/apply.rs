//! Plans, applies and prunes on a real API server.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use shopctl::cluster::{
    Applied, Applying, Awaiting, Cluster, ClusterError, Deed, ENVIRONMENT, MANAGED_BY, MANAGER,
    Mask, ObjectKey, ObjectPlan, Reach, carry_out, look, object_plan, remove, unwanted, wait_ready,
};
use shopctl::event::Unobserved;
use shopctl::interrupt::Interrupt;

use super::server::cluster;

/// An environment of its own, with its own namespace.
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    pub(crate) name: &'static str,
}

impl Shop {
    pub(crate) async fn new(name: &'static str) -> Option<Self> {
        Some(Self {
            cluster: cluster().await?,
            name,
        })
    }

    fn object(&self, api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
        let mut object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "namespace": self.name,
                "labels": {MANAGED_BY: MANAGER, ENVIRONMENT: self.name, "app": name}},
        });
        for (field, value) in rest.as_object().unwrap() {
            object[field] = value.clone();
        }
        object
    }

    pub(crate) fn namespace(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name,
            "labels": {MANAGED_BY: MANAGER, ENVIRONMENT: self.name}}})
    }

    pub(crate) fn deployment(&self, replicas: u32) -> Value {
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": "order"}}, "template": {
            "metadata": {"labels": {"app": "order"}},
            "spec": {"containers": [{"name": "order", "image": "shopd:1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}}]}}});
        self.object("apps/v1", "Deployment", "order", &json!({"spec": spec}))
    }

    fn stateful_set(&self) -> Value {
        let spec = json!({"serviceName": "redis", "replicas": 1, "selector": {"matchLabels": {"app": "redis"}},
            "template": {"metadata": {"labels": {"app": "redis"}}, "spec": {"containers": [{"name": "redis", "image": "redis:7"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1024Mi"}}}}]});
        self.object("apps/v1", "StatefulSet", "redis", &json!({"spec": spec}))
    }

    fn config(&self, text: &str) -> Value {
        self.object(
            "v1",
            "ConfigMap",
            "files",
            &json!({"data": {"redis.conf": text}}),
        )
    }

    fn secret(&self, password: &str) -> Value {
        self.object(
            "v1",
            "Secret",
            "common",
            &json!({"stringData": {"password": password}}),
        )
    }

    fn job(&self, image: &str) -> Value {
        let spec = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "provision", "image": image}]}}});
        self.object("batch/v1", "Job", "provision", &json!({"spec": spec}))
    }

    /// One of most kinds that a shop is made of.
    fn everything(&self) -> Vec<Value> {
        let service = json!({"spec": {"selector": {"app": "order"}, "ports": [{"name": "http", "port": 80, "targetPort": 80}]}});
        let policy = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
        let budget =
            json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "order"}}}});
        let scaler = json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "order"},
            "minReplicas": 2, "maxReplicas": 4, "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80}}}]}});
        let ingress = json!({"spec": {"rules": [{"host": "shop.local", "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "order", "port": {"number": 80}}}}]}}]}});
        vec![
            self.namespace(),
            self.object("networking.k8s.io/v1", "Ingress", "shop", &ingress),
            self.deployment(2),
            self.stateful_set(),
            self.job("shopd:1"),
            self.config("port 6379\nsave \"\"\n"),
            self.secret("correct-horse-battery"),
            self.object(
                "v1",
                "ServiceAccount",
                "order",
                &json!({"automountServiceAccountToken": false}),
            ),
            self.object("v1", "Service", "order", &service),
            self.object("networking.k8s.io/v1", "NetworkPolicy", "deny", &policy),
            self.object("policy/v1", "PodDisruptionBudget", "order", &budget),
            self.object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                "order",
                &scaler,
            ),
        ]
    }

    pub(crate) async fn plan(&self, wanted: &[Value]) -> ObjectPlan {
        let sight = look(&self.cluster, self.name, wanted).await.unwrap();
        let gone = unwanted(
            &sight.live,
            &sight.wanted_keys(),
            self.name,
            Reach::Replaceable,
        );
        object_plan(&sight.wanted, &gone, &Mask::of(["correct-horse-battery"]))
    }

    pub(crate) async fn up(
        &self,
        wanted: &[Value],
        force: bool,
    ) -> Result<ObjectPlan, ClusterError> {
        let plan = self.plan(wanted).await;
        carry_out(&self.cluster, &plan, wanted, force, &Unobserved).await?;
        Ok(plan)
    }

    /// Sets a field as somebody else.
    async fn meddle(&self, name: &str, change: &Value) {
        let request = kube::core::Request::new(format!(
            "/apis/apps/v1/namespaces/{}/deployments",
            self.name
        ))
        .patch(
            name,
            &kube::api::PatchParams {
                field_manager: Some("kubectl-edit".to_owned()),
                ..Default::default()
            },
            &kube::api::Patch::Merge(change),
        )
        .unwrap();
        self.cluster
            .client()
            .request::<Value>(request)
            .await
            .unwrap();
    }
}

pub(crate) fn deeds(plan: &ObjectPlan) -> Vec<(String, Deed)> {
    plan.pending()
        .map(|change| (change.object.to_string(), change.deed))
        .collect()
}

#[tokio::test]
async fn what_was_applied_is_as_wanted_and_a_changed_field_is_found() {
    let Some(shop) = Shop::new("settled").await else {
        return;
    };
    let mut wanted = shop.everything();
    let first = shop.up(&wanted, false).await.unwrap();
    assert_eq!(
        first.of(Deed::Create).count(),
        wanted.len(),
        "{:?}",
        deeds(&first)
    );
    assert_eq!(first.refused().count(), 0, "{first:?}");
    // Quantities that the server writes otherwise, claims' templates, defaults and stringData: none is a difference.
    let again = shop.plan(&wanted).await;
    assert_eq!(deeds(&again), [], "{again:#?}");

    wanted[2] = shop.deployment(3);
    wanted[5] = shop.config("port 6380\nsave \"\"\n");
    wanted[6] = shop.secret("another-horse-battery");
    let changed = shop.plan(&wanted).await;
    let fields: Vec<&str> = changed
        .pending()
        .flat_map(|change| &change.fields)
        .map(|field| field.path.as_str())
        .collect();
    assert_eq!(
        fields,
        ["spec.replicas", "data[redis.conf]", "data.password"]
    );
    let shown = format!("{changed:?} {}", serde_json::to_string(&changed).unwrap());
    for secret in ["horse", "Y29ycmVjdC1ob3Jz", "YW5vdGhlci1ob3Jz"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn what_the_server_would_refuse_is_found_before_anything_is_touched() {
    let Some(shop) = Shop::new("refused").await else {
        return;
    };
    let mut broken = shop.deployment(2);
    broken["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("typo");
    let mut wrong = shop.config("");
    wrong["metadata"]["name"] = json!("Not_A_Name");
    let plan = shop.plan(&[shop.namespace(), broken, wrong]).await;
    let refused: Vec<(String, &str)> = plan
        .refused()
        .map(|change| {
            (
                change.object.to_string(),
                change.refusal.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].1.contains("imagee"), "{refused:?}");
    assert!(refused[1].1.contains("Not_A_Name"), "{refused:?}");
}

#[tokio::test]
async fn what_others_set_is_found_explained_and_taken_back_only_by_force() {
    let Some(shop) = Shop::new("contested").await else {
        return;
    };
    let wanted = [shop.namespace(), shop.deployment(2)];
    shop.up(&wanted, false).await.unwrap();
    shop.meddle("order", &json!({"spec": {"replicas": 5}}))
        .await;
    let plan = shop.plan(&wanted).await;
    let field = &plan.pending().next().unwrap().fields[0];
    assert_eq!(field.path, "spec.replicas");
    assert_eq!(field.set_by.as_deref(), Some("kubectl-edit"));
    assert_eq!(
        (&field.before, &field.after),
        (&Some(json!(5)), &Some(json!(2)))
    );
    let error = shop.up(&wanted, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to apply deployment/order: others set what the environment says otherwise: .spec.replicas (kubectl-edit)"
    );
    assert!(error.hints()[0].contains("--force-conflicts"));
    shop.up(&wanted, true).await.unwrap();
    assert_eq!(deeds(&shop.plan(&wanted).await), []);
    // What nobody wants otherwise may be anything: it is left alone.
    shop.meddle("order", &json!({"spec": {"minReadySeconds": 7}}))
        .await;
    assert_eq!(deeds(&shop.plan(&wanted).await), []);
}

#[tokio::test]
async fn what_left_the_manifests_is_pruned_and_secrets_and_claims_stay() {
    let Some(shop) = Shop::new("pruned").await else {
        return;
    };
    shop.up(&shop.everything(), false).await.unwrap();
    let claim = shop.object(
        "v1",
        "PersistentVolumeClaim",
        "data-of-before",
        &json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    let request = kube::core::Request::new("/api/v1/namespaces/pruned/persistentvolumeclaims")
        .create(
            &kube::api::PostParams::default(),
            serde_json::to_vec(&claim).unwrap(),
        )
        .unwrap();
    shop.cluster
        .client()
        .request::<Value>(request)
        .await
        .unwrap();
    let kept = [shop.namespace(), shop.config("x")];
    let sight = look(&shop.cluster, shop.name, &kept).await.unwrap();
    let keys = sight.wanted_keys();
    let gone = unwanted(&sight.live, &keys, shop.name, Reach::Replaceable);
    let kinds: BTreeSet<&str> = gone
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    assert_eq!(
        kinds,
        BTreeSet::from([
            "Deployment",
            "HorizontalPodAutoscaler",
            "Ingress",
            "Job",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount",
            "StatefulSet",
        ])
    );
    remove(&shop.cluster, &gone, &Unobserved).await.unwrap();
    let left = look(&shop.cluster, shop.name, &kept).await.unwrap();
    assert!(unwanted(&left.live, &keys, shop.name, Reach::Replaceable).is_empty());
    let purged: Vec<&str> = unwanted(&left.live, &keys, shop.name, Reach::Everything)
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    assert_eq!(purged, ["PersistentVolumeClaim", "Secret"]);
}

#[tokio::test]
async fn a_job_that_cannot_be_changed_is_made_anew() {
    let Some(shop) = Shop::new("jobs").await else {
        return;
    };
    shop.up(&[shop.namespace(), shop.job("shopd:1")], false)
        .await
        .unwrap();
    let wanted = [shop.namespace(), shop.job("shopd:2")];
    let plan = shop.up(&wanted, false).await.unwrap();
    assert_eq!(deeds(&plan), [("job/provision".to_owned(), Deed::Replace)]);
    assert_eq!(deeds(&shop.plan(&wanted).await), []);
}

#[tokio::test]
async fn another_environments_object_is_not_taken_over() {
    let Some(shop) = Shop::new("owner").await else {
        return;
    };
    shop.up(&[shop.namespace(), shop.config("1")], false)
        .await
        .unwrap();
    let mut claimed = shop.config("2");
    claimed["metadata"]["labels"][ENVIRONMENT] = json!("thief");
    let error = look(&shop.cluster, "thief", &[claimed]).await.unwrap_err();
    assert!(
        matches!(&error, ClusterError::Foreign { environment, .. } if environment == "owner"),
        "{error}"
    );
}

#[tokio::test]
async fn a_wait_that_is_too_long_names_the_object_and_what_it_saw_last() {
    let Some(shop) = Shop::new("late").await else {
        return;
    };
    shop.up(&[shop.namespace(), shop.deployment(1)], false)
        .await
        .unwrap();
    let key = ObjectKey::of(&shop.deployment(1)).unwrap();
    // Its pod is made and finds no node before it is given up.
    let shop = &shop;
    shop_testkit::eventually(
        "a pod that finds no node",
        Duration::from_secs(20),
        async || {
            let pods = shop.cluster.list_named("", "Pod", shop.name, "").await;
            let pods = pods.map_err(|error| error.to_string())?;
            let looked_at = pods
                .iter()
                .any(|pod| pod.pointer("/status/conditions").is_some());
            looked_at.then_some(()).ok_or(format!("{pods:?}"))
        },
    )
    .await;
    let awaiting = Awaiting {
        cluster: &shop.cluster,
        deadline: Duration::from_millis(10),
        mask: &Mask::default(),
        interrupt: &Interrupt::never(),
    };
    let error = wait_ready(&awaiting, [key], &Unobserved).await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("failed to wait for deployment/order: 0 of 1 pods are ")
            && told.contains("; order-"),
        "{told}"
    );
    assert!(told.contains("Unschedulable"), "{told}");
    let ClusterError::Late(late) = error else {
        panic!("{told}");
    };
    assert!(late.hints()[0].contains("room"), "{:?}", late.hints());
}

#[tokio::test]
async fn an_object_of_a_kind_that_nobody_knows_is_named() {
    let Some(shop) = Shop::new("unknown").await else {
        return;
    };
    let widget = shop.object("example.com/v1", "Widget", "w", &json!({}));
    let error = shop
        .cluster
        .apply(&widget, None, Applying::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to apply w: the cluster has no kind Widget in example.com/v1"
    );
    let dry = Applying {
        dry_run: true,
        ..Applying::default()
    };
    let refused = shop
        .cluster
        .apply(&shop.config("1"), None, dry)
        .await
        .unwrap();
    assert!(
        matches!(refused, Applied::Refused(_)),
        "its namespace is not there"
    );
}
