//! Stops the shop, and deletes what it kept if that was asked for.

use super::target::{is_meant, local_failure, local_folder};
use super::{Context, k3s};
use crate::args::DownArgs;
use crate::environment::Target;
use crate::target::local::{self, LockPatience};
use crate::ui::{ExitCode, Failure};

/// Stops the shop.
pub(super) fn run(args: &DownArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    if args.purge || args.cluster {
        is_meant(environment, args.i_mean.as_deref(), "purge")?;
    }
    if environment.target == Target::K3s {
        return k3s::down(args, context, &loaded);
    }
    if args.cluster {
        return Err(
            Failure::new("failed to remove k3s: this shop runs on no cluster")
                .exit(ExitCode::Usage),
        );
    }
    let folder = local_folder(context, environment)?;
    let patience = LockPatience::of(args.no_wait);
    let observer = context.ui.observer();
    if !args.purge {
        let stopped = super::block_on(async {
            local::down(&folder, patience, &*observer)
                .await
                .map_err(local_failure)
        })?;
        context.ui.say(if stopped {
            "The shop is down; data and secrets are kept"
        } else {
            "Nothing to do: nothing runs"
        });
        return Ok(());
    }
    if !folder.exists().map_err(local_failure)? {
        context.ui.say("Nothing to do: there is nothing to delete");
        return Ok(());
    }
    let place = folder.state_dir().display();
    let question = format!(
        "Stop the shop `{}` and delete all its data and secrets in {place}?",
        environment.name
    );
    if !args.yes && !context.ui.confirm(&question) {
        return Err(
            Failure::new("failed to purge: it was not confirmed, and nothing was touched")
                .hint("answer y, or use `--yes` in scripts")
                .exit(ExitCode::Usage),
        );
    }
    super::block_on(async {
        local::purge(&folder, patience, &*observer)
            .await
            .map_err(local_failure)
    })?;
    context
        .ui
        .say(&format!("The shop is gone: {place} is deleted"));
    Ok(())
}
