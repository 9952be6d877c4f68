//! A shop on a cluster that is to be proved: its lease, so that nobody changes it meanwhile, its secrets, its way in and
//! its books.

use super::{Session, failure};
use crate::cluster::{Cluster, Lease, LeaseRequest};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::load::WayIn;
use crate::render::SecretSet;
use crate::shop::{Auditor, Shop};
use crate::target::k3s::{Books, Entrance, K3sError, NAMESPACE, load_cluster_secrets};
use crate::ui::Failure;

/// Who wants to prove a shop.
pub(super) struct Visit<'a> {
    /// The command.
    pub(super) command: &'a str,
    /// Fail at once if somebody else is at work.
    pub(super) refuse: bool,
    pub(super) observer: &'a dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

/// The shop.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) secrets: SecretSet,
    pub(super) entrance: Entrance,
    pub(super) shop: Shop,
    pub(super) auditor: Auditor,
    /// The way to the books stays open as long as this is there.
    _books: Books,
}

impl Site {
    /// Does something with the shop of a session while nobody else changes it.
    pub(super) async fn visit<T>(
        session: &Session<'_>,
        visit: &Visit<'_>,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let cluster = session.cluster().await?;
        let told = |error: crate::cluster::ClusterError| failure(error.into());
        let request = LeaseRequest {
            environment: session.environment().name.as_str(),
            command: visit.command,
            refuse: visit.refuse,
            interrupt: visit.interrupt,
        };
        let lease = Lease::take(&cluster, &request, visit.observer)
            .await
            .map_err(told)?;
        let outcome = async {
            let site = Self::open(session, cluster).await?;
            work(&site).await
        }
        .await;
        lease.release().await.map_err(told)?;
        outcome
    }

    async fn open(session: &Session<'_>, cluster: Cluster) -> Result<Self, Failure> {
        let environment = session.environment();
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
        Ok(Self {
            shop: Shop::behind(&entrance.host, entrance.address, &secrets.set),
            auditor: Auditor::new(environment, &secrets.set)?.on_port(books.port()),
            secrets: secrets.set,
            entrance,
            cluster,
            _books: books,
        })
    }

    /// How k6 finds it.
    pub(super) fn way(&self) -> WayIn<'_> {
        WayIn {
            url: &self.entrance.url,
            at: Some((&self.entrance.host, self.entrance.node)),
        }
    }
}
