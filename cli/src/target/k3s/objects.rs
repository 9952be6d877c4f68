//! The objects of a shop: looks, plans, and carries the plan out.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::secrets::{ClusterSecrets, add_missing};
use super::{K3sError, NAMESPACE};
use crate::cluster::{
    Awaiting, Cluster, ClusterError, Deed, Mask, ObjectKey, ObjectPlan, Reach, Sight, carry_out,
    is_autoscaled, look, number, object_plan, remove, text, unwanted, wait_ready,
};
use crate::event::Observer;
use crate::interrupt::Interrupt;

/// The objects that an environment wants in a cluster.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The environment's name.
    pub environment: &'a str,
    /// What is wanted, without the Secrets that are only added to.
    wanted: Vec<Value>,
    /// The environment's secrets.
    pub secrets: &'a ClusterSecrets,
    mask: Mask,
}

/// What was seen of the objects, and what would be done.
#[derive(Debug)]
pub(super) struct ObjectSight {
    /// What would be done.
    pub plan: ObjectPlan,
    sight: Sight,
}

impl ObjectSight {
    /// What there is and nobody wants.
    fn pruned(&self) -> impl Iterator<Item = &Value> {
        self.sight.live.iter().filter(|object| {
            let key = ObjectKey::of(object);
            self.plan
                .of(Deed::Prune)
                .any(|change| Some(&change.object) == key.as_ref())
        })
    }
}

/// How a plan is carried out.
#[derive(Debug)]
pub(super) struct Doing<'a> {
    /// Take fields back from others.
    pub force: bool,
    /// How long all objects together may take to be ready.
    pub deadline: Duration,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

impl<'a> Objects<'a> {
    /// The objects that were rendered for an environment.
    pub(super) fn new(
        cluster: &'a Cluster,
        environment: &'a str,
        rendered: Vec<Value>,
        secrets: &'a ClusterSecrets,
    ) -> Self {
        Self {
            cluster,
            environment,
            wanted: rendered
                .into_iter()
                .filter(|object| !secrets.hold(object))
                .collect(),
            secrets,
            mask: Mask::of(
                secrets
                    .set
                    .values()
                    .flat_map(|secret| [Some(secret.expose()), secret.expose_other()])
                    .flatten(),
            ),
        }
    }

    /// Looks at the cluster and plans. Changes nothing.
    pub(super) async fn look(&self) -> Result<ObjectSight, K3sError> {
        let sight = look(self.cluster, self.environment, &self.wanted).await?;
        let gone = unwanted(
            &sight.live,
            &sight.wanted_keys(),
            self.environment,
            Reach::Replaceable,
        );
        let plan = object_plan(&sight.wanted, &gone, &self.mask);
        Ok(ObjectSight { plan, sight })
    }

    /// Makes of what there is what is wanted, and waits until it is ready.
    pub(super) async fn carry_out(
        &self,
        seen: &ObjectSight,
        doing: &Doing<'_>,
        observer: &dyn Observer,
    ) -> Result<(), K3sError> {
        let (namespaces, others): (Vec<Value>, Vec<Value>) = self
            .wanted
            .iter()
            .cloned()
            .partition(|object| text(object, "/kind") == Some("Namespace"));
        carry_out(self.cluster, &seen.plan, &namespaces, doing.force, observer).await?;
        self.make_secrets(observer).await?;
        go_on(doing)?;
        // An autoscaler that is there would take back the number of pods that it decided on.
        let (scalers, gone): (Vec<&Value>, Vec<&Value>) = seen
            .pruned()
            .partition(|object| text(object, "/kind") == Some("HorizontalPodAutoscaler"));
        remove(self.cluster, &scalers, observer).await?;
        carry_out(self.cluster, &seen.plan, &others, doing.force, observer).await?;
        go_on(doing)?;
        // What goes takes its time to end, and nothing waits for it.
        let going = async { Ok(remove(self.cluster, &gone, observer).await?) };
        tokio::try_join!(going, self.wait(doing, observer))?;
        Ok(())
    }

    /// Waits until everything that is wanted is ready.
    pub(super) async fn wait(
        &self,
        doing: &Doing<'_>,
        observer: &dyn Observer,
    ) -> Result<(), K3sError> {
        let awaiting = Awaiting {
            cluster: self.cluster,
            deadline: doing.deadline,
            mask: &self.mask,
            interrupt: doing.interrupt,
        };
        let keys = self.wanted.iter().filter_map(ObjectKey::of);
        wait_ready(&awaiting, keys, observer).await?;
        Ok(())
    }

    async fn make_secrets(&self, observer: &dyn Observer) -> Result<(), K3sError> {
        if self.secrets.missing.is_empty() {
            return Ok(());
        }
        let step = "make secrets";
        observer.started(step);
        let made = add_missing(self.cluster, NAMESPACE, self.environment, self.secrets).await;
        match &made {
            Ok(()) => observer.done(step, true),
            Err(error) => observer.failed(step, error.to_string()),
        }
        made
    }

    /// A digest of everything that is wanted as it is in the cluster now: it changes with every change of it.
    pub(super) async fn digest(&self) -> Result<String, K3sError> {
        let looks = self.wanted.iter().map(|wanted| async move {
            match ObjectKey::of(wanted) {
                Some(key) => self.cluster.get(&key).await,
                None => Ok(None),
            }
        });
        let found = futures_util::future::try_join_all(looks).await?;
        let both = self.wanted.iter().zip(&found);
        Ok(digest(both.filter_map(|(wanted, live)| {
            Some((live.as_ref()?, is_autoscaled(wanted)))
        })))
    }
}

/// Ends here if that was asked for: what was done stays, and the next run goes on.
fn go_on(doing: &Doing<'_>) -> Result<(), K3sError> {
    if doing.interrupt.is_pressed() {
        Err(ClusterError::Interrupted.into())
    } else {
        Ok(())
    }
}

/// A digest of objects: which they are and which version of each. An autoscaler may change a number of pods without making
/// it another version.
fn digest<'a>(objects: impl Iterator<Item = (&'a Value, bool)>) -> String {
    let mut lines: Vec<String> = objects
        .map(|(object, is_autoscaled)| {
            let key = ObjectKey::of(object).map(|key| key.to_string());
            let uid = text(object, "/metadata/uid").unwrap_or_default();
            let version = version(object, is_autoscaled);
            format!("{} {uid} {version}\n", key.unwrap_or_default())
        })
        .collect();
    lines.sort();
    let mut digest = Sha256::new_with_prefix(crate::COMMIT);
    for line in lines {
        digest.update(line);
    }
    hex::encode(digest.finalize())
}

/// What changes when somebody changes an object. Controllers change its status all the time, which a generation does not
/// count.
fn version(object: &Value, is_autoscaled: bool) -> String {
    // A claim's or a Service's status would count as a change of it otherwise.
    if let Some("PersistentVolumeClaim" | "Namespace") = text(object, "/kind") {
        return String::new();
    }
    let generation = number(object, "/metadata/generation").filter(|_| !is_autoscaled);
    match (generation, object.get("spec")) {
        (Some(generation), _) => generation.to_string(),
        // An autoscaler has no generation, and its status changes every few seconds.
        (None, Some(spec)) => {
            let mut spec = spec.clone();
            if is_autoscaled && let Some(fields) = spec.as_object_mut() {
                fields.remove("replicas");
            }
            spec.to_string()
        }
        (None, None) => text(object, "/metadata/resourceVersion")
            .unwrap_or_default()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_proof_holds_until_something_that_is_wanted_changes() {
        let object = |generation: u32, replicas: u32| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "order", "uid": "u", "generation": generation, "resourceVersion": replicas.to_string()},
            "status": {"replicas": replicas}})
        };
        let of = |object: Value| digest([(&object, false)].into_iter());
        assert_eq!(of(object(1, 1)), of(object(1, 2)));
        assert_ne!(of(object(1, 1)), of(object(2, 1)));
        let map = |version: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": version}});
        assert_ne!(of(map("1")), of(map("2")));
    }

    #[test]
    fn an_autoscaler_may_scale_what_was_proved_and_nothing_else() {
        let object = |generation: u32, replicas: u32, image: &str| {
            json!({"kind": "Deployment", "metadata": {"name": "order", "generation": generation},
                "spec": {"replicas": replicas, "image": image}})
        };
        let of = |object: Value, scaled| digest([(&object, scaled)].into_iter());
        assert_eq!(of(object(1, 2, "a"), true), of(object(2, 3, "a"), true));
        assert_ne!(of(object(1, 2, "a"), true), of(object(2, 2, "b"), true));
        assert_ne!(of(object(1, 2, "a"), false), of(object(2, 3, "a"), false));
        let scaler = |version: &str, most: u32| {
            json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "order", "resourceVersion": version},
                "spec": {"maxReplicas": most}})
        };
        assert_eq!(of(scaler("1", 4), false), of(scaler("2", 4), false));
        assert_ne!(of(scaler("1", 4), false), of(scaler("2", 5), false));
    }
}
