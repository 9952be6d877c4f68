//! Loads a shop on a cluster: k6 on this machine, through the ingress on a node.

use super::{Session, failure};
use crate::cluster::{Lease, LeaseRequest};
use crate::commands::loadtest::measure;
use crate::commands::{Context, block_on};
use crate::interrupt::Interrupt;
use crate::load::{LoadPlan, LoadTest, WayIn};
use crate::project::Loaded;
use crate::report::Reports;
use crate::shop::{Auditor, Shop};
use crate::target::k3s::{Books, Entrance, K3sError, NAMESPACE, load_cluster_secrets};
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
        let environment = session.environment();
        let cluster = session.cluster().await?;
        let observer = context.ui.observer();
        let request = LeaseRequest {
            environment: environment.name.as_str(),
            command: "loadtest",
            refuse: true,
            interrupt: &interrupt,
        };
        let told = |error: crate::cluster::ClusterError| failure(error.into());
        let lease = Lease::take(&cluster, &request, &*observer)
            .await
            .map_err(told)?;
        let outcome = async {
            let secrets = load_cluster_secrets(
                Some(&cluster),
                NAMESPACE,
                environment,
                &session.loaded.catalogue,
            )
            .await
            .map_err(failure)?;
            if !secrets.missing.is_empty() {
                return Err(failure(K3sError::NotUp(environment.name.to_string())));
            }
            let entrance = Entrance::find(&cluster, environment)
                .await
                .map_err(failure)?;
            let books = Books::open(&cluster).await.map_err(failure)?;
            let shop = Shop::behind(&entrance.host, entrance.address, &secrets.set);
            let test = LoadTest {
                environment,
                catalogue: &session.loaded.catalogue,
                folder: &session.folder,
                shop: &shop,
                way: WayIn {
                    url: &entrance.url,
                    at: Some((&entrance.host, entrance.node)),
                },
                auditor: &Auditor::new(environment, &secrets.set)?.on_port(books.port()),
                plan,
                observer: &*observer,
                interrupt: &interrupt,
            };
            measure(&test, reports, context).await
        }
        .await;
        lease.release().await.map_err(told)?;
        outcome
    })
}
