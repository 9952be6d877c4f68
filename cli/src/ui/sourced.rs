//! Lines of several sources, each after the name of its source, in a color of the source's own.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// Colors that neither look like an error nor vanish on a light or dark terminal.
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Yellow,
    AnsiColor::BrightBlack,
];

/// The names of the sources that have been seen so far.
#[derive(Debug, Default)]
pub struct SourcedLines {
    names: Vec<String>,
    width: usize,
    /// Whether people read it: then lines that are documents for programs are told in a few words.
    condensed: bool,
}

impl SourcedLines {
    /// Lines that are shown as they were written, or for people.
    pub fn new(condensed: bool) -> Self {
        Self {
            condensed,
            ..Self::default()
        }
    }

    /// Makes room for a name and gives it a color. Names that come later get theirs, too, only less aligned.
    pub fn announce(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
            self.width = self.width.max(name.width());
        }
    }

    /// A line as it is shown: with its source's name if there is more than one source.
    pub fn line(&self, name: &str, text: &str) -> String {
        let condensed = self.condensed.then(|| condense(text)).flatten();
        let text = printable(condensed.as_deref().unwrap_or(text));
        if self.names.len() < 2 {
            return text;
        }
        let position = self.names.iter().position(|known| known == name);
        let color = COLORS[position.unwrap_or_default() % COLORS.len()];
        let style: Style = color.on_default();
        let blank = " ".repeat(self.width.saturating_sub(name.width()));
        format!("{style}{name}{blank} |{style:#} {text}")
    }
}

/// What a structured line of a service says: time, level, message, its fields, and the request that it belongs to. None
/// for a line of another kind.
fn condense(line: &str) -> Option<String> {
    let document: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let (_, time) = text("timestamp")?.split_once('T')?;
    let time: String = time.chars().take("00:00:00.000".len()).collect();
    let (level, message) = (text("level")?, text("message")?);
    let mut told = format!("{time} {level:<5} {message}");
    let fields = document.get("fields").and_then(Value::as_object);
    for (name, value) in fields.into_iter().flatten() {
        // What is one word needs no quotation marks.
        let plain = value.as_str().filter(|text| !text.contains([' ', '"']));
        let value = plain.map_or_else(|| value.to_string(), ToOwned::to_owned);
        let _ = write!(told, " {name}={value}");
    }
    if let Some(request) = text("request_id") {
        let _ = write!(told, " request={request}");
    }
    Some(told)
}

/// A line that cannot play tricks with a terminal, whatever a process wrote into its log.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_aligned_and_a_single_one_is_left_out() {
        let mut lines = SourcedLines::default();
        lines.announce("redis-0");
        lines.announce("redis-0");
        assert_eq!(lines.line("redis-0", "a line"), "a line");
        lines.announce("gateway-0");
        let plain = |line: String| anstream::adapter::strip_str(&line).to_string();
        assert_eq!(plain(lines.line("redis-0", "one")), "redis-0   | one");
        assert_eq!(plain(lines.line("gateway-0", "two")), "gateway-0 | two");
    }

    #[test]
    fn a_structured_line_is_told_to_people_in_a_few_words_and_any_other_as_it_is() {
        let line = r#"{"timestamp":"2026-11-21T15:33:08.7989268Z","level":"INFO","service":"gateway",
            "request_id":"01a1","message":"readiness of a dependency",
            "fields":{"dependency":"redis","detail":"connected to \u001b[2J","ready":true}}"#;
        let people = SourcedLines::new(true);
        assert_eq!(
            people.line("a-0", line),
            "15:33:08.798 INFO  readiness of a dependency dependency=redis detail=\"connected to \\u001b[2J\" \
             ready=true request=01a1"
        );
        assert_eq!(people.line("a-0", "{\"level\":1}"), "{\"level\":1}");
        assert_eq!(
            SourcedLines::new(false).line("a-0", "{\"a\": 1}"),
            "{\"a\": 1}"
        );
    }

    #[test]
    fn a_line_cannot_move_the_cursor_or_change_the_title() {
        let lines = SourcedLines::default();
        assert_eq!(
            lines.line("a-0", "\u{1b}]0;title\u{7}\ttab \u{9b}2J"),
            "\\u{1b}]0;title\\u{7}\ttab \\u{9b}2J"
        );
    }
}
