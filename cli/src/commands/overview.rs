//! What `shopctl` alone says: what it is, how the shop is, and what to do next.

use serde::Serialize;

use super::target::local_folder;
use super::{Context, block_on};
use crate::environment::Target;
use crate::supervisor::InstanceState;
use crate::target::local::status;
use crate::ui::{Cell, Failure, OutputFormat, Table, Tone};

const ABOUT: &str =
    "From bare Linux hosts, or this one machine, to a running shop, and the proof that it holds.";

/// The answer as JSON. Field names are stable.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    version: &'static str,
    environment: String,
    /// `up`, `partly` or `down`; none where it cannot be told.
    state: Option<&'static str>,
    running: usize,
    instances: usize,
    next: Vec<Next>,
}

#[derive(Serialize)]
struct Next {
    command: &'static str,
    about: &'static str,
}

const UP: Next = Next {
    command: "shopctl up",
    about: "bring the shop up, or to what the environment file says now",
};
const DOCTOR: Next = Next {
    command: "shopctl doctor",
    about: "see what this machine lacks",
};
const STATUS: Next = Next {
    command: "shopctl status",
    about: "see what runs, and how well",
};
const SMOKE: Next = Next {
    command: "shopctl smoke",
    about: "prove that it works",
};
const LOGS: Next = Next {
    command: "shopctl logs -f",
    about: "watch what it writes",
};
const HELP: Next = Next {
    command: "shopctl --help",
    about: "everything else",
};

/// Says what this is, how the shop is, and what to do next.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let overview = look(context)?;
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&overview);
    }
    let name = &overview.environment;
    let Overview {
        running, instances, ..
    } = overview;
    let shop = match overview.state {
        Some("up") => format!("The shop `{name}` is up: all of its {instances} instances run."),
        Some("partly") => {
            format!("The shop `{name}` is not all up: {running} of its {instances} instances run.")
        }
        Some(_) => format!("The shop `{name}` is not up."),
        None => format!("The shop `{name}` is on other machines."),
    };
    let mut next = Table::new(["Next", ""]);
    for step in &overview.next {
        next.row([
            format!("  {}", step.command).into(),
            Cell::toned(step.about, Tone::Faint),
        ]);
    }
    context.ui.data(&format!(
        "shopctl {}\n{ABOUT}\n\n{shop}\n\n{}",
        overview.version,
        next.render()
    ))
}

fn look(context: &Context) -> Result<Overview, Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    let mut overview = Overview {
        version: crate::VERSION,
        environment: environment.name.to_string(),
        state: None,
        running: 0,
        instances: 0,
        next: vec![HELP],
    };
    if environment.target != Target::Local {
        return Ok(overview);
    }
    let folder = local_folder(context, environment)?;
    let seen = block_on(async { Ok(status(&folder, |_| false).await) })?
        .map_err(super::target::local_failure)?;
    overview.instances = seen.instances.len();
    overview.running = seen
        .instances
        .iter()
        .filter(|row| row.state == InstanceState::Running)
        .count();
    let (state, next) = match (overview.running, overview.instances) {
        (0, _) => ("down", vec![UP, DOCTOR, HELP]),
        (running, all) if running == all => ("up", vec![STATUS, SMOKE, LOGS, HELP]),
        _ => ("partly", vec![STATUS, UP, LOGS, HELP]),
    };
    overview.state = Some(state);
    overview.next = next;
    Ok(overview)
}
