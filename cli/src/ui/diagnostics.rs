//! Shows problems in the text of the file that has them.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

use crate::document::{Invalid, Problem, Span};

const PLACE: Style = Style::new().bold();
const RULE: Style = AnsiColor::Blue.on_default().bold();
const CARET: Style = AnsiColor::Red.on_default().bold();
const OTHER: Style = AnsiColor::Blue.on_default().bold();
const FIX: Style = AnsiColor::Cyan.on_default().bold();

/// The widest part of a line that is shown.
const WIDTH: usize = 100;
/// What is shown before the problem in a line that is too long.
const LEAD: usize = 40;

/// All problems of a file, each with its line, and an empty line after each.
pub(super) fn render(invalid: &Invalid) -> String {
    let lines: Vec<&str> = invalid.text.lines().collect();
    let mut text = String::new();
    for problem in &invalid.problems {
        one(&mut text, invalid, problem, &lines);
        text.push('\n');
    }
    text
}

fn one(text: &mut String, invalid: &Invalid, problem: &Problem, lines: &[&str]) {
    let place = match problem.span {
        Some(span) => format!("{}:{}:{}", invalid.file, span.line, span.column),
        None => invalid.file.clone(),
    };
    line(
        text,
        format_args!("{PLACE}{place}{PLACE:#}: {}", problem.message),
    );
    let places = [
        problem.span,
        problem.related.as_ref().map(|related| related.span),
    ];
    let margin = places
        .into_iter()
        .flatten()
        .map(|span| span.line.to_string().len())
        .max()
        .unwrap_or(1);
    if let Some(span) = problem.span {
        line(text, format_args!("{RULE}{:margin$} |{RULE:#}", ""));
        excerpt(text, span, lines, margin, CARET, "^", "");
    }
    if let Some(related) = &problem.related {
        line(text, format_args!("{RULE}{:margin$} :{RULE:#}", ""));
        excerpt(
            text,
            related.span,
            lines,
            margin,
            OTHER,
            "-",
            &related.message,
        );
    }
    if let Some(fix) = &problem.fix {
        line(
            text,
            format_args!("{RULE}{:margin$} ={RULE:#} {FIX}fix{FIX:#}: {fix}", ""),
        );
    }
}

/// A line of the file, with the part that matters underlined.
fn excerpt(
    text: &mut String,
    span: Span,
    lines: &[&str],
    margin: usize,
    style: Style,
    mark: &str,
    said: &str,
) {
    let whole = lines
        .get(span.line.saturating_sub(1))
        .copied()
        .unwrap_or("");
    let length = whole.chars().count();
    let from = if length > WIDTH {
        span.column.saturating_sub(LEAD + 1).min(length)
    } else {
        0
    };
    let visible: Vec<char> = whole
        .chars()
        .skip(from)
        .take(WIDTH)
        .map(visible_form)
        .collect();
    let shown: String = visible.iter().collect();
    let (before, after) = (
        if from > 0 { "…" } else { "" },
        if length > from + WIDTH { "…" } else { "" },
    );
    let start = span
        .column
        .saturating_sub(1)
        .saturating_sub(from)
        .min(visible.len());
    let end = if span.end_line == span.line {
        span.end_column
            .saturating_sub(1)
            .saturating_sub(from)
            .clamp(start, visible.len())
    } else {
        visible.len()
    };
    let width = |part: &[char]| part.iter().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    let blanks = width(&visible[..start]) + before.chars().count();
    let marks = mark.repeat(width(&visible[start..end]).max(1));
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(" {said}")
    };
    line(
        text,
        format_args!(
            "{RULE}{:margin$} |{RULE:#} {before}{}{after}",
            span.line,
            shown.trim_end()
        ),
    );
    line(
        text,
        format_args!(
            "{RULE}{:margin$} |{RULE:#} {:blanks$}{style}{marks}{said}{style:#}",
            "", ""
        ),
    );
}

/// A character as it can be shown: one that steers a terminal is not sent to it.
fn visible_form(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, problem: Problem) -> String {
        let invalid = Invalid::new("a.yaml", text, vec![problem]);
        anstream::adapter::strip_str(&render(&invalid)).to_string()
    }

    #[test]
    fn the_caret_stands_under_the_value_also_behind_wide_characters() {
        let span = Span {
            line: 1,
            column: 7,
            end_line: 1,
            end_column: 9,
        };
        assert_eq!(
            plain(
                "名前: xyz\n",
                Problem::at(
                    Span {
                        column: 5,
                        end_column: 8,
                        ..span
                    },
                    "wrong"
                )
            ),
            "a.yaml:1:5: wrong\n  |\n1 | 名前: xyz\n  |       ^^^\n\n"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_problem() {
        let text = format!("{}wrong{}\n", "a".repeat(500), "b".repeat(500));
        let span = Span {
            line: 1,
            column: 501,
            end_line: 1,
            end_column: 506,
        };
        let shown = plain(&text, Problem::at(span, "wrong"));
        assert!(
            shown.lines().all(|line| line.chars().count() < 110),
            "{shown}"
        );
        let lines: Vec<&str> = shown.lines().collect();
        let at = lines[3].find('^').unwrap();
        assert_eq!(
            lines[2].chars().skip(at).take(5).collect::<String>(),
            "wrong"
        );
    }

    #[test]
    fn a_place_behind_the_end_of_the_file_is_shown_too() {
        assert!(plain("a: 1\n", Problem::at(Span::at(9, 9), "wrong")).contains("a.yaml:9:9"));
        assert_eq!(
            plain("", Problem::whole("wrong").fix("right")),
            "a.yaml: wrong\n  = fix: right\n\n"
        );
    }
}
