//! Values as YAML that every reader understands the same: a text that any version of YAML could take for something
//! else is written as JSON, which YAML contains.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// Words that some version of YAML takes for no text.
const TAKEN: [&str; 11] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
];

/// A map as a document.
pub(super) fn written(value: &Json) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Json, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(fields) => {
            for (key, value) in fields {
                let _ = write!(text, "{indent}{}:", scalar(&Json::String(key.clone())));
                inner(value, depth + 1, text);
            }
        }
        Json::Array(items) => {
            for item in items {
                let mut below = String::new();
                match item {
                    Json::Object(fields) if !fields.is_empty() => {
                        block(item, depth + 1, &mut below);
                    }
                    other => below = format!("{indent}  {}\n", scalar(other)),
                }
                // The first line of what is below carries the dash.
                let _ = write!(text, "{indent}- {}", below.trim_start_matches(' '));
            }
        }
        other => {
            let _ = writeln!(text, "{indent}{}", scalar(other));
        }
    }
}

fn inner(value: &Json, depth: usize, text: &mut String) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            *text += "\n";
            block(value, depth, text);
        }
        // Lists stand below their key without further indentation, as Kubernetes' own tools write them.
        Json::Array(items) if !items.is_empty() => {
            *text += "\n";
            block(value, depth - 1, text);
        }
        other => {
            let _ = writeln!(text, " {}", scalar(other));
        }
    }
}

fn scalar(value: &Json) -> String {
    let Json::String(text) = value else {
        return value.to_string();
    };
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-./@".contains(c);
    let taken = TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if begins && text.chars().all(inside) && !taken {
        text.clone()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Json {
        let document = Document::parse("test", text.as_bytes(), &json!({})).unwrap();
        document.verdict([]).unwrap();
        document.values().clone()
    }

    #[test]
    fn a_kubeconfig_is_read_as_it_was_written() {
        let value = json!({
            "apiVersion": "v1", "preferences": {}, "clusters": [],
            "users": [
                {"name": "a", "user": {"exec": {"args": ["-x", "yes", "0600"], "env": [], "on": true}}},
                {"name": "b c", "user": {"token": "x: y # z"}},
            ],
        });
        let text = written(&value);
        assert_eq!(read(&text), value, "{text}");
        assert!(
            text.contains("- \"-x\"\n") && text.contains("- \"0600\"\n"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_it_was_written(texts in prop::collection::vec("[ -~]{0,12}", 1..4), number in any::<i32>()) {
            let value = json!({"texts": texts, "maps": [{"t": texts[0], "n": number}, [], {}], "deep": {"a": {"b": texts[0]}}});
            let text = written(&value);
            prop_assert_eq!(read(&text), value, "{}", text);
        }
    }
}
