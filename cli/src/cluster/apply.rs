//! Makes, changes, replaces and removes objects.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::Instant;

use super::changes::{Deed, ObjectPlan};
use super::conflict::conflicts;
use super::connect::{Applied, Applying, Cluster};
use super::error::ClusterError;
use super::object::{ObjectKey, list, text};
use super::observe::AT_ONCE;
use super::scaling::{hand_over, is_left_over};
use super::stage::in_stages;
use crate::event::Observer;

/// How long an object may take to be gone.
const GONE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(200);

/// Carries out what a plan says about wanted objects, stage after stage. Objects that are as they are wanted are not
/// touched.
pub async fn carry_out(
    cluster: &Cluster,
    plan: &ObjectPlan,
    wanted: &[Value],
    force: bool,
    observer: &dyn Observer,
) -> Result<(), ClusterError> {
    let deed_of = |object: &Value| {
        let key = ObjectKey::of(object)?;
        let change = plan.changes.iter().find(|change| change.object == key)?;
        (change.deed != Deed::Keep).then_some((key, change.deed))
    };
    for stage in in_stages(wanted) {
        let work = stage
            .into_iter()
            .filter_map(|object| deed_of(object).map(|(key, deed)| (object, key, deed)))
            .map(|(object, key, deed)| async move {
                let step = format!("{} {key}", verb(deed));
                observed(observer, step, make(cluster, object, deed, force)).await
            });
        // Those under way are waited for: what is dropped in the midst may or may not have happened.
        let outcomes: Vec<Result<(), ClusterError>> =
            stream::iter(work).buffered(AT_ONCE).collect().await;
        outcomes.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

/// Does something as a step that observers see.
async fn observed(
    observer: &dyn Observer,
    step: String,
    work: impl Future<Output = Result<(), ClusterError>>,
) -> Result<(), ClusterError> {
    observer.started(&*step);
    let outcome = work.await;
    match &outcome {
        Ok(()) => observer.done(step, true),
        Err(error) => observer.failed(step, error.to_string()),
    }
    outcome
}

fn verb(deed: Deed) -> &'static str {
    match deed {
        Deed::Create => "create",
        Deed::Change => "change",
        Deed::Replace => "replace",
        Deed::Prune => "remove",
        Deed::Keep => "keep",
    }
}

async fn make(
    cluster: &Cluster,
    object: &Value,
    deed: Deed,
    force: bool,
) -> Result<(), ClusterError> {
    if cluster.kinds().of(object).is_none() {
        // Its definition was made a stage ago.
        cluster.learn_kinds().await?;
    }
    let key = ObjectKey::of(object).ok_or_else(|| ClusterError::Malformed {
        reason: "an object says no kind or no name".to_owned(),
    })?;
    if deed == Deed::Replace {
        if let Some(live) = cluster.get(&key).await? {
            cluster.delete(&live).await?;
        }
        wait_gone(cluster, &key).await?;
    } else if deed == Deed::Create {
        // One that is being deleted takes what is applied to it along.
        wait_not_going(cluster, &key).await?;
    } else if deed == Deed::Change {
        hand_over(cluster, object).await?;
    }
    apply(cluster, object, &key, force).await
}

async fn apply(
    cluster: &Cluster,
    object: &Value,
    key: &ObjectKey,
    force: bool,
) -> Result<(), ClusterError> {
    let mut applying = Applying {
        force,
        ..Applying::default()
    };
    loop {
        let status = match cluster.apply(object, None, applying).await? {
            Applied::Object(_) => return Ok(()),
            Applied::Refused(status) => status,
        };
        let conflicts = conflicts(&status);
        if conflicts.is_empty() {
            let hide = key.kind == "Secret";
            return Err(ClusterError::of_status(
                format!("apply {key}"),
                &status,
                hide,
            ));
        }
        if applying.force || !is_left_over(cluster, object, &conflicts).await? {
            return Err(ClusterError::Conflict {
                object: key.to_string(),
                conflicts,
            });
        }
        applying.force = true;
    }
}

/// Removes objects, and waits until they are gone.
pub async fn remove(
    cluster: &Cluster,
    objects: &[&Value],
    observer: &dyn Observer,
) -> Result<(), ClusterError> {
    let owned: Vec<Value> = objects.iter().map(|object| (*object).clone()).collect();
    let mut stages = in_stages(&owned);
    stages.reverse();
    for stage in stages {
        let work = stage.into_iter().map(|object| async move {
            let Some(key) = ObjectKey::of(object) else {
                return Ok(());
            };
            let removal = async {
                cluster.delete(object).await?;
                wait_gone(cluster, &key).await
            };
            observed(observer, format!("remove {key}"), removal).await
        });
        let outcomes: Vec<Result<(), ClusterError>> =
            stream::iter(work).buffered(AT_ONCE).collect().await;
        outcomes.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

async fn wait_not_going(cluster: &Cluster, key: &ObjectKey) -> Result<(), ClusterError> {
    match cluster.get(key).await? {
        Some(live) if super::changes::is_going(&live) => wait_gone(cluster, key).await,
        _ => Ok(()),
    }
}

async fn wait_gone(cluster: &Cluster, key: &ObjectKey) -> Result<(), ClusterError> {
    let deadline = Instant::now() + GONE;
    let mut first = None;
    loop {
        let Some(live) = cluster.get(key).await? else {
            return Ok(());
        };
        let uid = text(&live, "/metadata/uid").map(str::to_owned);
        // Its name was taken by another one: the first is gone.
        if *first.get_or_insert_with(|| uid.clone()) != uid {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let finalizers: Vec<&str> = list(&live, "/metadata/finalizers")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            return Err(ClusterError::NotGone {
                object: key.to_string(),
                seconds: GONE.as_secs(),
                detail: if finalizers.is_empty() {
                    String::new()
                } else {
                    format!(", held by {}", finalizers.join(", "))
                },
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
