//! A shop on a cluster that is to be proved: its lease, so that nobody changes it meanwhile, its secrets, its way in and
//! its books.

use std::time::Duration;

use tokio::time::Instant;

use super::{Session, failure};
use crate::cluster::{Cluster, Lease, LeaseRequest};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::load::WayIn;
use crate::render::SecretSet;
use crate::shop::{Auditor, Shop};
use crate::target::k3s::{Books, Entrance, K3sError, NAMESPACE, load_cluster_secrets};
use crate::ui::Failure;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who wants to prove a shop.
pub(super) struct Visit<'a> {
    /// The command.
    pub(super) command: &'a str,
    /// Fail at once if somebody else is at work.
    pub(super) refuse: bool,
    /// How long the database may take to be there: it may come back with its host.
    pub(super) patience: Duration,
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
    /// Does something with the shop of a session while nobody else changes it. It is asked to end by Ctrl-C, and when
    /// somebody else may change the shop.
    pub(super) async fn visit<T>(
        session: &Session<'_>,
        visit: &Visit<'_>,
        work: impl AsyncFnOnce(&Self, &Interrupt) -> Result<T, Failure>,
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
        let (press, ends) = Interrupt::by_hand();
        let watching = async {
            let lost = tokio::select! {
                () = visit.interrupt.pressed() => None,
                lost = lease.lost() => Some(lost),
            };
            press.press();
            lost
        };
        let mut working = Box::pin(async {
            let site = Self::open(session, visit, cluster).await?;
            work(&site, &ends).await
        });
        let outcome = tokio::select! {
            outcome = &mut working => outcome,
            lost = watching => match (working.await, lost) {
                // It was not interrupted by anybody here.
                (Err(_), Some(lost)) => Err(told(lost)),
                (outcome, _) => outcome,
            },
        };
        let released = lease.release().await.map_err(told);
        // What went wrong before is what has to be known.
        let done = outcome?;
        released?;
        Ok(done)
    }

    async fn open(
        session: &Session<'_>,
        visit: &Visit<'_>,
        cluster: Cluster,
    ) -> Result<Self, Failure> {
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
        if cluster.is_passed_to() {
            visit.observer.note(
                "only ssh gets through to the cluster: what is measured goes through one connection of it"
                    .to_owned(),
            );
        }
        let deadline = Instant::now() + visit.patience;
        let books = loop {
            match Books::open(&cluster).await {
                Ok(books) => break books,
                Err(_) if Instant::now() < deadline && !visit.interrupt.is_pressed() => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(failure(error)),
            }
        };
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
            url: &self.entrance.dialed,
            at: Some((&self.entrance.host, self.entrance.node)),
        }
    }
}
