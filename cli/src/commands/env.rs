//! Environments: list, show, validate, schema.

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Context, project_failure};
use crate::args::{EnvCommand, EnvShowArgs, EnvValidateArgs};
use crate::catalogue::Origin;
use crate::document::{Invalid, Problem, Step, emit};
use crate::environment::schema;
use crate::project::{Project, ProjectError};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Runs a command about environments.
pub(super) fn run(command: &EnvCommand, context: &Context) -> Result<(), Failure> {
    match command {
        EnvCommand::List => list(context),
        EnvCommand::Show(args) => show(args, context),
        EnvCommand::Validate(args) => validate(args, context),
        EnvCommand::New(args) => super::env_new::run(args, context),
        EnvCommand::Schema => print_schema(context),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let environments = Project::here().environments().map_err(project_failure)?;
    if context.ui.output() == OutputFormat::Json {
        let environments: Vec<Json> = environments
            .iter()
            .map(|listed| {
                let path = match &listed.origin {
                    Origin::Shipped => None,
                    Origin::Disk(path) => Some(path),
                };
                json!({
                    "name": listed.name,
                    "source": if path.is_some() { "disk" } else { "shipped" },
                    "path": path,
                    "overridesShipped": listed.overrides_shipped,
                    "selected": listed.name == context.environment,
                })
            })
            .collect();
        return context.ui.json(&json!({ "environments": environments }));
    }
    let mut table = Table::new(["NAME", "SOURCE", ""]);
    for listed in environments {
        let source = match &listed.origin {
            Origin::Shipped => "shipped".to_owned(),
            Origin::Disk(path) => path.display().to_string(),
        };
        let mut remarks = Vec::new();
        if listed.name == context.environment {
            remarks.push("selected");
        }
        if listed.overrides_shipped {
            remarks.push("in place of the shipped one");
        }
        table.row([
            listed.name.into(),
            source.into(),
            Cell::toned(remarks.join(", "), Tone::Faint),
        ]);
    }
    context.ui.data(&table.render())
}

/// The order in which fields are shown: from the outside to the inside, what is most asked for first.
const ORDER: [&str; 34] = [
    "sku",
    "name",
    "target",
    "protected",
    "address",
    "hosts",
    "k3s",
    "registry",
    "components",
    "services",
    "ingress",
    "secrets",
    "seed",
    "objectives",
    "loadProfiles",
    "drillProfiles",
    "enabled",
    "replicas",
    "version",
    "image",
    "ports",
    "storage",
    "resources",
    "requests",
    "limits",
    "settings",
    "kind",
    "scenarios",
    "vus",
    "duration",
    "description",
    "price",
    "p50",
    "p95",
];

fn show(args: &EnvShowArgs, context: &Context) -> Result<(), Failure> {
    let wanted = args.wanted.as_deref().unwrap_or(&context.environment);
    let loaded = Project::here().load(wanted).map_err(project_failure)?;
    let file = &loaded.file;
    let from = |way: &[Step<'_>]| {
        file.origin(way)
            .map(|span| format!("{}:{}", file.file(), span.line))
    };
    if context.ui.output() == OutputFormat::Json {
        if !args.origin {
            return context.ui.json(file.effective());
        }
        let mut origins = serde_json::Map::new();
        collect_origins(file.effective(), &mut Vec::new(), &from, &mut origins);
        return context
            .ui
            .json(&json!({ "environment": file.effective(), "origins": origins }));
    }
    let head = if args.origin {
        format!(
            "# {}: marked lines are set there, all others are defaults\n",
            file.file()
        )
    } else {
        format!("# {}, with all defaults filled in\n", file.file())
    };
    let line = |way: &[Step<'_>]| file.origin(way).map(|span| format!("line {}", span.line));
    let text = if args.origin {
        emit(file.effective(), &ORDER, &line)
    } else {
        emit(file.effective(), &ORDER, &|_| None)
    };
    context.ui.data(&format!("{head}{text}"))
}

/// Where each value that the file sets comes from, by its path with dots.
fn collect_origins<'v>(
    value: &'v Json,
    way: &mut Vec<Step<'v>>,
    from: &dyn Fn(&[Step<'_>]) -> Option<String>,
    origins: &mut serde_json::Map<String, Json>,
) {
    let mut enter = |step: Step<'v>, inner: &'v Json| {
        way.push(step);
        collect_origins(inner, way, from, origins);
        way.pop();
    };
    match value {
        Json::Object(fields) => fields
            .iter()
            .for_each(|(key, inner)| enter(Step::Key(key), inner)),
        Json::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, inner)| enter(Step::Index(index), inner)),
        _ => {
            if let Some(place) = from(way) {
                let path: Vec<String> = way.iter().map(ToString::to_string).collect();
                origins.insert(path.join("."), Json::String(place));
            }
        }
    }
}

/// A file and what is wrong with it, for `validate -o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    file: String,
    valid: bool,
    problems: Vec<Problem>,
}

fn validate(args: &EnvValidateArgs, context: &Context) -> Result<(), Failure> {
    let mut wanted = args.environments.clone();
    if wanted.is_empty() {
        wanted.push(context.environment.clone());
    }
    let mut verdicts = Vec::new();
    let mut invalid: Vec<Invalid> = Vec::new();
    for name in &wanted {
        match Project::here().load(name) {
            Ok(loaded) => verdicts.push(Verdict {
                file: loaded.file.file().to_owned(),
                valid: true,
                problems: Vec::new(),
            }),
            Err(ProjectError::Invalid(files)) => {
                verdicts.extend(files.iter().map(|file| Verdict {
                    file: file.file.clone(),
                    valid: false,
                    problems: file.problems.clone(),
                }));
                invalid.extend(files);
            }
            Err(error) => return Err(project_failure(error)),
        }
    }
    if context.ui.output() == OutputFormat::Json {
        context
            .ui
            .json(&json!({ "valid": invalid.is_empty(), "files": verdicts }))?;
        return if invalid.is_empty() {
            Ok(())
        } else {
            Err(Failure::told(ExitCode::Usage))
        };
    }
    for verdict in verdicts.iter().filter(|verdict| verdict.valid) {
        context.ui.data(&format!("{} is valid", verdict.file))?;
    }
    if invalid.is_empty() {
        return Ok(());
    }
    invalid.dedup();
    Err(Failure::of_files(&invalid))
}

fn print_schema(context: &Context) -> Result<(), Failure> {
    let catalogue = Project::here().catalogue().map_err(project_failure)?;
    context.ui.json(&schema(&catalogue))
}
