//! The secrets of a shop as their components declare them, and how far the rotation of each is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::K3sError;
use super::rotate::RotationRequest;
use super::rotation::Phase;
use super::secrets::ClusterSecrets;
use crate::catalogue::{Catalogue, Component, SecretSpec};
use crate::environment::Environment;
use crate::render::grace_seconds;
use crate::target::secrets::wanted_secrets;

/// How much longer than it must be the former one is accepted: clocks of two machines differ.
const MARGIN: time::Duration = time::Duration::seconds(30);

/// A secret, for people. Never its value. Field names are stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// The Secret that holds it.
    pub object: String,
    /// The components that declare it; their pods mount it.
    pub components: Vec<String>,
    /// When it was made, if that is known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub made: Option<OffsetDateTime>,
    /// Whether it can be rotated.
    pub rotates: bool,
    /// How far its rotation is, if one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Unfinished>,
}

/// A rotation that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// The secret.
    pub name: String,
    /// What has been done.
    pub state: UnfinishedState,
    /// Until when the former one is accepted, where only that is waited for.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<OffsetDateTime>,
}

/// What has been done of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UnfinishedState {
    /// The next one is there, and nobody uses it yet.
    Offered,
    /// The next one is in use, and perhaps not by everybody yet.
    Taken,
    /// The next one is in use, and what was made with the former one has not expired.
    Kept,
}

/// What a declaration says of rotating a secret.
pub(super) struct Declared<'a> {
    pub(super) spec: &'a SecretSpec,
    pub(super) components: Vec<&'a Component>,
    pub(super) keep_for: Option<time::Duration>,
}

impl Declared<'_> {
    /// Whether those who must agree on it can have two of them for a while.
    pub(super) fn rotates(&self) -> bool {
        let specs = || {
            let all = self.components.iter().flat_map(|it| &it.secrets);
            all.filter(|spec| spec.name == self.spec.name)
        };
        let bound = specs().any(|spec| spec.bound_to.is_some() || spec.shared_by_peers);
        !bound || specs().any(|spec| spec.rotate.is_some())
    }
}

/// All secrets with what their components say.
pub(super) fn declared<'a>(
    environment: &Environment,
    catalogue: &'a Catalogue,
) -> BTreeMap<&'a str, Declared<'a>> {
    let mut all: BTreeMap<&str, Declared<'_>> = wanted_secrets(environment, catalogue)
        .into_iter()
        .map(|(name, (_, spec))| {
            let declared = Declared {
                spec,
                components: Vec::new(),
                keep_for: None,
            };
            (name, declared)
        })
        .collect();
    for (name, settings) in environment.enabled() {
        let Some(component) = catalogue.get(name.as_str()) else {
            continue;
        };
        for spec in &component.secrets {
            let Some(declared) = all.get_mut(spec.name.as_str()) else {
                continue;
            };
            declared.components.push(component);
            let kept = spec.rotate.as_ref().and_then(|it| it.keep_for.as_ref());
            let kept = kept.and_then(|name| settings.settings.get(name)?.as_str());
            if let Some(kept) = kept.and_then(|text| text.parse::<crate::value::Duration>().ok()) {
                // One that ends has a while to end in which it may still hand out what was made with the former.
                let ending = grace_seconds(environment, &component.stop);
                let kept = Duration::from_millis(kept.milliseconds()) + Duration::from_secs(ending);
                let kept = time::Duration::try_from(kept).unwrap_or(time::Duration::MAX);
                declared.keep_for = Some(kept.saturating_add(MARGIN));
            }
        }
    }
    all
}

/// The rotations that are under way.
pub(super) fn unfinished(
    secrets: &ClusterSecrets,
    environment: &Environment,
    catalogue: &Catalogue,
) -> Vec<Unfinished> {
    let declared = declared(environment, catalogue);
    let phases = secrets.phases.iter();
    phases
        .map(|(name, phase)| {
            let keep_for = declared.get(name.as_str()).and_then(|it| it.keep_for);
            let (state, until) = match (phase, keep_for) {
                (Phase::Offered, _) => (UnfinishedState::Offered, None),
                (Phase::Taken(Some(since)), Some(keep_for)) => {
                    (UnfinishedState::Kept, Some(*since + keep_for))
                }
                (Phase::Taken(_), _) => (UnfinishedState::Taken, None),
            };
            let name = name.clone();
            Unfinished { name, state, until }
        })
        .collect()
}

/// What a request asks for, of the secrets that there are.
pub(super) fn chosen(
    rows: &[SecretRow],
    request: &RotationRequest,
) -> Result<(Vec<String>, Vec<Unfinished>), K3sError> {
    for name in &request.names {
        let Some(row) = rows.iter().find(|row| row.name == *name) else {
            return Err(K3sError::UnknownSecret {
                name: name.clone(),
                known: rows.iter().map(|row| row.name.clone()).collect(),
            });
        };
        if !row.rotates {
            return Err(K3sError::NotRotatable(name.clone()));
        }
        let until = row.rotation.as_ref().and_then(|it| it.until);
        if let Some(until) = until.filter(|until| *until > OffsetDateTime::now_utc()) {
            return Err(K3sError::StillKept {
                name: name.clone(),
                until,
            });
        }
    }
    let now = OffsetDateTime::now_utc();
    let begun = rows
        .iter()
        .filter(|row| row.rotates && may_begin(row, now))
        .filter(|row| request.all || request.names.contains(&row.name))
        .map(|row| row.name.clone())
        .collect();
    let unfinished = rows.iter().filter_map(|row| row.rotation.clone()).collect();
    Ok((begun, unfinished))
}

/// Whether another one can be made: one that only waits until what was made with the former has expired is done then.
fn may_begin(row: &SecretRow, now: OffsetDateTime) -> bool {
    row.rotation
        .as_ref()
        .is_none_or(|rotation| rotation.until.is_some_and(|until| until <= now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, until: Option<i64>) -> SecretRow {
        let now = OffsetDateTime::now_utc();
        SecretRow {
            name: name.to_owned(),
            object: "common".to_owned(),
            components: Vec::new(),
            made: None,
            rotates: true,
            rotation: until.map(|seconds| Unfinished {
                name: name.to_owned(),
                state: UnfinishedState::Offered,
                until: Some(now + time::Duration::seconds(seconds)),
            }),
        }
    }

    #[test]
    fn a_former_secret_that_only_waited_to_expire_keeps_nobody_from_making_another_one() {
        let rows = [
            row("new", None),
            row("expired", Some(-1)),
            row("kept", Some(600)),
        ];
        let request = |names: &[&str], all| RotationRequest {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            all,
            wait: false,
        };
        let (begun, unfinished) = chosen(&rows, &request(&[], true)).unwrap();
        assert_eq!(begun, ["new", "expired"]);
        assert_eq!(unfinished.len(), 2);
        let (begun, _) = chosen(&rows, &request(&["expired"], false)).unwrap();
        assert_eq!(begun, ["expired"]);
        let refused = chosen(&rows, &request(&["kept"], false)).unwrap_err();
        assert!(matches!(refused, K3sError::StillKept { .. }), "{refused}");
    }
}
