//! Brings the shop up, or to what the environment file says now.

use super::smoke::{Proving, conclude, given_up, prove};
use super::target::{local_failure, local_folder};
use super::{Context, k3s};
use crate::args::UpArgs;
use crate::environment::Target;
use crate::interrupt::Interrupt;
use crate::project::Loaded;
use crate::target::local::{self, LockPatience, Up};
use crate::ui::{Failure, OutputFormat};

/// Brings the shop up.
pub(super) fn run(args: &UpArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    if loaded.file.environment().target == Target::K3s {
        return k3s::up(args, context, &loaded);
    }
    super::block_on_interruptible(
        |interrupt| bring_up(args, context, &loaded, interrupt),
        || given_up("`shopctl up` goes on from what there is"),
    )
}

async fn bring_up(
    args: &UpArgs,
    context: &Context,
    loaded: &Loaded,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let environment = loaded.file.environment();
    let folder = local_folder(context, environment)?;
    let observer = context.ui.observer();
    let outcome = local::up(&Up {
        environment,
        catalogue: &loaded.catalogue,
        folder: &folder,
        patience: LockPatience::of(args.no_wait),
        observer: &*observer,
        interrupt: interrupt.clone(),
    })
    .await
    .map_err(local_failure)?;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&outcome.plan)?;
    }
    let at = if environment
        .enabled()
        .any(|(name, _)| name.as_str() == "gateway")
    {
        format!(" at {}", outcome.shop.url())
    } else {
        ", without a gateway".to_owned()
    };
    let place = loaded.found.display();
    let unproved = !outcome.proved && !args.no_smoke;
    if !outcome.changed {
        if !unproved {
            context.ui.say(&format!(
                "Nothing to do: the shop is up{at} as {place} says"
            ));
            return Ok(());
        }
        context.ui.say(&format!(
            "Nothing to change: the shop runs as {place} says; what is left is the proof that it works"
        ));
    }
    if unproved {
        let proving = Proving {
            environment,
            folder: &folder,
            secrets: &outcome.secrets,
            observer: &*observer,
            interrupt: &interrupt,
        };
        let report = prove(&proving, &outcome.lock).await?;
        conclude(context, &report)?;
    }
    context.ui.say(&format!("The shop is up{at}"));
    context
        .ui
        .hint("`shopctl status` shows what runs, `shopctl logs -f` what it says");
    Ok(())
}
