//! A plan as people read it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cluster::{Deed, FieldChange, ObjectChange, ObjectPlan};
use crate::plan::Step;
use crate::target::k3s::ImagePush;

/// The widest value that is shown in a line.
const WIDEST: usize = 60;

/// What would be pushed to the registry.
pub(super) fn push(push: Option<&ImagePush>) -> String {
    push.map_or_else(String::new, |push| {
        let what = match push.parts {
            0 => "its tag".to_owned(),
            parts => format!(
                "{parts} parts, {:.1} MiB",
                push.bytes as f64 / f64::from(1 << 20)
            ),
        };
        format!("push     {}  ({what})\n", push.image)
    })
}

/// The steps of hosts that are needed.
pub(super) fn hosts<A>(steps: &[Step<A>]) -> String {
    let mut text = String::new();
    for step in steps.iter().filter(|step| step.needed) {
        let detail = if step.detail.is_empty() {
            String::new()
        } else {
            format!("  ({})", step.detail)
        };
        let _ = writeln!(text, "host     {}{detail}", step.name);
    }
    text
}

/// The secrets that would be made.
pub(super) fn secrets(missing: &[String]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    format!(
        "make     {} secrets: {}\n",
        missing.len(),
        missing.join(", ")
    )
}

/// The objects that something would be done with, each field that would change, and how many stay as they are.
pub(super) fn objects(plan: &ObjectPlan) -> String {
    let mut text = String::new();
    for change in plan.pending() {
        object(&mut text, change);
    }
    let kept = plan.of(Deed::Keep).count();
    if kept > 0 {
        let _ = writeln!(text, "{kept} objects are as they are wanted");
    }
    text
}

fn object(text: &mut String, change: &ObjectChange) {
    let word = match change.deed {
        Deed::Create => "create",
        Deed::Change => "change",
        Deed::Replace => "replace",
        Deed::Prune => "prune",
        Deed::Keep => "keep",
    };
    let _ = writeln!(text, "{word:<8} {}", change.object);
    for field in &change.fields {
        self::field(text, field);
    }
    if let Some(refusal) = &change.refusal {
        let _ = writeln!(text, "           refused: {refusal}");
    }
}

fn field(text: &mut String, field: &FieldChange) {
    let who = field
        .set_by
        .as_ref()
        .map_or_else(String::new, |who| format!("  (set by {who})"));
    if !field.lines.is_empty() {
        let _ = writeln!(text, "           {}:{who}", field.path);
        for line in &field.lines {
            let _ = writeln!(text, "             {line}");
        }
        return;
    }
    let change = match (&field.before, &field.after) {
        (Some(before), Some(after)) => format!("{} -> {}", value(before), value(after)),
        (None, Some(after)) => format!("+ {}", value(after)),
        (Some(before), None) => format!("- {}", value(before)),
        (None, None) => String::new(),
    };
    let _ = writeln!(text, "           {}: {change}{who}", field.path);
}

/// A value in one line, cut where it is too long.
fn value(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.contains('\n') => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= WIDEST {
        return text;
    }
    let cut: String = text.chars().take(WIDEST).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::{DryRun, Mask, ObjectKey, Seen, object_plan};

    #[test]
    fn a_push_is_told_with_what_is_sent() {
        let of = |parts, bytes| {
            let image = "registry.example.com/shop/shopd@sha256:aa".to_owned();
            push(Some(&ImagePush {
                image,
                parts,
                bytes,
            }))
        };
        let name = "push     registry.example.com/shop/shopd@sha256:aa";
        assert_eq!(of(3, 5 << 20), format!("{name}  (3 parts, 5.0 MiB)\n"));
        assert_eq!(of(0, 0), format!("{name}  (its tag)\n"));
        assert_eq!(push(None), "");
    }

    #[test]
    fn a_plan_reads_as_a_list_of_objects_with_the_fields_that_change() {
        let deployment = |replicas: u32| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "order", "namespace": "ecommerce"}, "spec": {"replicas": replicas}})
        };
        let map = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "redis-config"}, "data": {"redis.conf": text}});
        let seen = |live: Option<Value>, after: Value| Seen {
            key: ObjectKey::of(&after).unwrap(),
            live,
            dry_run: DryRun::Object(after),
        };
        let kept = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "order"}});
        let gone = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo"}});
        let plan = object_plan(
            &[
                seen(
                    None,
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ecommerce"}}),
                ),
                seen(Some(deployment(2)), deployment(3)),
                seen(Some(map("a 1\nb 2\n")), map("a 1\nb 3\n")),
                seen(Some(kept.clone()), kept),
            ],
            &[&gone],
            &Mask::default(),
        );
        assert_eq!(
            objects(&plan),
            "create   namespace/ecommerce\n\
             change   deployment/order\n           spec.replicas: 2 -> 3\n\
             change   configmap/redis-config\n           data[redis.conf]:\n              a 1\n             -b 2\n             +b 3\n\
             prune    service/echo\n\
             1 objects are as they are wanted\n"
        );
    }
}
