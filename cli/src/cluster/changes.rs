//! From what there is and what is wanted to what would be done with each object. Pure.

use serde::Serialize;
use serde_json::Value;

use super::conflict::{Conflict, attribute};
use super::diff::{FieldChange, Mask, changes};
use super::object::{ENVIRONMENT, ObjectKey, label, text};
use super::ready::{Readiness, readiness};

/// What a dry run said.
#[derive(Clone, Debug, PartialEq)]
pub enum DryRun {
    /// The object as it would be.
    Object(Value),
    /// Others set fields that are ours: who and which, and the object as it would be if they were taken back.
    Conflict {
        /// The fields, and who set them.
        conflicts: Vec<Conflict>,
        /// The object with our fields.
        forced: Value,
    },
    /// It cannot be changed to that in place.
    Immutable(String),
    /// It is not accepted.
    Refused(String),
    /// It cannot be asked yet: its kind is not known to the cluster.
    Unknown,
}

/// An object that is wanted, and what was seen of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it is known by.
    pub key: ObjectKey,
    /// What there is; none if nothing.
    pub live: Option<Value>,
    /// What a dry run said.
    pub dry_run: DryRun,
}

/// What would be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// It is made.
    Create,
    /// It is changed in place.
    Change,
    /// It is deleted and made anew, since it cannot be changed in place and nothing is lost.
    Replace,
    /// It is deleted, since nobody wants it any more.
    Prune,
    /// It is as it is wanted.
    Keep,
}

/// An object, and what would be done with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// The object.
    pub object: ObjectKey,
    /// What would be done.
    pub deed: Deed,
    /// The fields that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// The fields that others set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// Why it cannot be done, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// What would be done with all objects of an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectPlan {
    /// The objects, in the order in which they are made; those that are pruned come last.
    pub changes: Vec<ObjectChange>,
}

impl ObjectPlan {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        self.changes.iter().any(|change| change.deed != Deed::Keep)
    }

    /// The objects that something would be done with.
    pub fn pending(&self) -> impl Iterator<Item = &ObjectChange> {
        self.changes
            .iter()
            .filter(|change| change.deed != Deed::Keep)
    }

    /// The objects of a deed.
    pub fn of(&self, deed: Deed) -> impl Iterator<Item = &ObjectChange> {
        self.changes
            .iter()
            .filter(move |change| change.deed == deed)
    }

    /// The objects that are not accepted.
    pub fn refused(&self) -> impl Iterator<Item = &ObjectChange> {
        self.changes
            .iter()
            .filter(|change| change.refusal.is_some())
    }

    /// The objects of which others set fields.
    pub fn contested(&self) -> impl Iterator<Item = &ObjectChange> {
        self.changes
            .iter()
            .filter(|change| !change.conflicts.is_empty())
    }
}

/// Kinds that do their work once, and can be made anew when they cannot be changed.
const REPLACEABLE: &[&str] = &["Job"];

/// What would be done: with what is wanted, and with what is not wanted any more.
pub fn object_plan(seen: &[Seen], unwanted: &[&Value], mask: &Mask) -> ObjectPlan {
    let wanted = seen.iter().map(|seen| wanted(seen, mask));
    let pruned = unwanted
        .iter()
        .filter_map(|object| ObjectKey::of(object))
        .map(|object| ObjectChange {
            object,
            deed: Deed::Prune,
            fields: Vec::new(),
            conflicts: Vec::new(),
            refusal: None,
        });
    ObjectPlan {
        changes: wanted.chain(pruned).collect(),
    }
}

fn wanted(seen: &Seen, mask: &Mask) -> ObjectChange {
    let mut change = ObjectChange {
        object: seen.key.clone(),
        deed: if seen.live.is_some() {
            Deed::Change
        } else {
            Deed::Create
        },
        fields: Vec::new(),
        conflicts: Vec::new(),
        refusal: None,
    };
    let Some(live) = &seen.live else {
        if let DryRun::Refused(reason) | DryRun::Immutable(reason) = &seen.dry_run {
            change.refusal = Some(mask.text(reason));
        }
        return change;
    };
    match &seen.dry_run {
        DryRun::Object(after) => {
            change.fields = changes(live, after, mask);
            if change.fields.is_empty() {
                change.deed = if has_failed_for_good(live) {
                    Deed::Replace
                } else {
                    Deed::Keep
                };
            }
        }
        DryRun::Conflict { conflicts, forced } => {
            change.fields = changes(live, forced, mask);
            attribute(&mut change.fields, conflicts);
            change.conflicts.clone_from(conflicts);
        }
        DryRun::Immutable(_) if REPLACEABLE.contains(&change.object.kind.as_str()) => {
            change.deed = Deed::Replace;
        }
        DryRun::Immutable(reason) | DryRun::Refused(reason) => {
            change.refusal = Some(mask.text(reason));
        }
        DryRun::Unknown => {}
    }
    change
}

/// Whether an object did its work once, in vain, and will not try again.
fn has_failed_for_good(live: &Value) -> bool {
    text(live, "/kind").is_some_and(|kind| REPLACEABLE.contains(&kind))
        && matches!(readiness(live), Readiness::Failed(_))
}

/// The environment that an object belongs to, if that is another one.
pub(super) fn foreign_owner<'a>(live: &'a Value, environment: &str) -> Option<&'a str> {
    label(live, ENVIRONMENT).filter(|owner| *owner != environment)
}

/// Whether an object is being deleted: what is applied to it would go with it.
pub(super) fn is_going(live: &Value) -> bool {
    text(live, "/metadata/deletionTimestamp").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, replicas: u32) -> Value {
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "order"}, "spec": {"replicas": replicas}})
    }

    fn one(kind: &str, live: Option<Value>, dry_run: DryRun) -> ObjectChange {
        let seen = Seen {
            key: ObjectKey::of(&object(kind, 1)).unwrap(),
            live,
            dry_run,
        };
        object_plan(&[seen], &[], &Mask::default())
            .changes
            .remove(0)
    }

    #[test]
    fn what_is_as_wanted_is_kept() {
        let kept = one(
            "Deployment",
            Some(object("Deployment", 2)),
            DryRun::Object(object("Deployment", 2)),
        );
        assert_eq!(kept.deed, Deed::Keep);
        let plan = ObjectPlan {
            changes: vec![kept],
        };
        assert!(!plan.has_work());
    }

    #[test]
    fn what_is_not_there_is_made_and_what_differs_is_changed() {
        assert_eq!(one("Deployment", None, DryRun::Unknown).deed, Deed::Create);
        let changed = one(
            "Deployment",
            Some(object("Deployment", 2)),
            DryRun::Object(object("Deployment", 3)),
        );
        assert_eq!(changed.deed, Deed::Change);
        assert_eq!(changed.fields[0].path, "spec.replicas");
    }

    #[test]
    fn drift_says_who_made_it() {
        let conflicts = vec![Conflict {
            field: ".spec.replicas".to_owned(),
            owner: "kubectl".to_owned(),
        }];
        let forced = object("Deployment", 2);
        let drifted = one(
            "Deployment",
            Some(object("Deployment", 5)),
            DryRun::Conflict { conflicts, forced },
        );
        assert_eq!(drifted.deed, Deed::Change);
        assert_eq!(drifted.fields[0].set_by.as_deref(), Some("kubectl"));
        assert_eq!(drifted.conflicts.len(), 1);
    }

    #[test]
    fn a_job_that_cannot_be_changed_is_made_anew_and_a_claim_is_not() {
        let immutable = || DryRun::Immutable("field is immutable".to_owned());
        let job = one("Job", Some(object("Job", 1)), immutable());
        assert_eq!((job.deed, job.refusal), (Deed::Replace, None));
        let set = one("StatefulSet", Some(object("StatefulSet", 1)), immutable());
        assert_eq!(set.refusal.as_deref(), Some("field is immutable"));
    }

    #[test]
    fn a_job_that_gave_up_is_made_anew_by_the_next_run() {
        let mut live = object("Job", 1);
        live["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        let again = one("Job", Some(live), DryRun::Object(object("Job", 1)));
        assert_eq!(again.deed, Deed::Replace);
    }

    #[test]
    fn what_nobody_wants_comes_last() {
        let gone = object("Deployment", 1);
        let plan = object_plan(&[], &[&gone], &Mask::default());
        assert_eq!(plan.of(Deed::Prune).count(), 1);
        assert!(plan.has_work());
    }
}
