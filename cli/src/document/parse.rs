//! From text to tree, and what is wrong with the YAML itself.
//!
//! The subset is what a configuration needs: one document, maps with text keys, lists and scalars. Anchors, aliases,
//! merge keys and tags are refused: they would make a value's place ambiguous and let a small file become a huge one.
//! Booleans are `true` and `false`, numbers are decimal; everything else that is not marked is a text.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::scalar::scalar;
use super::syntax::syntax_problems;
use super::{Entry, Invalid, Node, Problem, Span, Value};

/// The largest document that is read, in bytes.
pub const MAXIMUM_SIZE: usize = 1 << 20;
const MAXIMUM_DEPTH: usize = 24;
const MAXIMUM_VALUES: usize = 50_000;

/// A document's tree with what is wrong with its YAML. After a syntax error the tree holds what stood before it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) root: Node,
    pub(super) problems: Vec<Problem>,
    pub(super) complete: bool,
}

/// Parses as much of a document as there is; fails only where there is no text at all.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Parsed, Invalid> {
    if bytes.len() > MAXIMUM_SIZE {
        let message = format!("the file has more than {} KiB", MAXIMUM_SIZE / 1024);
        return Err(Invalid::new(file, "", vec![Problem::whole(message)]));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return Err(not_utf8(file, bytes, error.valid_up_to())),
    };
    let mut builder = Builder::default();
    let complete = match first_unprintable(text) {
        Some(problem) => {
            builder.problems.push(problem);
            false
        }
        None => builder.run(text),
    };
    builder.close(complete);
    Ok(Parsed {
        root: builder.root.unwrap_or(Node {
            span: Span::at(1, 1),
            value: Value::Map(Vec::new()),
        }),
        problems: builder.problems,
        text: text.to_owned(),
        complete,
    })
}

fn not_utf8(file: &str, bytes: &[u8], valid: usize) -> Invalid {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let text = String::from_utf8_lossy(bytes).into_owned();
    let problem = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        Problem::whole("the file is written in UTF-16, not in UTF-8")
    } else {
        let byte = bytes.get(valid).copied().unwrap_or_default();
        Problem::at(
            Span::at(line, column),
            format!("the byte 0x{byte:02x} is not UTF-8"),
        )
    };
    Invalid::new(file, text, vec![problem.fix("save the file as UTF-8")])
}

/// Characters that YAML does not allow and that a person does not see.
fn first_unprintable(text: &str) -> Option<Problem> {
    let (mut line, mut column) = (1, 0);
    for c in text.chars() {
        column += 1;
        match c {
            '\n' => (line, column) = (line + 1, 0),
            '\t' | '\r' | '\u{85}' | ' '..='~' | '\u{a0}'.. if c != '\u{feff}' => {}
            _ => {
                let message = format!(
                    "the character U+{:04X} cannot be part of a file",
                    u32::from(c)
                );
                return Some(
                    Problem::at(Span::at(line, column), message)
                        .fix("remove it: it is not visible"),
                );
            }
        }
    }
    None
}

/// A map or list that is not closed yet.
enum Open {
    List(Span, Vec<Node>),
    Map(
        Span,
        Vec<Entry>,
        Option<(String, Span)>,
        BTreeMap<String, Span>,
    ),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    problems: Vec<Problem>,
    values: usize,
    documents: usize,
}

impl Builder {
    /// Takes all events; whether it came to the end.
    fn run(&mut self, text: &str) -> bool {
        for event in Parser::new_from_str(text) {
            let step = match event {
                Ok((event, span)) => self.take(event, convert(span)),
                Err(error) => {
                    self.problems.extend(syntax_problems(text, &error));
                    false
                }
            };
            if !step {
                return false;
            }
        }
        true
    }

    /// Takes an event; whether to go on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.push(
                        Problem::at(span, "a second document begins here").fix(
                            "a file holds one document: remove the `---` line or make two files",
                        ),
                    );
                    return false;
                }
            }
            Event::Alias(_) => {
                self.problems.push(
                    Problem::at(span, "aliases (`*name`) are not supported")
                        .fix("write the value out"),
                );
                self.forget_value();
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                // What a tag would have made of a text is not asked twice.
                let quoted = style != ScalarStyle::Plain && tag.is_none();
                if self.awaits_key() {
                    self.key(text.into_owned(), span, quoted);
                } else {
                    self.value(span, scalar(&text, quoted));
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                return self.begin(span, Open::List(span, Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                return self.begin(span, Open::Map(span, Vec::new(), None, BTreeMap::new()));
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        if self.values > MAXIMUM_VALUES {
            let message = format!("the file has more than {MAXIMUM_VALUES} values");
            self.problems.push(Problem::whole(message));
            return false;
        }
        true
    }

    fn refuse(&mut self, span: Span, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.problems.push(
                Problem::at(span, "anchors (`&name`) are not supported")
                    .fix("write the value out where it is needed"),
            );
        }
        if tagged {
            self.problems.push(
                Problem::at(span, "tags (`!name`) are not supported")
                    .fix("remove it; a text that looks like a number is put in quotes"),
            );
        }
    }

    fn begin(&mut self, span: Span, open: Open) -> bool {
        if self.awaits_key() {
            self.problems
                .push(Problem::at(span, "a key must be a text").fix("write `key: value`"));
            return false;
        }
        if self.open.len() >= MAXIMUM_DEPTH {
            let message = format!("more than {MAXIMUM_DEPTH} maps and lists inside each other");
            self.problems.push(Problem::at(span, message));
            return false;
        }
        self.open.push(open);
        true
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map(_, _, None, _)))
    }

    fn key(&mut self, text: String, span: Span, quoted: bool) {
        if text == "<<" && !quoted {
            self.problems.push(
                Problem::at(span, "merge keys (`<<`) are not supported")
                    .fix("write the fields out"),
            );
        }
        if let Some(Open::Map(_, _, key, seen)) = self.open.last_mut() {
            if let Some(first) = seen.get(&text) {
                self.problems.push(
                    Problem::at(span, format!("the field `{text}` is there twice"))
                        .fix("keep one of them")
                        .related(*first, "the first one"),
                );
            } else {
                seen.insert(text.clone(), span);
            }
            *key = Some((text, span));
        }
    }

    /// Leaves out a value that was refused, and its key.
    fn forget_value(&mut self) {
        if let Some(Open::Map(_, _, key, _)) = self.open.last_mut() {
            *key = None;
        }
    }

    fn value(&mut self, span: Span, value: Value) {
        self.values += 1;
        let node = Node { span, value };
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key, _)) => {
                if let Some((key, key_span)) = key.take()
                    && key != "<<"
                    && !entries.iter().any(|entry| entry.key == key)
                {
                    entries.push(Entry {
                        key,
                        key_span,
                        value: node,
                    });
                }
            }
        }
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::List(span, items)) => self.value(span, Value::List(items)),
            Some(Open::Map(span, entries, _, _)) => self.value(span, Value::Map(entries)),
            None => {}
        }
    }

    /// Closes what a syntax error left open. The value before the error may be half of one: it is dropped.
    fn close(&mut self, complete: bool) {
        match self.open.last_mut() {
            Some(Open::List(_, items)) => drop(items.pop()),
            Some(Open::Map(_, entries, None, _)) => drop(entries.pop()),
            None if !complete => self.root = None,
            Some(Open::Map(..)) | None => {}
        }
        while !self.open.is_empty() {
            self.end();
        }
        // An empty document, or one of comments alone, asks for nothing but defaults.
        if let Some(root) = &mut self.root
            && root.value == Value::Null
        {
            root.value = Value::Map(Vec::new());
        }
    }
}

fn convert(span: saphyr_parser::Span) -> Span {
    Span {
        line: span.start.line(),
        column: span.start.col() + 1,
        end_line: span.end.line(),
        end_column: span.end.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read("file", text.as_bytes())
            .unwrap()
            .problems
            .iter()
            .map(|problem| {
                let span = problem.span.unwrap_or_default();
                format!("{}:{} {}", span.line, span.column, problem.message)
            })
            .collect()
    }

    #[test]
    fn a_document_becomes_a_tree_with_places() {
        let parsed = read("file", b"\xef\xbb\xbfa:\r\n  b: [1, 'x']\r\n  c: 1.5\r\n").unwrap();
        assert_eq!(
            parsed.root.to_json(),
            serde_json::json!({"a": {"b": [1, "x"], "c": 1.5}})
        );
        let place = parsed.root.place(&["a".into(), "c".into()]).unwrap();
        assert_eq!((place.line, place.column, place.end_column), (3, 3, 4));
        assert_eq!(
            parsed
                .root
                .find(&["a".into(), "b".into(), 1.into()])
                .unwrap()
                .span
                .column,
            10
        );
    }

    #[test]
    fn nothing_and_comments_alone_are_an_empty_map() {
        for text in ["", "\n\n", "# a comment\n", "---\n", "{}\n", "null\n"] {
            let parsed = read("file", text.as_bytes()).unwrap();
            assert_eq!(parsed.root.value, Value::Map(Vec::new()), "{text:?}");
            assert!(parsed.problems.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn only_true_and_false_are_booleans_and_only_decimals_are_numbers() {
        for (text, value) in [
            ("true", Value::Boolean(true)),
            ("-3", Value::Integer(-3)),
            ("0", Value::Integer(0)),
            ("1e3", Value::Float(1000.0)),
            ("~", Value::Null),
        ] {
            assert_eq!(scalar(text, false), value, "{text}");
        }
        for text in [
            "yes", "no", "on", "True", "0x1f", "017", "1_000", ".inf", "1.2.3", "12:30", "e5",
            "1e999",
        ] {
            assert!(matches!(scalar(text, false), Value::Text { .. }), "{text}");
        }
        assert!(matches!(scalar("true", true), Value::Text { .. }));
    }

    #[test]
    fn what_the_subset_leaves_out_is_refused_where_it_stands() {
        for (text, problem) in [
            (
                "a: &x 1\nb: *x\n",
                vec![
                    "1:4 anchors (`&name`) are not supported",
                    "2:4 aliases (`*name`) are not supported",
                ],
            ),
            (
                "<<: {a: 1}\n",
                vec!["1:1 merge keys (`<<`) are not supported"],
            ),
            ("a: !!str 1\n", vec!["1:4 tags (`!name`) are not supported"]),
            (
                "a: 1\n---\nb: 1\n",
                vec!["2:1 a second document begins here"],
            ),
            ("? [a]\n: 1\n", vec!["1:3 a key must be a text"]),
            (
                "a: 1\nb: 2\na: 3\n",
                vec!["3:1 the field `a` is there twice"],
            ),
            (
                "a: \u{200b}\u{1}\n",
                vec!["1:5 the character U+0001 cannot be part of a file"],
            ),
        ] {
            assert_eq!(problems(text), problem, "{text:?}");
        }
    }

    #[test]
    fn all_tabs_are_found_at_once() {
        let text = "a:\n\tb: 1\n\tc: 2\n";
        assert_eq!(
            problems(text),
            [
                "2:1 a tab is used to indent this line",
                "3:1 a tab is used to indent this line"
            ]
        );
    }

    #[test]
    fn a_file_that_is_too_large_too_deep_or_no_text_is_refused() {
        let large = vec![b'#'; MAXIMUM_SIZE + 1];
        assert_eq!(
            read("file", &large).unwrap_err().problems[0].message,
            "the file has more than 1024 KiB"
        );
        let deep = "[".repeat(100_000);
        assert_eq!(
            problems(&deep),
            ["1:256 too many maps and lists inside each other"]
        );
        let deep = "- ".repeat(30);
        assert_eq!(
            problems(&deep),
            ["1:49 more than 24 maps and lists inside each other"]
        );
        let wide = format!("[{}]", "1,".repeat(60_000));
        assert_eq!(problems(&wide), ["0:0 the file has more than 50000 values"]);
        let problem = read("file", b"a: 1\nb: \xff\n")
            .unwrap_err()
            .problems
            .remove(0);
        assert_eq!(
            (problem.span.unwrap().line, problem.span.unwrap().column),
            (2, 4)
        );
        assert_eq!(problem.message, "the byte 0xff is not UTF-8");
    }

    #[test]
    fn what_stands_before_a_syntax_error_is_kept() {
        let parsed = read("file", b"a: 1\nb:\n  c: 2\n  d: 'x\n").unwrap();
        assert!(!parsed.complete);
        assert_eq!(parsed.root.to_json()["a"], 1);
    }
}
