//! Proves that a shop on a cluster works: through its ingress, with the books read in Postgres itself.

use std::time::Duration;

use super::site::{Site, Visit};
use super::{Session, failure};
use crate::args::SmokeArgs;
use crate::cluster::Cluster;
use crate::commands::smoke::{conclude, given_up, table};
use crate::commands::{Context, block_on_interruptible};
use crate::environment::Environment;
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::project::Loaded;
use crate::render::SecretSet;
use crate::shop::{Auditor, Shop};
use crate::smoke::SmokeReport;
use crate::target::k3s::Books;
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
    let report = Site::visit(&session, &visit, async |site| {
        let report =
            crate::smoke::smoke(name, &site.shop, &site.auditor, &*observer, &interrupt).await?;
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

/// What a proof needs.
pub(super) struct Proving<'a> {
    pub(super) environment: &'a Environment,
    pub(super) cluster: &'a Cluster,
    pub(super) shop: &'a Shop,
    pub(super) secrets: &'a SecretSet,
    pub(super) observer: &'a dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

/// Runs the smoke test. Whoever calls it holds the lease.
pub(super) async fn prove(proving: &Proving<'_>) -> Result<SmokeReport, Failure> {
    let books = Books::open(proving.cluster).await.map_err(failure)?;
    let auditor = Auditor::new(proving.environment, proving.secrets)?.on_port(books.port());
    let name = proving.environment.name.as_str();
    let report = crate::smoke::smoke(
        name,
        proving.shop,
        &auditor,
        proving.observer,
        proving.interrupt,
    )
    .await?;
    drop(books);
    Ok(report)
}
