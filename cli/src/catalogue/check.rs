//! What a schema cannot say about a component: references, and defaults that fit their own settings.

use serde_json::Value as Json;

use super::{
    Catalogue, Component, ComponentKind, FileSpec, ProbeKind, SettingFormat, SettingSpec,
    SettingType,
};
use crate::document::{Document, Problem, Span, Step, nearest};
use crate::value::{ComponentName, Duration, Network, Quantity};

/// Everything that is wrong with a component that has the right form. References to other components are only
/// judged when all of them could be read.
pub(super) fn component(
    catalogue: &Catalogue,
    name: &ComponentName,
    document: &Document,
    all_are_known: bool,
) -> Vec<Problem> {
    let Some(component) = catalogue.get(name.as_str()) else {
        return Vec::new();
    };
    let mut check = Check {
        catalogue,
        component,
        document,
        problems: Vec::new(),
    };
    if all_are_known {
        check.order();
        check.draws();
        check.reaches();
    }
    check.objects();
    check.replicas();
    check.files(&component.files, &["files".into()]);
    for (index, task) in component.tasks.iter().enumerate() {
        check.files(&task.files, &["tasks".into(), index.into(), "files".into()]);
    }
    check.probe();
    check.settings();
    check.rotations();
    check.command();
    check.problems
}

struct Check<'a> {
    catalogue: &'a Catalogue,
    component: &'a Component,
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, way: &[Step<'_>], message: String, fix: impl Into<String>) {
        let span = self
            .document
            .root
            .find(way)
            .map_or(Span::at(1, 1), |node| node.span);
        self.problems.push(Problem::at(span, message).fix(fix));
    }

    fn order(&mut self) {
        let catalogue = self.catalogue;
        for (index, before) in self.component.after.iter().enumerate() {
            let way = ["after".into(), index.into()];
            match catalogue.get(before.as_str()) {
                None => {
                    let known = catalogue
                        .runnable()
                        .map(|component| component.name.as_str());
                    let fix = nearest(before.as_str(), known).map_or_else(
                        || format!("add a folder templates/{before}, or remove the name"),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    self.report(&way, format!("there is no component `{before}`"), fix);
                }
                Some(other) if reaches(catalogue, other, &self.component.name, 0) => {
                    let message = format!(
                        "`{}` and `{before}` wait for each other",
                        self.component.name
                    );
                    self.report(&way, message, "remove one of the two");
                }
                Some(_) => {}
            }
        }
    }

    /// What is drawn on is a number that somebody declares.
    fn draws(&mut self) {
        let catalogue = self.catalogue;
        for (name, spec) in &self.component.settings {
            let Some(drawn) = &spec.draws_on else {
                continue;
            };
            let target = catalogue
                .get(drawn.component.as_str())
                .and_then(|component| component.settings.get(&drawn.setting));
            let is_number = |spec: &SettingSpec| {
                matches!(spec.kind, SettingType::Integer | SettingType::Number)
            };
            if !target.is_some_and(is_number) || !is_number(spec) {
                let way = ["settings".into(), name.as_str().into(), "drawsOn".into()];
                let message = format!(
                    "`{name}` cannot draw on `{}` of `{}`",
                    drawn.setting, drawn.component
                );
                self.report(&way, message, "both must be settings that are numbers");
            }
        }
    }

    /// Who is connected to is there, with such a port.
    fn reaches(&mut self) {
        let catalogue = self.catalogue;
        for (name, ports) in &self.component.pod.reaches {
            let way = ["pod".into(), "reaches".into(), name.as_str().into()];
            let known = catalogue
                .get(name.as_str())
                .map(|component| &component.ports);
            for port in ports {
                if known.is_none_or(|known| !known.contains_key(port)) {
                    let message = format!("there is no component `{name}` with a port `{port}`");
                    self.report(&way, message, "name a component and some of its `ports`");
                }
            }
        }
    }

    fn objects(&mut self) {
        for (index, path) in self.component.pod.objects.iter().enumerate() {
            let template = self.component.object_template(path);
            if self.catalogue.templates().get(&template).is_none() {
                let way = ["pod".into(), "objects".into(), index.into()];
                let message = format!("there is no template `{template}`");
                self.report(&way, message, "add the file, or correct its name");
            }
        }
    }

    fn replicas(&mut self) {
        let Component {
            replicas,
            minimum_replicas: least,
            maximum_replicas: most,
            ..
        } = *self.component;
        if !(least..=most).contains(&replicas) {
            let message = format!("`replicas` is {replicas}, but must be from {least} to {most}");
            self.report(&["replicas".into()], message, "change one of the three");
        }
    }

    fn files(&mut self, files: &[FileSpec], way: &[Step<'_>]) {
        for (index, file) in files.iter().enumerate() {
            let mut way = way.to_vec();
            way.push(index.into());
            if self
                .catalogue
                .template(&self.component.name, &file.template)
                .is_none()
            {
                way.push("template".into());
                let message = format!(
                    "there is no template `{}/{}`",
                    self.component.name, file.template
                );
                self.report(&way, message, "add the file, or correct its name");
            } else if file
                .path
                .split('/')
                .any(|part| matches!(part, "" | "." | ".."))
            {
                way.push("path".into());
                let message = format!("`{}` leads out of the configuration folder", file.path);
                self.report(&way, message, "write a relative path without `..`");
            }
        }
    }

    fn probe(&mut self) {
        let Some(probe) = &self.component.probe else {
            return;
        };
        if let Some(port) = &probe.port
            && !self.component.ports.contains_key(port)
        {
            let message = format!("the component has no port `{port}`");
            self.report(
                &["probe".into(), "port".into()],
                message,
                "name one of `ports`",
            );
        }
        if let Some(secret) = &probe.secret
            && !self
                .component
                .secrets
                .iter()
                .any(|known| known.name == *secret)
        {
            let message = format!("the component has no secret `{secret}`");
            self.report(
                &["probe".into(), "secret".into()],
                message,
                "name one of `secrets`",
            );
        }
        if probe.kind == ProbeKind::Exec && probe.command.is_empty() {
            let message = "an `exec` probe needs a `command`".to_owned();
            self.report(
                &["probe".into(), "kind".into()],
                message,
                "add `command: [program, argument]`",
            );
        }
        if probe.kind != ProbeKind::Exec && probe.port.is_none() {
            let message = "this kind of probe needs a `port`".to_owned();
            self.report(
                &["probe".into(), "kind".into()],
                message,
                "name one of `ports`",
            );
        }
    }

    fn settings(&mut self) {
        for (name, setting) in &self.component.settings {
            if let Err(why) = default_fits(setting) {
                let way = ["settings".into(), name.as_str().into(), "default".into()];
                self.report(
                    &way,
                    format!("the default of `{name}` {why}"),
                    "correct the default or its limits",
                );
            }
        }
    }

    /// What says how long a former secret is good is a duration that is declared.
    fn rotations(&mut self) {
        for (index, secret) in self.component.secrets.iter().enumerate() {
            let named = secret.rotate.as_ref().and_then(|it| it.keep_for.as_ref());
            let Some(name) = named else { continue };
            let kind = self.component.settings.get(name).map(|spec| spec.kind);
            if kind != Some(SettingType::Duration) {
                let way = [
                    "secrets".into(),
                    index.into(),
                    "rotate".into(),
                    "keepFor".into(),
                ];
                let message = format!("the component has no setting `{name}` that is a duration");
                self.report(&way, message, "name one of `settings` of type `duration`");
            }
        }
    }

    fn command(&mut self) {
        let tool = self.component.kind == ComponentKind::Tool;
        if tool != self.component.run.is_empty() {
            let (message, fix) = if tool {
                (
                    "a tool has no instances to `run`",
                    "remove `run`, or make it a server",
                )
            } else {
                (
                    "the command of an instance is missing",
                    "add `run: [program, argument]`",
                )
            };
            self.report(&["kind".into()], message.to_owned(), fix);
        }
    }
}

/// Whether a component waits for another, directly or not.
fn reaches(catalogue: &Catalogue, from: &Component, to: &ComponentName, depth: usize) -> bool {
    from.name == *to
        || depth < catalogue.components.len()
            && from
                .after
                .iter()
                .filter_map(|name| catalogue.get(name.as_str()))
                .any(|next| reaches(catalogue, next, to, depth + 1))
}

fn default_fits(setting: &SettingSpec) -> Result<(), String> {
    let wrong = |expected: &str| Err(format!("is not {expected}"));
    let text = setting.default.as_str();
    match setting.kind {
        SettingType::String if text.is_none() => return wrong("a text"),
        SettingType::Integer if !(setting.default.is_i64() || setting.default.is_u64()) => {
            return wrong("a whole number");
        }
        SettingType::Number if !setting.default.is_number() => return wrong("a number"),
        SettingType::Boolean if !setting.default.is_boolean() => return wrong("`true` or `false`"),
        SettingType::Duration if text.is_none_or(|text| text.parse::<Duration>().is_err()) => {
            return wrong("a duration");
        }
        SettingType::Quantity if text.is_none_or(|text| text.parse::<Quantity>().is_err()) => {
            return wrong("a quantity");
        }
        SettingType::StringList
            if setting
                .default
                .as_array()
                .is_none_or(|items| !items.iter().all(Json::is_string)) =>
        {
            return wrong("a list of texts");
        }
        _ => {}
    }
    if let Some(SettingFormat::Cidr) = setting.format {
        let texts = setting
            .default
            .as_array()
            .map_or_else(|| std::slice::from_ref(&setting.default), Vec::as_slice);
        let fits = |text: &Json| {
            text.as_str()
                .is_some_and(|text| text.parse::<Network>().is_ok())
        };
        if !texts.iter().all(fits) {
            return wrong("a network or a list of networks");
        }
    }
    if let Some(number) = setting.size(&setting.default) {
        if setting.minimum.is_some_and(|least| number < least) {
            return Err("is below its `minimum`".to_owned());
        }
        if setting.maximum.is_some_and(|most| number > most) {
            return Err("is above its `maximum`".to_owned());
        }
    }
    if let Some(text) = text
        && !setting.one_of.is_empty()
        && !setting.one_of.iter().any(|one| one == text)
    {
        return Err("is not among `oneOf`".to_owned());
    }
    Ok(())
}
