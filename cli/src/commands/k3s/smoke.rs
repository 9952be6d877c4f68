//! Proves that a shop on a cluster works: through its ingress, with the books read in Postgres itself.

use std::time::Duration;

use super::Session;
use super::site::{Site, Visit};
use crate::args::SmokeArgs;
use crate::commands::smoke::{conclude, given_up, table};
use crate::commands::{Context, block_on_interruptible};
use crate::interrupt::Interrupt;
use crate::project::Loaded;
use crate::ui::{Failure, OutputFormat};

/// Proves that the shop works.
pub(in crate::commands) fn smoke(
    args: &SmokeArgs,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    block_on_interruptible(
        |interrupt| test(args, context, loaded, interrupt),
        || given_up("a later smoke test removes test data that is left"),
    )
}

async fn test(
    args: &SmokeArgs,
    context: &Context,
    loaded: &Loaded,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    let observer = context.ui.passing_observer();
    let visit = Visit {
        command: "smoke",
        refuse: args.no_wait,
        patience: Duration::ZERO,
        observer: &*observer,
        interrupt: &interrupt,
    };
    let name = session.environment().name.as_str();
    let report = Site::visit(&session, &visit, async |site, interrupt| {
        let report =
            crate::smoke::smoke(name, &site.shop, &site.auditor, &*observer, interrupt).await?;
        Ok(report)
    })
    .await?;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&report)?;
    } else {
        context.ui.table(&table(&report))?;
    }
    conclude(context, &report)
}
