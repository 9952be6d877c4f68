//! The secrets of a shop as their components declare them, and how far the rotation of each is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

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
