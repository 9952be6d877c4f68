//! Compares two JSON trees.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::mask::{HIDDEN, Mask};

/// What lists' items are known by, in this order, if all of them have it and no two the same.
const KEYS: &[&[&str]] = &[
    &["/name"],
    &["/mountPath"],
    &["/containerPort", "/protocol"],
    &["/port", "/protocol"],
    &["/topologyKey"],
    &["/key", "/effect"],
    &["/host"],
    &["/path"],
    &["/ip"],
    &["/metadata/name"],
];

/// A field that would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where: `spec.template.spec.containers[order].image`.
    pub path: String,
    /// What is there; none if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What would be there; none if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Of a text of several lines: those that go (`-`), those that come (`+`), and a neighbor of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Who set what is there now, if that was not shopctl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
}

impl FieldChange {
    fn new(path: &str, before: Option<&Value>, after: Option<&Value>) -> Self {
        let lines = match (
            before.and_then(Value::as_str),
            after.and_then(Value::as_str),
        ) {
            (Some(before), Some(after)) if before.contains('\n') || after.contains('\n') => {
                line_diff(before, after)
            }
            _ => Vec::new(),
        };
        Self {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            lines,
            set_by: None,
        }
    }

    /// Leaves only that it changed.
    pub(super) fn hide(&mut self) {
        for side in [&mut self.before, &mut self.after] {
            *side = side.as_ref().map(|_| Value::from(HIDDEN));
        }
        self.lines.clear();
    }

    /// Hides the secrets in it.
    pub(super) fn mask(&mut self, mask: &Mask) {
        for side in [&mut self.before, &mut self.after] {
            *side = side.as_ref().map(|value| mask.value(value));
        }
        for line in &mut self.lines {
            *line = mask.text(line);
        }
    }
}

/// All fields that differ, in the order of their paths.
pub(super) fn compare(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    visit("", before, after, &mut changes);
    changes
}

fn visit(path: &str, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let names: std::collections::BTreeSet<&String> =
                before.keys().chain(after.keys()).collect();
            for name in names {
                let path = member(path, name);
                both(&path, before.get(name), after.get(name), changes);
            }
        }
        (Value::Array(left), Value::Array(right)) => match (keyed(left), keyed(right)) {
            (Some((key, left)), Some((other, right))) if key == other => {
                let found = changes.len();
                let names: std::collections::BTreeSet<&String> =
                    left.keys().chain(right.keys()).collect();
                for name in names {
                    let path = format!("{path}[{name}]");
                    both(
                        &path,
                        left.get(name).copied(),
                        right.get(name).copied(),
                        changes,
                    );
                }
                // Every item is the same: they only stand in another order.
                if changes.len() == found {
                    changes.push(FieldChange::new(path, Some(before), Some(after)));
                }
            }
            _ if is_structured(left) && is_structured(right) => {
                for index in 0..left.len().max(right.len()) {
                    let path = format!("{path}[{index}]");
                    both(&path, left.get(index), right.get(index), changes);
                }
            }
            _ => changes.push(FieldChange::new(path, Some(before), Some(after))),
        },
        _ => changes.push(FieldChange::new(path, Some(before), Some(after))),
    }
}

fn both(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) => visit(path, before, after, changes),
        (None, None) => {}
        // A field that is null or empty is one that is not there.
        (Some(side), None) | (None, Some(side)) if is_nothing(side) => {}
        (before, after) => changes.push(FieldChange::new(path, before, after)),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn is_structured(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(Value::is_object)
}

/// A list's items by what they are known by; none if nothing tells them apart.
fn keyed(items: &[Value]) -> Option<(usize, BTreeMap<String, &Value>)> {
    if items.is_empty() {
        return None;
    }
    KEYS.iter().enumerate().find_map(|(index, fields)| {
        let mut found = BTreeMap::new();
        for item in items {
            let first = item.pointer(fields[0])?;
            let mut name = scalar(first)?;
            for field in &fields[1..] {
                if let Some(more) = item.pointer(field).and_then(scalar) {
                    let _ = write!(name, "/{more}");
                }
            }
            if found.insert(name, item).is_some() {
                return None;
            }
        }
        Some((index, found))
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A path to a member; a name with dots or slashes in it stands in brackets.
fn member(path: &str, name: &str) -> String {
    if name.contains(['.', '/', '[', ']']) {
        format!("{path}[{name}]")
    } else if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn line_diff(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(1).iter().enumerate() {
        if index > 0 {
            lines.push(" …".to_owned());
        }
        for change in group
            .iter()
            .flat_map(|operation| diff.iter_changes(operation))
        {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{sign}{}", change.value().trim_end_matches('\n')));
        }
    }
    lines
}
