//! The secrets of an environment in its cluster: made once, then kept there. What is in the cluster's Secrets is the
//! truth, and only what is missing is added.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::K3sError;
use super::rotation::{self, Move, Phase};
use crate::catalogue::{Catalogue, Component, SecretKind, SecretSpec};
use crate::cluster::{
    Cluster, ClusterError, ENVIRONMENT, MANAGED_BY, MANAGER, ObjectKey, label, text,
};
use crate::environment::Environment;
use crate::render::{KNOWN, OTHER, Secret, SecretSet, pod_secret_path};
use crate::target::secrets::{generate, public_keys, wanted_secrets};

/// How often adding to a Secret is tried when others change it meanwhile.
const TRIES: u32 = 5;

/// The secrets of an environment, and which of them are not in the cluster yet.
#[derive(Clone)]
pub struct ClusterSecrets {
    /// All of them. Those that are missing were thought up.
    pub set: SecretSet,
    /// The names of those that are missing.
    pub missing: Vec<String>,
    /// The Secret that each is in.
    pub(super) homes: BTreeMap<String, String>,
    /// How far the rotation is of those that are rotated.
    pub phases: BTreeMap<String, Phase>,
    /// Those that a component's data know once there are some, and of which that is not noted yet.
    unnoted: Vec<String>,
    /// When each was made, as far as that is known.
    pub made: BTreeMap<String, OffsetDateTime>,
}

/// A secret as its Secret holds it.
struct Held {
    value: String,
    known: bool,
    other: Option<String>,
    phase: Option<Phase>,
    made: Option<OffsetDateTime>,
}

impl ClusterSecrets {
    /// Whether an object is one of the Secrets that are the truth, and that are only ever added to.
    pub(super) fn hold(&self, object: &Value) -> bool {
        text(object, "/kind") == Some("Secret")
            && text(object, "/metadata/name")
                .is_some_and(|name| self.homes.values().any(|home| home == name))
    }
}

impl fmt::Debug for ClusterSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClusterSecrets")
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

/// Reads the secrets that there are and thinks up those that there are not. Nothing is written, so a mistake that is
/// found later costs nothing. Without a cluster none are there yet.
pub async fn load(
    cluster: Option<&Cluster>,
    namespace: &str,
    environment: &Environment,
    catalogue: &Catalogue,
) -> Result<ClusterSecrets, K3sError> {
    let wanted = wanted_secrets(environment, catalogue);
    let mut kept = BTreeMap::new();
    if let Some(cluster) = cluster {
        let homes: BTreeSet<&str> = wanted
            .values()
            .map(|(_, spec)| spec.object.as_str())
            .collect();
        for name in homes {
            let found = cluster.get(&key_of(namespace, name)).await?;
            kept.extend(held(found.as_ref()));
        }
    }
    let mut secrets = ClusterSecrets {
        set: SecretSet::new(),
        missing: Vec::new(),
        homes: BTreeMap::new(),
        phases: BTreeMap::new(),
        unnoted: Vec::new(),
        made: BTreeMap::new(),
    };
    for (name, (component, spec)) in wanted {
        let unusable = |reason: String| ClusterError::UnusableSecret {
            name: name.to_owned(),
            reason,
        };
        let kept = kept.remove(name);
        let other = kept.as_ref().and_then(|held| held.other.clone());
        if spec.is_known_by_data() && !kept.as_ref().is_some_and(|held| held.known) {
            secrets.unnoted.push(name.to_owned());
        }
        if let Some(held) = &kept {
            let phase = held.phase.map(|phase| (name.to_owned(), phase));
            secrets.phases.extend(phase);
            secrets
                .made
                .extend(held.made.map(|made| (name.to_owned(), made)));
        }
        let value = match kept {
            Some(held) if held.value.is_empty() => {
                return Err(unusable("it is empty".to_owned()).into());
            }
            Some(held) => held.value,
            None => {
                if let Some(cluster) = cluster {
                    refuse_lost(cluster, namespace, component, spec).await?;
                }
                secrets.missing.push(name.to_owned());
                generate(spec.kind, environment.secrets.password_length).map_err(unusable)?
            }
        };
        let mut secret = Secret::new(pod_secret_path(name), value);
        if spec.kind == SecretKind::Ed25519Key {
            let all = std::iter::once(secret.expose()).chain(other.as_deref());
            let keys = public_keys(all).map_err(unusable)?;
            secret = secret.with_public(keys);
        }
        if let Some(other) = other {
            secret = secret.with_other(other);
        }
        secrets.set.insert(name.to_owned(), secret);
        secrets.homes.insert(name.to_owned(), spec.object.clone());
    }
    Ok(secrets)
}

/// Refuses to think up another secret in place of one that data know: they would refuse it without a hint.
async fn refuse_lost(
    cluster: &Cluster,
    namespace: &str,
    component: &Component,
    spec: &SecretSpec,
) -> Result<(), K3sError> {
    let by_data = spec.is_known_by_data();
    if !by_data && !spec.shared_by_peers {
        return Ok(());
    }
    let selector = format!("app.kubernetes.io/name={}", component.name);
    let kind = if by_data {
        "PersistentVolumeClaim"
    } else {
        "Pod"
    };
    let found = cluster.list_named("", kind, namespace, &selector).await?;
    match found.first().and_then(ObjectKey::of) {
        Some(holder) => Err(ClusterError::LostSecret {
            name: spec.name.clone(),
            claim: holder.to_string(),
        }
        .into()),
        None => Ok(()),
    }
}

/// Adds those that are missing. What is there by now is never replaced: then somebody else was faster, and an error says
/// so.
pub(super) async fn add_missing(
    cluster: &Cluster,
    namespace: &str,
    environment: &str,
    secrets: &ClusterSecrets,
) -> Result<(), K3sError> {
    let homes: BTreeSet<&String> = secrets.homes.values().collect();
    for home in homes {
        let added: Vec<(&String, &Secret)> = secrets
            .missing
            .iter()
            .filter(|name| secrets.homes.get(*name) == Some(home))
            .filter_map(|name| Some((name, secrets.set.get(name)?)))
            .collect();
        if !added.is_empty() {
            add(cluster, namespace, environment, home, &added).await?;
        }
    }
    Ok(())
}

async fn add(
    cluster: &Cluster,
    namespace: &str,
    environment: &str,
    home: &str,
    added: &[(&String, &Secret)],
) -> Result<(), K3sError> {
    let key = key_of(namespace, home);
    for _ in 0..TRIES {
        let found = cluster.get(&key).await?;
        let is_new = found.is_none();
        let mut object = found.unwrap_or_else(|| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": home, "namespace": namespace, "labels": {
                    MANAGED_BY: MANAGER, ENVIRONMENT: environment,
                    "app.kubernetes.io/part-of": "shop",
                }},
            })
        });
        if let Some(owner) = label(&object, ENVIRONMENT).filter(|owner| *owner != environment) {
            return Err(ClusterError::Foreign {
                object: key.to_string(),
                environment: owner.to_owned(),
            }
            .into());
        }
        if object.get("data").is_none_or(Value::is_null) {
            object["data"] = json!({});
        }
        for (name, secret) in added {
            if object["data"].get(name.as_str()).is_some() {
                return Err(ClusterError::UnusableSecret {
                    name: (*name).clone(),
                    reason: "somebody else made it meanwhile".to_owned(),
                }
                .into());
            }
            object["data"][name.as_str()] = STANDARD.encode(secret.expose()).into();
            rotation::note_made(&mut object, name, OffsetDateTime::now_utc());
        }
        let done = if is_new {
            cluster.create(&object).await?.is_some()
        } else {
            cluster.replace(&object).await?
        };
        if done {
            return Ok(());
        }
    }
    Err(unusable(&key, "others change it all the time").into())
}

/// Changes the Secret that holds some secrets, all of them at once. `deeds` says what is done with each, and has the new
/// one where one is offered.
pub(super) async fn change(
    cluster: &Cluster,
    namespace: &str,
    home: &str,
    deeds: &[(String, Move, Option<String>)],
) -> Result<(), K3sError> {
    must_rewrite(cluster, &key_of(namespace, home), |object| {
        let now = OffsetDateTime::now_utc();
        for (name, deed, fresh) in deeds {
            let fresh = fresh.as_ref().map(|value| STANDARD.encode(value));
            rotation::carry_out(object, name, *deed, fresh.as_deref(), now);
        }
    })
    .await
}

/// Notes that there are data now which know the secrets that data can know. From then on a volume that is empty is taken
/// for a loss. For whoever has seen that the shop is ready.
pub(super) async fn note_known(
    cluster: &Cluster,
    namespace: &str,
    secrets: &ClusterSecrets,
) -> Result<(), K3sError> {
    for name in &secrets.unnoted {
        let Some(home) = secrets.homes.get(name) else {
            continue;
        };
        let since = STANDARD.encode(rotation::written(OffsetDateTime::now_utc()));
        must_rewrite(cluster, &key_of(namespace, home), |object| {
            object["data"][format!("{name}{KNOWN}")] = since.clone().into();
        })
        .await?;
    }
    Ok(())
}

/// Changes a Secret that has to be there.
async fn must_rewrite(
    cluster: &Cluster,
    key: &ObjectKey,
    edit: impl Fn(&mut Value),
) -> Result<(), K3sError> {
    if rewrite(cluster, key, edit).await? {
        return Ok(());
    }
    Err(unusable(key, "it is gone").into())
}

/// Changes a Secret, again if somebody else changed it meanwhile. False: there is none.
pub(super) async fn rewrite(
    cluster: &Cluster,
    key: &ObjectKey,
    edit: impl Fn(&mut Value),
) -> Result<bool, K3sError> {
    for _ in 0..TRIES {
        let Some(mut object) = cluster.get(key).await? else {
            return Ok(false);
        };
        edit(&mut object);
        if cluster.replace(&object).await? {
            return Ok(true);
        }
    }
    Err(unusable(key, "others change it all the time").into())
}

fn unusable(key: &ObjectKey, reason: &str) -> ClusterError {
    ClusterError::UnusableSecret {
        name: key.name.clone(),
        reason: reason.to_owned(),
    }
}

fn key_of(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: "Secret".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    }
}

/// The secrets that a Secret holds.
fn held(object: Option<&Value>) -> BTreeMap<String, Held> {
    let Some(object) = object else {
        return BTreeMap::new();
    };
    let values = values(Some(object));
    let of = |(name, value): (&String, &String)| {
        let held = Held {
            value: value.clone(),
            known: values.contains_key(&format!("{name}{KNOWN}")),
            other: values.get(&format!("{name}{OTHER}")).cloned(),
            phase: rotation::phase(object, name),
            made: rotation::made(object, name),
        };
        (name.clone(), held)
    };
    values.iter().map(of).collect()
}

/// What a Secret holds that is text.
fn values(object: Option<&Value>) -> BTreeMap<String, String> {
    let data = object
        .and_then(|object| object.get("data"))
        .and_then(Value::as_object);
    data.into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let bytes = STANDARD.decode(value.as_str()?).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            Some((name.clone(), text.trim_end().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_secret_holds_is_read_and_what_is_no_text_is_not() {
        let object =
            json!({"data": {"a": STANDARD.encode("one\n"), "b": STANDARD.encode([0xff]), "c": 3}});
        assert_eq!(
            values(Some(&object)),
            BTreeMap::from([("a".to_owned(), "one".to_owned())])
        );
        assert!(values(None).is_empty());
    }

    #[test]
    fn no_secret_is_in_debug_output() {
        let secrets = ClusterSecrets {
            set: [("a".to_owned(), Secret::new("p", "correct-horse"))].into(),
            missing: vec!["a".to_owned()],
            homes: BTreeMap::new(),
            phases: BTreeMap::new(),
            unnoted: Vec::new(),
            made: BTreeMap::new(),
        };
        assert!(!format!("{secrets:?}").contains("horse"));
    }
}
