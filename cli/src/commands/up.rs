//! Brings the shop up, or to what the environment file says now.

use super::Context;
use super::smoke::{conclude, prove};
use super::target::{local_failure, local_folder, local_only};
use crate::args::UpArgs;
use crate::target::local::{self, LockPatience, Up};
use crate::ui::{Failure, OutputFormat};

/// Brings the shop up.
pub(super) fn run(args: &UpArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    local_only(environment)?;
    let folder = local_folder(context, environment)?;
    let observer = context.ui.observer();
    super::block_on(async {
        let outcome = local::up(&Up {
            environment,
            catalogue: &loaded.catalogue,
            folder: &folder,
            patience: LockPatience::of(args.no_wait),
            observer: &*observer,
        })
        .await
        .map_err(local_failure)?;
        if context.ui.output() == OutputFormat::Json {
            context.ui.json(&outcome.plan)?;
        }
        let url = outcome.shop.url();
        if !outcome.changed {
            context.ui.say(&format!(
                "Nothing to do: the shop is up at {url} as {} says",
                loaded.found.display()
            ));
            return Ok(());
        }
        if !args.no_smoke {
            let report = prove(context, environment, &outcome.secrets).await?;
            conclude(context, &report)?;
        }
        context.ui.say(&format!("The shop is up at {url}"));
        context.ui.hint("`shopctl status` shows what runs, `shopctl logs -f` what it says, `shopctl down` stops it");
        Ok(())
    })
}
