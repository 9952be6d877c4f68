//! Hides secrets in what is shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What stands in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Shorter texts are no secrets: hiding each of their occurrences would say more than it hides.
const SHORTEST: usize = 8;

/// The values that must not be shown.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// Hides these values, also in Base64.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut values: Vec<String> = secrets
            .into_iter()
            .flat_map(|secret| [secret.to_owned(), STANDARD.encode(secret)])
            .filter(|secret| secret.len() >= SHORTEST)
            .collect();
        // The longest first, so that no part of it is left when a shorter one is hidden.
        values.sort_by(|left, right| right.len().cmp(&left.len()).then(left.cmp(right)));
        values.dedup();
        Self { secrets: values }
    }

    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }

    /// A value without secrets.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| (name.clone(), self.value(field)))
                .collect(),
            other => other.clone(),
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mask({} values)", self.secrets.len())
    }
}

/// Whether a path of a Secret leads to what it holds.
pub(super) fn holds_data(path: &str) -> bool {
    ["data", "stringData"].iter().any(|field| {
        path.strip_prefix(field)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}
