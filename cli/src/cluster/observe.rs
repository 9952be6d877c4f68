//! Looks at what there is: what is wanted, one dry run an object, and what belongs to the environment.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::core::Status;
use serde_json::Value;

use super::changes::{DryRun, Seen, foreign_owner, is_going};
use super::conflict::conflicts;
use super::connect::{Applied, Applying, Cluster};
use super::error::ClusterError;
use super::object::{ObjectKey, belongs_to, selector_of, text};
use super::prune::NEVER_OURS;
use super::scaling::{is_left_over, keep_number};

/// How many requests are under way at once.
pub(super) const AT_ONCE: usize = 24;

/// Where objects are tried whose own namespace is not there yet.
const TRIAL_NAMESPACE: &str = "default";

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// What is wanted, in the order in which it was given.
    pub wanted: Vec<Seen>,
    /// Every object that carries the environment's labels.
    pub live: Vec<Value>,
}

impl Sight {
    /// What is wanted is known by.
    pub fn wanted_keys(&self) -> BTreeSet<ObjectKey> {
        self.wanted.iter().map(|seen| seen.key.clone()).collect()
    }
}

/// Looks at a cluster. Changes nothing.
pub async fn look(
    cluster: &Cluster,
    environment: &str,
    wanted: &[Value],
) -> Result<Sight, ClusterError> {
    let live = all_of(cluster, environment).await?;
    let by_key: BTreeMap<ObjectKey, &Value> = live
        .iter()
        .filter_map(|object| Some((ObjectKey::of(object)?, object)))
        .collect();
    let namespaces: BTreeMap<String, bool> = missing_namespaces(cluster, wanted).await?;
    let looks = wanted.iter().map(|object| {
        let known = ObjectKey::of(object).and_then(|key| by_key.get(&key).copied());
        let trial = text(object, "/metadata/namespace")
            .is_some_and(|namespace| namespaces.get(namespace) == Some(&false));
        look_at(cluster, environment, object, known, trial)
    });
    let wanted = stream::iter(looks)
        .buffered(AT_ONCE)
        .try_collect::<Vec<Seen>>()
        .await?;
    Ok(Sight { wanted, live })
}

/// Every object that carries the environment's labels.
pub async fn all_of(cluster: &Cluster, environment: &str) -> Result<Vec<Value>, ClusterError> {
    let selector = selector_of(environment);
    let kinds = cluster.kinds();
    let lists = kinds
        .all()
        .filter(|kind| kind.prunable && !NEVER_OURS.contains(&kind.kind.as_str()))
        .map(|kind| list(cluster, kind, &selector));
    let lists: Vec<Vec<Value>> = stream::iter(lists)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(lists.into_iter().flatten().collect())
}

/// Lists a kind. One that an aggregated API serves which is down now, or that nobody may list, has none of ours.
async fn list(
    cluster: &Cluster,
    kind: &super::kinds::Kind,
    selector: &str,
) -> Result<Vec<Value>, ClusterError> {
    let is_built_in = !kind.api_version.contains('.') || kind.api_version.contains(".k8s.io/");
    match cluster.list(kind, None, selector).await {
        Err(ClusterError::Refused { code, .. })
            if code == 404 || code == 405 || (!is_built_in && code != 401) =>
        {
            Ok(Vec::new())
        }
        outcome => outcome,
    }
}

/// Which of the namespaces that objects name are there.
async fn missing_namespaces(
    cluster: &Cluster,
    wanted: &[Value],
) -> Result<BTreeMap<String, bool>, ClusterError> {
    let names: BTreeSet<&str> = wanted
        .iter()
        .filter_map(|object| text(object, "/metadata/namespace"))
        .collect();
    let mut found = BTreeMap::new();
    for name in names {
        let key = ObjectKey {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: name.to_owned(),
        };
        found.insert(name.to_owned(), cluster.get(&key).await?.is_some());
    }
    Ok(found)
}

async fn look_at(
    cluster: &Cluster,
    environment: &str,
    object: &Value,
    known: Option<&Value>,
    trial: bool,
) -> Result<Seen, ClusterError> {
    let key = ObjectKey::of(object).ok_or_else(|| ClusterError::Malformed {
        reason: "an object says no kind or no name".to_owned(),
    })?;
    if !belongs_to(object, environment) {
        return Err(ClusterError::Malformed {
            reason: format!("{key} does not carry the labels of `{environment}`"),
        });
    }
    if cluster.kinds().of(object).is_none() {
        return Ok(Seen {
            key,
            live: None,
            dry_run: DryRun::Unknown,
        });
    }
    let live = match known {
        Some(live) => Some(live.clone()),
        None if trial => None,
        // It may be there without our labels: made by hand, or its labels removed.
        None => cluster.get(&key).await?,
    };
    if let Some(owner) = live
        .as_ref()
        .and_then(|live| foreign_owner(live, environment))
    {
        return Err(ClusterError::Foreign {
            object: key.to_string(),
            environment: owner.to_owned(),
        });
    }
    let live = live.filter(|live| !is_going(live));
    let mut dry_run = if trial {
        tried_elsewhere(cluster, object).await?
    } else {
        tried(cluster, object, None).await?
    };
    if let DryRun::Object(after) | DryRun::Conflict { forced: after, .. } = &mut dry_run {
        keep_number(object, live.as_ref(), after);
    }
    Ok(Seen { key, live, dry_run })
}

/// Asks whether an object would be accepted whose namespace is not there yet, in one that is.
async fn tried_elsewhere(cluster: &Cluster, object: &Value) -> Result<DryRun, ClusterError> {
    let mut elsewhere = object.clone();
    if let Some(metadata) = elsewhere.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), TRIAL_NAMESPACE.into());
    }
    tried(cluster, &elsewhere, Some(TRIAL_NAMESPACE)).await
}

async fn tried(
    cluster: &Cluster,
    object: &Value,
    namespace: Option<&str>,
) -> Result<DryRun, ClusterError> {
    let dry = Applying {
        dry_run: true,
        ..Applying::default()
    };
    let refusal = match cluster.apply(object, namespace, dry).await? {
        Applied::Object(object) => return Ok(DryRun::Object(object)),
        Applied::Refused(status) => status,
    };
    let found = conflicts(&refusal);
    if !found.is_empty() {
        let forced = Applying { force: true, ..dry };
        let is_left_over = is_left_over(cluster, object, &found).await?;
        return Ok(match cluster.apply(object, namespace, forced).await? {
            Applied::Object(forced) if is_left_over => DryRun::Object(forced),
            Applied::Object(forced) => DryRun::Conflict {
                conflicts: found,
                forced,
            },
            Applied::Refused(status) => refused(object, &status)?,
        });
    }
    refused(object, &refusal)
}

fn refused(object: &Value, status: &Status) -> Result<DryRun, ClusterError> {
    let key = ObjectKey::of(object);
    let error = ClusterError::of_status(
        key.map_or_else(String::new, |key| format!("check {key}")),
        status,
        text(object, "/kind") == Some("Secret"),
    );
    let ClusterError::Refused { code, reason, .. } = &error else {
        return Err(error);
    };
    match code {
        // It is not the object that is refused but whoever asks.
        401 => Err(error),
        _ if is_immutable(reason) => Ok(DryRun::Immutable(reason.clone())),
        _ => Ok(DryRun::Refused(reason.clone())),
    }
}

/// Whether a refusal says that the object cannot be changed to that, only made anew.
fn is_immutable(reason: &str) -> bool {
    reason.contains("field is immutable")
        || (reason.contains("updates to ") && reason.contains("are forbidden"))
}
