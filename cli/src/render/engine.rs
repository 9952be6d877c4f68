//! minijinja as templates see it: strict undefined, no escaping, and the filters that quote for each kind of file.

use std::fmt::Write;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::RenderError;
use crate::catalogue::Templates;
use crate::value::{Duration, Quantity};

/// Templates, ready to be filled in.
pub(super) struct Engine<'a> {
    templates: &'a Templates,
    environment: Environment<'a>,
}

impl<'a> Engine<'a> {
    /// An engine for these templates. Each is compiled when it is first used.
    pub(super) fn new(templates: &'a Templates) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(syntax());
        // Each is compiled once, however many instances have it.
        let known = templates.clone();
        environment
            .set_loader(move |path| Ok(known.get(path).map(|template| template.text.to_string())));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_filter("quoted", |text: &str| double_quoted(text));
        environment.add_filter("pgquote", |text: &str| postgres_quoted(text));
        environment.add_filter("shquote", |text: &str| shell_quoted(text));
        environment.add_filter("sha256", |text: &str| hex::encode(Sha256::digest(text)));
        environment.add_filter("aclhashes", |values: Vec<String>| {
            let hashes = values
                .iter()
                .map(|value| hex::encode(Sha256::digest(value)));
            hashes
                .map(|hash| format!("#{hash}"))
                .collect::<Vec<_>>()
                .join(" ")
        });
        environment.add_filter("milliseconds", |text: &str| {
            text.parse::<Duration>()
                .map(Duration::milliseconds)
                .map_err(wrong)
        });
        environment.add_filter("mebibytes", |text: &str| {
            text.parse::<Quantity>()
                .map(|amount| amount.bytes().div_ceil(1 << 20))
                .map_err(wrong)
        });
        environment.add_filter("bytes", |text: &str| {
            text.parse::<Quantity>()
                .map(|amount| amount.bytes())
                .map_err(wrong)
        });
        Self {
            templates,
            environment,
        }
    }

    /// Fills in the template at `path` below `templates/`.
    pub(super) fn file(
        &self,
        component: &str,
        path: &str,
        context: &impl Serialize,
    ) -> Result<String, RenderError> {
        let source = self
            .templates
            .get(path)
            .ok_or_else(|| RenderError::Missing {
                component: component.to_owned(),
                template: path.to_owned(),
            })?;
        self.environment
            .get_template(path)
            .and_then(|template| template.render(Serde(context)))
            .map_err(|error| failure(path, &error, &source.text))
    }

    /// Fills in a template that stands inside of another file, such as an argument of a command.
    pub(super) fn text(
        &self,
        name: &str,
        source: &str,
        context: &impl Serialize,
    ) -> Result<String, RenderError> {
        self.environment
            .render_named_str(name, source, Serde(context))
            .map_err(|error| failure(name, &error, source))
    }
}

fn failure(template: &str, error: &minijinja::Error, source: &str) -> RenderError {
    RenderError::Template {
        template: template.to_owned(),
        line: error.line(),
        reason: reason(error, source),
    }
}

/// Fills in one template that belongs to no instance, such as a script of a tool.
pub fn render_text(
    templates: &Templates,
    component: &str,
    path: &str,
    context: &impl Serialize,
) -> Result<String, RenderError> {
    Engine::new(templates).file(component, path, context)
}

/// The syntax of templates: as it comes, but a file keeps the end of its last line.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .build()
        .unwrap_or_default()
}

fn wrong(error: impl std::fmt::Display) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string())
}

/// What is wrong, with the line of the template that asks for it.
fn reason(error: &minijinja::Error, source: &str) -> String {
    let mut text = match error.kind() {
        ErrorKind::UndefinedError => "it uses an undefined value".to_owned(),
        kind => kind.to_string(),
    };
    if let Some(detail) = error.detail() {
        let _ = write!(text, ": {detail}");
    }
    if let Some(line) = error
        .line()
        .and_then(|line| source.lines().nth(line.saturating_sub(1)))
    {
        let _ = write!(text, ", in `{}`", line.trim());
    }
    text
}

/// In double quotes with backslashes: the notation that redis.conf and TOML share for what a path may hold.
fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// In single quotes as postgresql.conf reads them.
fn postgres_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// In single quotes as a shell reads them.
pub(crate) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalogue::Origin;

    fn render(source: &str) -> Result<String, RenderError> {
        let mut templates = Templates::default();
        templates.insert("a/b.j2", source, Origin::Shipped);
        let context = BTreeMap::from([("path", r#"/a "b"/it's\x"#)]);
        Engine::new(&templates).file("a", "a/b.j2", &context)
    }

    #[test]
    fn each_kind_of_file_has_its_quotes() {
        assert_eq!(
            render("{{ path | quoted }}").unwrap(),
            r#""/a \"b\"/it's\\x""#
        );
        assert_eq!(
            render("{{ path | pgquote }}").unwrap(),
            r#"'/a "b"/it''s\\x'"#
        );
        assert_eq!(
            render("{{ path | shquote }}").unwrap(),
            r#"'/a "b"/it'\''s\x'"#
        );
    }

    #[test]
    fn amounts_are_converted_to_what_servers_read() {
        assert_eq!(render("{{ '1500ms' | milliseconds }}").unwrap(), "1500");
        assert_eq!(render("{{ '2Gi' | mebibytes }}").unwrap(), "2048");
        assert_eq!(
            render("{{ 'abc' | sha256 }}").unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn an_undefined_value_is_an_error_that_names_template_line_and_text() {
        let error = render("first\nx = {{ nothing }}\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to render templates/a/b.j2:2: it uses an undefined value: `nothing` is undefined, in `x = {{ nothing }}`"
        );
    }

    #[test]
    fn a_syntax_error_names_template_and_line() {
        let error = render("first\n{% if %}\n").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("failed to render templates/a/b.j2:2: syntax error"),
            "{error}"
        );
    }

    #[test]
    fn a_template_that_is_not_there_is_named_with_who_wants_it() {
        let error = Engine::new(&Templates::default())
            .file("redis", "redis/gone.j2", &())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to find templates/redis/gone.j2, which templates/redis/component.yaml names"
        );
    }
}
