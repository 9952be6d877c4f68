//! What a syntax error most likely means to the person who made it.

use saphyr_parser::ScanError;

use super::{Problem, Span};

/// Explains a syntax error; tabs are found in all lines at once.
pub(super) fn syntax_problems(text: &str, error: &ScanError) -> Vec<Problem> {
    let tabs: Vec<_> = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
            let tab = line[..blanks].find('\t')?;
            (!line.trim().is_empty() && !line.trim_start().starts_with('#'))
                .then_some((index + 1, tab + 1))
        })
        .map(|(line, column)| {
            Problem::at(Span::at(line, column), "a tab is used to indent this line")
                .fix("indent with spaces")
        })
        .collect();
    if error.info().contains("tab") && !tabs.is_empty() {
        return tabs;
    }
    vec![explain(text, error)]
}

/// What a message of the parser most likely means: the first that it contains counts.
const MEANINGS: [(&str, &str, &str); 14] = [
    (
        "escape",
        ESCAPE,
        "write `\\\\` for a backslash, or use single quotes",
    ),
    (
        "hexadecimal",
        ESCAPE,
        "write `\\\\` for a backslash, or use single quotes",
    ),
    (
        "quoted scalar, found unexpected end",
        OPEN_QUOTE,
        "close it on the same line",
    ),
    (
        "indentation in quoted scalar",
        OPEN_QUOTE,
        "close it on the same line",
    ),
    (
        "trailing content",
        "something follows the closing quote",
        "put the whole value in quotes; inside single quotes a quote is written twice",
    ),
    (
        "expected key",
        "this line is indented less than its siblings and more than their parent",
        "indent it like its siblings",
    ),
    (
        "simple key",
        "a `:` and a space are missing after the field's name",
        "write `name: value`",
    ),
    (
        "expected '-'",
        "a field stands among the items of a list",
        "begin the line with `- `, or indent it",
    ),
    (
        "flow mapping",
        BRACKETS,
        "every `[` needs its `]` and every `{` its `}`",
    ),
    (
        "flow sequence",
        BRACKETS,
        "every `[` needs its `]` and every `{` its `}`",
    ),
    (
        "bracket",
        BRACKETS,
        "every `[` needs its `]` and every `{` its `}`",
    ),
    (
        "unknown anchor",
        "aliases (`*name`) are not supported",
        "write the value out",
    ),
    (
        "unexpected character",
        "a value cannot begin with this character",
        "put the value in quotes",
    ),
    (
        "recursion limit",
        "too many maps and lists inside each other",
        "nest less",
    ),
];
const ESCAPE: &str = "an unknown escape stands in this text";
const OPEN_QUOTE: &str = "the quote that opens here is never closed";
const BRACKETS: &str = "brackets do not match here";

/// Says what a syntax error most likely means, at a place that the reader can see.
fn explain(text: &str, error: &ScanError) -> Problem {
    let lines: Vec<&str> = text.lines().collect();
    let (line, column) = visible_place(&lines, error);
    let info = error.info();
    if info.contains("mapping values are not allowed") || info.contains("illegal placement of ':'")
    {
        return misplaced_colon(&lines, line, column);
    }
    let here = lines.get(line - 1).copied().unwrap_or("");
    if let Some(at) = glued_colon(here).filter(|_| info.contains("simple key")) {
        return missing_space(line, at);
    }
    match MEANINGS.iter().find(|(words, ..)| info.contains(words)) {
        Some((_, message, fix)) => Problem::at(Span::at(line, column), *message).fix(*fix),
        None => Problem::at(Span::at(line, column), format!("this is not YAML: {info}")),
    }
}

/// Where an error is: at the end of the file or in an empty line, behind the last text before.
fn visible_place(lines: &[&str], error: &ScanError) -> (usize, usize) {
    let (line, column) = (error.marker().line().max(1), error.marker().col() + 1);
    if lines
        .get(line - 1)
        .is_some_and(|line| !line.trim().is_empty())
    {
        return (line, column);
    }
    let before = lines
        .iter()
        .take(line)
        .rposition(|line| !line.trim().is_empty());
    before.map_or((1, 1), |index| {
        (index + 1, lines[index].trim_end().chars().count() + 1)
    })
}

fn missing_space(line: usize, column: usize) -> Problem {
    Problem::at(Span::at(line, column), "a space is missing after this `:`")
        .fix("write `name: value`")
}

/// A `: ` where none can be: it is the second of its line, or its line is where no field can be.
fn misplaced_colon(lines: &[&str], line: usize, column: usize) -> Problem {
    let here = lines.get(line - 1).copied().unwrap_or("");
    let blanks = here.chars().take_while(|c| *c == ' ').count();
    let first = here.chars().position(|c| c == ':').map(|at| at + 1);
    if first != Some(column) {
        return Problem::at(Span::at(line, column), "a second `: ` stands in this line")
            .fix("put the value in quotes, or begin a new line");
    }
    let before = lines
        .iter()
        .take(line - 1)
        .rposition(|line| !line.trim().is_empty());
    if let Some(index) = before
        && let Some(at) = glued_colon(lines[index])
    {
        return missing_space(index + 1, at);
    }
    let name = Span {
        end_column: column,
        ..Span::at(line, blanks + 1)
    };
    Problem::at(
        name,
        "this field does not belong where its indentation puts it",
    )
    .fix("indent it like the field above, or close what is open above it")
}

/// The column of a `:` in a line that has none with a space behind it.
fn glued_colon(line: &str) -> Option<usize> {
    if line.trim_end().ends_with(':') || line.contains(": ") {
        return None;
    }
    line.chars().position(|c| c == ':').map(|at| at + 1)
}
