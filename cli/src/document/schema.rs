//! Holds a JSON Schema against a tree and reports everything that does not fit.
//!
//! Understands the part of JSON Schema that our own schemas use. Texts with a `format` of ours are checked by the type
//! that will hold them, so that the message is that type's. Two keywords are ours: `x-noun` says what an entry of a
//! map is called ("component"), `x-elsewhere` what a key is that belongs in another map.

use serde_json::Value as Json;

use super::format::check_format;
use super::words::{choices, counted, describe, expectation, mismatch_fix, short, types};
use super::{Entry, Node, Problem, Span, Value, nearest};
use crate::value::Duration;

/// What does not fit.
pub(super) struct Misfits {
    /// All problems.
    pub(super) problems: Vec<Problem>,
    /// The ways to the values that have them.
    pub(super) ways: Vec<Vec<String>>,
}

/// Finds everything in a tree that does not fit a schema. An incomplete tree lacks nothing.
pub(super) fn check(root: &Node, schema: &Json, complete: bool) -> Misfits {
    let mut checker = Checker {
        schema,
        complete,
        way: Vec::new(),
        misfits: Misfits {
            problems: Vec::new(),
            ways: Vec::new(),
        },
    };
    checker.node(root, schema);
    checker.misfits
}

struct Checker<'a> {
    schema: &'a Json,
    complete: bool,
    way: Vec<String>,
    misfits: Misfits,
}

impl<'a> Checker<'a> {
    fn node(&mut self, node: &Node, schema: &'a Json) {
        let schema = self.resolve(schema);
        if node.value == Value::Null {
            return self.nothing(node, schema);
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            return self.choice(node, &choices);
        }
        match (&node.value, types(schema).as_slice()) {
            (_, []) => {}
            (Value::Map(entries), types) if types.contains(&"object") => {
                self.map(node, entries, schema);
            }
            (Value::List(items), types) if types.contains(&"array") => {
                self.list(node, items, schema);
            }
            (Value::Text { text, .. }, types) if types.contains(&"string") => {
                self.text(node, text, schema);
            }
            (Value::Boolean(_), types) if types.contains(&"boolean") => {}
            (Value::Integer(integer), types)
                if types.contains(&"integer") || types.contains(&"number") =>
            {
                self.number(node, *integer as f64, schema);
            }
            (Value::Float(number), types) if types.contains(&"number") => {
                self.number(node, *number, schema);
            }
            _ => self.mismatch(node, schema),
        }
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        while let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            match target
                .strip_prefix('#')
                .and_then(|pointer| self.schema.pointer(pointer))
            {
                Some(found) => schema = found,
                None => break,
            }
        }
        schema
    }

    /// A field without a value: an empty section asks for defaults, anything else was forgotten.
    fn nothing(&mut self, node: &Node, schema: &'a Json) {
        let types = types(schema);
        if types.contains(&"object") {
            return self.map(node, &[], schema);
        }
        if types.contains(&"array") {
            return self.list(node, &[], schema);
        }
        let what = self.what();
        let expected = expectation(schema);
        self.report(
            Problem::at(node.span, format!("{what} has no value")).fix(format!(
                "write {expected}, or remove the line to get the default"
            )),
        );
    }

    fn choice(&mut self, node: &Node, choices: &[&str]) {
        let list = choices.join(", ");
        let what = self.what();
        match &node.value {
            Value::Text { text, .. } if choices.contains(&text.as_str()) => {}
            Value::Text { text, .. } => {
                let problem = Problem::at(
                    node.span,
                    format!("unknown value `{}` of {what}", short(text)),
                );
                self.report(match nearest(text, choices.iter().copied()) {
                    Some(meant) => {
                        problem.fix(format!("did you mean `{meant}`? It may be one of: {list}"))
                    }
                    None => problem.fix(format!("it may be one of: {list}")),
                });
            }
            other => {
                let problem = Problem::at(
                    node.span,
                    format!("{what} must be a text, not {}", describe(other)),
                );
                self.report(problem.fix(format!("it may be one of: {list}")));
            }
        }
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &'a Json) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        for entry in entries {
            let known = properties.and_then(|properties| properties.get(&entry.key));
            match known.or(others.filter(|others| others.is_object())) {
                Some(schema_of_entry) => {
                    self.way.push(entry.key.clone());
                    let format = schema.pointer("/propertyNames/format");
                    let format = format.filter(|_| known.is_none()).and_then(Json::as_str);
                    if let Err(misfit) = check_format(format.unwrap_or(""), &entry.key) {
                        self.report(Problem::at(entry.key_span, misfit.why).fix(misfit.fix));
                    }
                    self.node(&entry.value, schema_of_entry);
                    self.way.pop();
                }
                None if others == Some(&Json::Bool(false)) => self.unknown(entry, entries, schema),
                None => {}
            }
        }
        let required = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        for field in required.filter_map(Json::as_str) {
            if self.complete && !entries.iter().any(|entry| entry.key == field) {
                let what = self.what();
                self.report(
                    Problem::at(
                        first_character(node.span),
                        format!("{what} lacks the field `{field}`"),
                    )
                    .fix(format!("add `{field}: …`")),
                );
            }
        }
        let least = limit(schema, "minProperties");
        if least.is_some_and(|least| (entries.len() as f64) < least) {
            let what = self.what();
            self.report(Problem::at(
                first_character(node.span),
                format!("{what} must not be empty"),
            ));
        }
    }

    fn unknown(&mut self, entry: &Entry, siblings: &[Entry], schema: &'a Json) {
        let noun = schema
            .get("x-noun")
            .and_then(Json::as_str)
            .unwrap_or("field");
        let key = &entry.key;
        let place = if self.way.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", self.way.join("."))
        };
        let problem = Problem::at(
            entry.key_span,
            format!("unknown {noun} `{}`{place}", short(key)),
        );
        let elsewhere = schema.get("x-elsewhere").and_then(Json::as_object);
        let known: Vec<&str> = schema
            .get("properties")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let free = known
            .iter()
            .copied()
            .filter(|name| !siblings.iter().any(|sibling| sibling.key == *name));
        let fix_elsewhere = |name: &str| elsewhere?.get(name).and_then(Json::as_str);
        let names_elsewhere = elsewhere
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        let fix = if let Some(fix) = fix_elsewhere(key) {
            format!("this is {fix}")
        } else if let Some(parent) = self.section_that_knows(key, schema) {
            format!("it belongs under `{parent}:`")
        } else if let Some(meant) = nearest(key, free) {
            format!("did you mean `{meant}`?")
        } else if let Some(fix) = nearest(key, names_elsewhere).and_then(fix_elsewhere) {
            format!("did you mean {fix}?")
        } else if known.is_empty() {
            format!("remove it: there are no {noun}s here")
        } else {
            format!("the {noun}s here are: {}", known.join(", "))
        };
        self.way.push(key.clone());
        self.report(problem.fix(fix));
        self.way.pop();
    }

    /// The field beside an unknown one that holds a field of this name.
    fn section_that_knows(&self, key: &str, schema: &'a Json) -> Option<&'a str> {
        let properties = schema.get("properties").and_then(Json::as_object)?;
        let mut sections = properties.iter().filter(|(_, section)| {
            self.resolve(section)
                .get("properties")
                .is_some_and(|properties| properties.get(key).is_some())
        });
        let (name, _) = sections.next()?;
        sections.next().is_none().then_some(name.as_str())
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &'a Json) {
        if let Some(items_schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.way.push(index.to_string());
                if item.value == Value::Null {
                    let what = self.what();
                    self.report(
                        Problem::at(item.span, format!("{what} is an empty item")).fix("remove it"),
                    );
                } else {
                    self.node(item, items_schema);
                }
                self.way.pop();
            }
        }
        let count = items.len() as f64;
        let what = self.what();
        let least = limit(schema, "minItems").filter(|_| self.complete);
        if let Some(least) = least.filter(|least| count < *least) {
            self.report(Problem::at(
                node.span,
                format!("{what} needs at least {}", counted(least, "item")),
            ));
        }
        if let Some(most) = limit(schema, "maxItems").filter(|most| count > *most) {
            self.report(Problem::at(
                first_character(node.span),
                format!("{what} has {count} items, at most {most} are allowed"),
            ));
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &'a Json) {
        let what = self.what();
        let format = schema.get("format").and_then(Json::as_str).unwrap_or("");
        if let Err(misfit) = check_format(format, text) {
            let problem = Problem::at(node.span, format!("{what}: {}", misfit.why));
            self.report(problem.fix(misfit.fix));
            return;
        }
        if let Ok(length) = text.parse::<Duration>()
            && format == "shop-duration"
        {
            self.duration(node, length, schema);
            return;
        }
        let length = text.chars().count() as f64;
        if let Some(least) = limit(schema, "minLength").filter(|least| length < *least) {
            self.report(if text.is_empty() {
                Problem::at(node.span, format!("{what} is empty"))
            } else {
                Problem::at(
                    node.span,
                    format!("{what} needs at least {}", counted(least, "character")),
                )
            });
        }
        if let Some(most) = limit(schema, "maxLength").filter(|most| length > *most) {
            let message = format!("{what} has {length} characters, at most {most} are allowed");
            self.report(Problem::at(node.span, message));
        }
    }

    fn duration(&mut self, node: &Node, length: Duration, schema: &'a Json) {
        let bound = |keyword| {
            let milliseconds = schema.get(keyword).and_then(Json::as_u64)?;
            Some(Duration::from_milliseconds(milliseconds))
        };
        let least = bound("minimumMilliseconds");
        let most = bound("maximumMilliseconds");
        let fits =
            least.is_none_or(|least| length >= least) && most.is_none_or(|most| length <= most);
        let limits = match (least, most) {
            _ if fits => return,
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (_, Some(most)) => format!("at most {most}"),
            (None, None) => return,
        };
        let what = self.what();
        self.report(Problem::at(
            node.span,
            format!("{what} must be {limits}, not {length}"),
        ));
    }

    fn number(&mut self, node: &Node, number: f64, schema: &'a Json) {
        let what = self.what();
        let (least, most) = (limit(schema, "minimum"), limit(schema, "maximum"));
        let below = least.is_some_and(|least| number < least);
        let above = most.is_some_and(|most| number > most);
        if !below && !above {
            return;
        }
        let problem = match (least, most) {
            (Some(least), Some(most)) if least >= most => {
                format!("{what} can only be {least}, not {number}")
            }
            (Some(least), Some(most)) => {
                format!("{what} must be from {least} to {most}, not {number}")
            }
            (Some(least), None) => format!("{what} must be at least {least}, not {number}"),
            (_, Some(most)) => format!("{what} must be at most {most}, not {number}"),
            (None, None) => return,
        };
        self.report(Problem::at(node.span, problem));
    }

    fn mismatch(&mut self, node: &Node, schema: &'a Json) {
        let what = self.what();
        let expected = expectation(schema);
        let span = match node.value {
            Value::Map(_) | Value::List(_) => first_character(node.span),
            _ => node.span,
        };
        let message = format!("{what} must be {expected}, not {}", describe(&node.value));
        let problem = Problem::at(span, message);
        self.report(match mismatch_fix(&node.value, schema) {
            Some(fix) => problem.fix(fix),
            None => problem,
        });
    }

    /// The value that is looked at, as a message names it.
    fn what(&self) -> String {
        if self.way.is_empty() {
            "the file".to_owned()
        } else {
            format!("`{}`", self.way.join("."))
        }
    }

    fn report(&mut self, problem: Problem) {
        self.misfits.problems.push(problem);
        self.misfits.ways.push(self.way.clone());
    }
}

fn limit(schema: &Json, keyword: &str) -> Option<f64> {
    schema.get(keyword).and_then(Json::as_f64)
}

fn first_character(span: Span) -> Span {
    Span::at(span.line, span.column)
}
