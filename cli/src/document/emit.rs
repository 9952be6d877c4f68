//! Writes values as a document, with a note behind the lines that deserve one.

use std::fmt::Write;

use serde_json::{Map, Value as Json};

use super::scalar::scalar;
use super::{Step, Value};

/// Gives the note of the value at the end of a way.
pub type Notes<'a> = dyn Fn(&[Step<'_>]) -> Option<String> + 'a;

/// Writes a map as a document. Keys that `order` names come first, in its order; the others follow by name.
pub fn emit(value: &Json, order: &[&str], notes: &Notes<'_>) -> String {
    let mut emitter = Emitter {
        order,
        notes,
        lines: Vec::new(),
    };
    if let Json::Object(fields) = value {
        emitter.map(fields, 0, &mut Vec::new());
    }
    emitter.finish()
}

struct Emitter<'a> {
    order: &'a [&'a str],
    notes: &'a Notes<'a>,
    lines: Vec<(String, Option<String>)>,
}

impl Emitter<'_> {
    fn map<'v>(&mut self, fields: &'v Map<String, Json>, depth: usize, way: &mut Vec<Step<'v>>) {
        let mut keys: Vec<&String> = fields.keys().collect();
        let rank = |key: &str| {
            self.order
                .iter()
                .position(|known| *known == key)
                .unwrap_or(usize::MAX)
        };
        keys.sort_by_key(|key| (rank(key), key.as_str()));
        for key in keys {
            if depth == 0 && !self.lines.is_empty() && matches!(fields[key], Json::Object(_)) {
                self.lines.push((String::new(), None));
            }
            way.push(Step::Key(key));
            self.entry(key, &fields[key], depth, way);
            way.pop();
        }
    }

    fn entry<'v>(&mut self, key: &str, value: &'v Json, depth: usize, way: &mut Vec<Step<'v>>) {
        let head = format!("{:indent$}{}:", "", text(key), indent = depth * 2);
        match value {
            Json::Object(fields) if !fields.is_empty() => {
                self.lines.push((head, None));
                self.map(fields, depth + 1, way);
            }
            Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                self.lines.push((head, None));
                for (index, item) in items.iter().enumerate() {
                    way.push(Step::Index(index));
                    self.item(item, depth + 1, way);
                    way.pop();
                }
            }
            Json::String(text) if is_block(text) => {
                let keep = if text.ends_with('\n') { "" } else { "-" };
                self.lines.push((format!("{head} |{keep}"), None));
                for line in text.trim_end_matches('\n').split('\n') {
                    let indent = if line.is_empty() { 0 } else { depth * 2 + 2 };
                    self.lines.push((format!("{:indent$}{line}", ""), None));
                }
            }
            value => {
                let note = (self.notes)(way);
                self.lines.push((format!("{head} {}", inline(value)), note));
            }
        }
    }

    /// An item of a list: a map whose first line carries the dash.
    fn item<'v>(&mut self, item: &'v Json, depth: usize, way: &mut Vec<Step<'v>>) {
        let first = self.lines.len();
        match item {
            Json::Object(fields) if !fields.is_empty() => self.map(fields, depth + 1, way),
            other => {
                let indent = depth * 2 + 2;
                self.lines.push((
                    format!("{:indent$}{}", "", inline(other)),
                    (self.notes)(way),
                ));
            }
        }
        if let Some((line, _)) = self.lines.get_mut(first) {
            line.replace_range(depth * 2..=depth * 2, "-");
        }
    }

    fn finish(self) -> String {
        let noted = self.lines.iter().filter(|(_, note)| note.is_some());
        let column = noted
            .map(|(line, _)| line.chars().count())
            .filter(|width| *width <= 60)
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (line, note) in &self.lines {
            // Writing to a text cannot fail.
            let _ = match note {
                Some(note) => writeln!(text, "{line:column$} # {note}"),
                None => writeln!(text, "{line}"),
            };
        }
        text
    }
}

/// Whether a text of several lines can stand as it is: its first line tells the indentation, and its end is one line
/// break or none.
fn is_block(text: &str) -> bool {
    let visible = |c: char| !c.is_control() || c == '\n';
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(visible)
}

/// A scalar, or a list or map of scalars, on one line.
fn inline(value: &Json) -> String {
    match value {
        Json::String(string) => text(string),
        Json::Array(items) => format!(
            "[{}]",
            items.iter().map(inline).collect::<Vec<_>>().join(", ")
        ),
        other => other.to_string(),
    }
}

/// A text, in quotes where it would be read as something else.
fn text(text: &str) -> String {
    let inside = |c: char| {
        c.is_alphanumeric()
            || matches!(
                c,
                ' ' | '_' | '-' | '.' | '/' | '@' | '+' | '(' | ')' | '\''
            )
    };
    let plain = text.starts_with(|c: char| c.is_alphanumeric() || c == '/')
        && !text.ends_with(' ')
        && text.chars().all(inside)
        && matches!(scalar(text, false), Value::Text { .. });
    if plain {
        text.to_owned()
    } else {
        Json::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse::read;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn notes_stand_in_one_column_behind_their_values() {
        let value = json!({"b": {"x": 1, "list": ["one", "2"]}, "a": "yes", "items": [{"k": "v", "l": true}]});
        let notes = |way: &[Step<'_>]| {
            matches!(way, [_, Step::Key("x" | "list")]).then(|| "here".to_owned())
        };
        assert_eq!(
            emit(&value, &["b"], &notes),
            "b:\n  list: [one, \"2\"] # here\n  x: 1             # here\na: yes\nitems:\n  - k: v\n    l: true\n"
        );
    }

    #[test]
    fn a_text_of_several_lines_stands_as_it_is() {
        for text in ["one\n two\n\nthree\n", "one\ntwo", "one\n\n\ntwo\n"] {
            let value = json!({"map": {"text": text, "z": 1}});
            let written = emit(&value, &[], &|_| None);
            assert!(written.contains("one\n"), "{written}");
            let parsed = read("file", written.as_bytes()).unwrap();
            assert_eq!(parsed.root.to_json(), value, "{written}");
        }
        let quoted = emit(&json!({"text": " one\ntwo\n\n"}), &[], &|_| None);
        assert_eq!(quoted, "text: \" one\\ntwo\\n\\n\"\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(texts in proptest::collection::vec(".{0,12}", 1..5), number in any::<i64>()) {
            let value = json!({"texts": texts, "map": {"n": number, "b": false}, "maps": [{"t": texts[0]}]});
            let written = emit(&value, &[], &|_| None);
            let parsed = read("file", written.as_bytes());
            // A text with characters that YAML forbids is not for people.
            if let Ok(parsed) = parsed && parsed.problems.is_empty() {
                prop_assert_eq!(parsed.root.to_json(), value, "{}", written);
            } else {
                prop_assert!(texts.iter().any(|text| text.chars().any(|c| !(' '..='~').contains(&c))), "{}", written);
            }
        }
    }
}
