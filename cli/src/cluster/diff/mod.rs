//! What would change in an object, field by field. Pure.
//!
//! What is compared is what there is with what the API server says would be there (a dry run), so that defaults, fields
//! of others and the templates of claims, which the server completes, make no difference.

mod mask;
mod noise;
mod tree;

use serde_json::Value;

pub use mask::{HIDDEN, Mask};
pub use tree::FieldChange;

use super::object::text;

/// What would change in an object. Secrets are hidden.
pub fn changes(before: &Value, after: &Value, mask: &Mask) -> Vec<FieldChange> {
    let (before, after) = (noise::without(before), noise::without(after));
    let mut changes = tree::compare(&before, &after);
    let is_secret = text(&after, "/kind") == Some("Secret");
    for change in &mut changes {
        if is_secret && mask::holds_data(&change.path) {
            change.hide();
        } else {
            change.mask(mask);
        }
    }
    changes
}

#[cfg(test)]
mod tests;
