//! How problems name values and what they should be.

use serde_json::Value as Json;

use super::Value;

/// The types that a schema allows.
pub(super) fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one.as_str()],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The only texts that a value may be, from `enum`, `const` or a `oneOf` of them.
pub(super) fn choices(schema: &Json) -> Vec<&str> {
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return values.iter().filter_map(Json::as_str).collect();
    }
    if let Some(value) = schema.get("const").and_then(Json::as_str) {
        return vec![value];
    }
    let alternatives = schema.get("oneOf").and_then(Json::as_array);
    alternatives
        .into_iter()
        .flatten()
        .flat_map(choices)
        .collect()
}

/// What a value should be, for a message.
pub(super) fn expectation(schema: &Json) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return format!("one of: {}", choices.join(", "));
    }
    let expected = match schema.get("format").and_then(Json::as_str) {
        Some("shop-duration") => "a duration such as 500ms, 10s or 5m",
        Some("shop-quantity") => "a quantity such as 500m or 256Mi",
        Some("shop-cidr") => "a network such as 10.0.0.0/8",
        Some("component-name" | "environment-name") => "a name",
        _ => match types(schema).first() {
            Some(&"boolean") => "`true` or `false`",
            Some(&"integer") => "a whole number",
            Some(&"number") => "a number",
            Some(&"array") => "a list",
            Some(&"object") => "a map of fields",
            _ => "a text",
        },
    };
    expected.to_owned()
}

/// A value, for a message.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Boolean(boolean) => format!("`{boolean}`"),
        Value::Integer(integer) => format!("the number {integer}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Text { text, .. } => format!("the text `{}`", short(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map of fields".to_owned(),
    }
}

/// What to do about a value of the wrong type.
pub(super) fn mismatch_fix(value: &Value, schema: &Json) -> Option<String> {
    let types = types(schema);
    let expects = |kind| types.contains(&kind);
    match value {
        Value::Text { text, .. } if expects("boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::Text { text, quoted } if expects("integer") || expects("number") => {
            let plain: String = text.chars().filter(|c| *c != '_').collect();
            let number = plain.trim_start_matches('0').parse::<f64>().is_ok() && !plain.is_empty();
            match (number, quoted) {
                (true, true) => Some(format!("write {plain} without quotes")),
                (true, false) => Some(format!("write {}", plain.trim_start_matches('0'))),
                _ => None,
            }
        }
        Value::Integer(integer)
            if schema.get("format").and_then(Json::as_str) == Some("shop-duration") =>
        {
            Some(format!("add a unit: `{integer}s` or `{integer}ms`"))
        }
        Value::Integer(integer) if expects("string") => {
            Some(format!("put it in quotes: \"{integer}\""))
        }
        Value::Float(_) | Value::Boolean(_) if expects("string") => {
            Some("put it in quotes".to_owned())
        }
        Value::Text { text, .. } if expects("array") => {
            Some(format!("write it as a list: [{}]", short(text)))
        }
        Value::Integer(integer) if expects("array") => {
            Some(format!("write it as a list: [{integer}]"))
        }
        Value::Text {
            text,
            quoted: false,
        } if expects("object") && text.contains(':') => {
            Some("write a space after the `:`".to_owned())
        }
        Value::Text { .. } | Value::Integer(_) if expects("object") => {
            let fields = schema.get("properties").and_then(Json::as_object)?;
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            Some(format!("the fields here are: {}", names.join(", ")))
        }
        Value::List(_) if expects("object") => {
            Some("write `name: value` lines, without `-`".to_owned())
        }
        Value::Map(_) if expects("array") => Some("begin each item with `- `".to_owned()),
        _ => None,
    }
}

/// A number of things.
pub(super) fn counted(number: f64, noun: &str) -> String {
    let plural = if number > 1.0 { "s" } else { "" };
    format!("{number} {noun}{plural}")
}

/// A text as a message can hold it.
pub(super) fn short(text: &str) -> String {
    let line: String = text
        .chars()
        .take(48)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() < text.chars().count() {
        format!("{line}…")
    } else {
        line
    }
}
