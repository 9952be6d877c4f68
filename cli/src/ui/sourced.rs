//! Lines of several sources, each after the name of its source, in a color of the source's own.

use anstyle::{AnsiColor, Style};
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
}

impl SourcedLines {
    /// Makes room for a name and gives it a color. Names that come later get theirs, too, only less aligned.
    pub fn announce(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
            self.width = self.width.max(name.width());
        }
    }

    /// A line as it is shown: with its source's name if there is more than one source.
    pub fn line(&self, name: &str, text: &str) -> String {
        let text = printable(text);
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
    fn a_line_cannot_move_the_cursor_or_change_the_title() {
        let lines = SourcedLines::default();
        assert_eq!(
            lines.line("a-0", "\u{1b}]0;title\u{7}\ttab \u{9b}2J"),
            "\\u{1b}]0;title\\u{7}\ttab \\u{9b}2J"
        );
    }
}
