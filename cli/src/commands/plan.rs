//! Shows what `up` would do.

use super::target::{local_failure, local_folder};
use super::{Context, k3s};
use crate::environment::{Environment, Target};
use crate::project::Loaded;
use crate::target::local;
use crate::ui::{ExitCode, Failure, OutputFormat};

/// Shows what `up` would do. Changes are exit code 4.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    match environment.target {
        Target::K3s => k3s::plan(context, &loaded),
        Target::Local => here(context, &loaded, environment),
    }
}

fn here(context: &Context, loaded: &Loaded, environment: &Environment) -> Result<(), Failure> {
    let folder = local_folder(context, environment)?;
    let plan = super::block_on(async {
        local::plan(environment, &loaded.catalogue, &folder)
            .await
            .map_err(local_failure)
    })?;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&plan)?;
    } else if plan.has_work() {
        let needed = plan.steps.iter().filter(|step| step.needed);
        let lines: Vec<String> = needed
            .map(|step| match step.detail.as_str() {
                "" => format!("{}\n", step.name),
                detail => format!("{}: {detail}\n", step.name),
            })
            .collect();
        context.ui.data(&lines.concat())?;
    } else {
        let place = loaded.found.display();
        context
            .ui
            .say(&format!("Nothing to do: the shop runs as {place} says"));
    }
    if plan.has_work() {
        return Err(Failure::told(ExitCode::Pending));
    }
    Ok(())
}
