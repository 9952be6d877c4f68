//! Shows what `up` would do.

use super::{Session, failure, secrets, shown};
use crate::commands::Context;
use crate::project::Loaded;
use crate::target::k3s::ShopPlan;
use crate::ui::{ExitCode, Failure, OutputFormat};

/// Shows what `up` would do. Changes are exit code 4.
pub(in crate::commands) fn plan(context: &Context, loaded: &Loaded) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    let planned =
        crate::commands::block_on(async { session.wanting().plan().await.map_err(failure) })?;
    let plan = &planned.plan;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(plan)?;
    } else if plan.has_work() {
        context.ui.data(&text(plan))?;
    } else {
        context.ui.say(&format!(
            "Nothing to do: {} objects on {} hosts are as {} says",
            plan.objects.changes.len(),
            session.environment().hosts.len(),
            loaded.found.display()
        ));
    }
    tell_notes(context, plan);
    secrets::tell_unfinished(context, &plan.rotations);
    // What stops `up` is told after everything that it would do otherwise.
    planned.refuse_hopeless(true).map_err(failure)?;
    if plan.has_work() {
        return Err(Failure::told(ExitCode::Pending));
    }
    Ok(())
}

/// What is no work, and somebody should know.
pub(super) fn tell_notes(context: &Context, plan: &ShopPlan) {
    for note in &plan.notes {
        context.ui.warn(&note.what);
        context.ui.hint(&note.hint);
    }
}

/// A plan as people read it.
pub(super) fn text(plan: &ShopPlan) -> String {
    format!(
        "{}{}{}{}",
        shown::push(plan.push.as_ref()),
        shown::hosts(&plan.hosts),
        shown::secrets(&plan.secrets),
        shown::objects(&plan.objects)
    )
}
