//! Holds a JSON Schema against a tree and reports everything that does not fit.
//!
//! Understands the part of JSON Schema that our own schemas use. Texts with a `format` of ours are checked by the type
//! that will hold them, so that the message is that type's. Two keywords are ours: `x-noun` says what an entry of a
//! map is called ("component"), `x-elsewhere` what to do about a key that belongs in another map.

use serde_json::Value as Json;

use super::{Entry, Node, Problem, Span, Value, nearest};
use crate::value::{ComponentName, Duration, EnvironmentName, Quantity};

/// Reports everything in a tree that does not fit a schema. An incomplete tree lacks nothing.
pub(super) fn check(root: &Node, schema: &Json, complete: bool) -> Vec<Problem> {
    let mut checker = Checker {
        schema,
        complete,
        way: Vec::new(),
        problems: Vec::new(),
    };
    checker.node(root, schema);
    checker.problems
}

struct Checker<'a> {
    schema: &'a Json,
    complete: bool,
    way: Vec<String>,
    problems: Vec<Problem>,
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
            (_, types) => self.mismatch(node, schema, types),
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
                    if known.is_none()
                        && let Some(format) = schema
                            .pointer("/propertyNames/format")
                            .and_then(Json::as_str)
                        && let Err(why) = check_format(format, &entry.key)
                    {
                        self.report(Problem::at(entry.key_span, why));
                    }
                    self.way.push(entry.key.clone());
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
        let elsewhere = schema
            .pointer("/x-elsewhere")
            .and_then(|map| map.get(key))
            .and_then(Json::as_str);
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
        let fix = if let Some(fix) = elsewhere {
            fix.to_owned()
        } else if let Some(parent) = self.section_that_knows(key, schema) {
            format!("it belongs into `{parent}:` here")
        } else if let Some(meant) = nearest(key, free) {
            format!("did you mean `{meant}`?")
        } else if known.is_empty() {
            format!("remove it: there are no {noun}s here")
        } else {
            format!("the {noun}s here are: {}", known.join(", "))
        };
        self.report(problem.fix(fix));
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
        if let Some(least) = limit(schema, "minItems").filter(|least| count < *least) {
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
        if let Some(Err(why)) = schema
            .get("format")
            .and_then(Json::as_str)
            .map(|format| check_format(format, text))
        {
            // A number that somebody wrote as a text of the wrong kind is shown with its cause.
            self.report(Problem::at(
                node.span,
                format!("{what} is `{}`, but {why}", short(text)),
            ));
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

    fn mismatch(&mut self, node: &Node, schema: &'a Json, types: &[&str]) {
        let what = self.what();
        let expected = expectation(schema);
        let span = match node.value {
            Value::Map(_) | Value::List(_) => first_character(node.span),
            _ => node.span,
        };
        let message = format!("{what} must be {expected}, not {}", describe(&node.value));
        let problem = Problem::at(span, message);
        self.report(match mismatch_fix(&node.value, schema, types) {
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
        self.problems.push(problem);
    }
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one.as_str()],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The only texts that a value may be, from `enum`, `const` or a `oneOf` of them.
fn choices(schema: &Json) -> Vec<&str> {
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

fn limit(schema: &Json, keyword: &str) -> Option<f64> {
    schema.get(keyword).and_then(Json::as_f64)
}

/// What a value should be, for a message.
fn expectation(schema: &Json) -> &'static str {
    match schema.get("format").and_then(Json::as_str) {
        Some("shop-duration") => return "a duration such as 500ms, 10s or 5m",
        Some("shop-quantity") => return "a quantity such as 500m or 256Mi",
        Some("component-name" | "environment-name") => return "a name",
        _ => {}
    }
    match types(schema).first() {
        Some(&"boolean") => "`true` or `false`",
        Some(&"integer") => "a whole number",
        Some(&"number") => "a number",
        Some(&"array") => "a list",
        Some(&"object") => "a map of fields",
        _ => "a text",
    }
}

fn describe(value: &Value) -> String {
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

fn mismatch_fix(value: &Value, schema: &Json, types: &[&str]) -> Option<String> {
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
        Value::List(_) if expects("object") => {
            Some("write `name: value` lines, without `-`".to_owned())
        }
        Value::Map(_) if expects("array") => Some("begin each item with `- `".to_owned()),
        _ => None,
    }
}

/// Asks the type that will hold a text whether it will.
fn check_format(format: &str, text: &str) -> Result<(), String> {
    fn parsed<T: std::str::FromStr>(text: &str) -> Result<(), String>
    where
        T::Err: ToString,
    {
        text.parse::<T>()
            .map(drop)
            .map_err(|error| error.to_string())
    }
    match format {
        "shop-duration" => parsed::<Duration>(text),
        "shop-quantity" => parsed::<Quantity>(text),
        "component-name" => parsed::<ComponentName>(text),
        "environment-name" => parsed::<EnvironmentName>(text),
        "shop-currency" => currency(text),
        "shop-version" => version(text),
        _ => Ok(()),
    }
}

fn currency(text: &str) -> Result<(), String> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err("a currency is three capital letters, as in EUR".to_owned())
    }
}

fn version(text: &str) -> Result<(), String> {
    let mut parts = text.split('.');
    if parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        Ok(())
    } else {
        Err("a version is numbers with dots between, as in 15 or 7.2".to_owned())
    }
}

fn counted(number: f64, noun: &str) -> String {
    let plural = if number > 1.0 { "s" } else { "" };
    format!("{number} {noun}{plural}")
}

/// A text as a message can hold it.
fn short(text: &str) -> String {
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

fn first_character(span: Span) -> Span {
    Span::at(span.line, span.column)
}
