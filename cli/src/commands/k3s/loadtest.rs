//! Loads a shop on a cluster: k6 on this machine, through the ingress on a node.

use std::time::Duration;

use super::Session;
use super::site::{Site, Visit};
use crate::commands::loadtest::measure;
use crate::commands::{Context, block_on};
use crate::interrupt::Interrupt;
use crate::load::{LoadPlan, LoadTest};
use crate::project::Loaded;
use crate::report::Reports;
use crate::ui::Failure;

/// Loads the shop and leaves a report.
pub(in crate::commands) fn loadtest(
    plan: &LoadPlan,
    reports: &Reports,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    block_on(async {
        let interrupt = Interrupt::watch();
        let session = Session::open(context, loaded)?;
        let observer = context.ui.observer();
        let visit = Visit {
            command: "loadtest",
            refuse: true,
            patience: Duration::ZERO,
            observer: &*observer,
            interrupt: &interrupt,
        };
        Site::visit(&session, &visit, async |site, interrupt| {
            let test = LoadTest {
                environment: session.environment(),
                catalogue: &session.loaded.catalogue,
                folder: &session.folder,
                shop: &site.shop,
                way: site.way(),
                auditor: &site.auditor,
                plan,
                observer: &*observer,
                interrupt,
            };
            measure(&test, reports, context).await
        })
        .await
    })
}
