//! What the service does without being asked: it looks after the admin account, and removes what has expired.

use std::time::Duration;

use shop_common::postgres::Postgres;
use shop_common::server::Shutdown;
use tokio::sync::watch;

use crate::admin::{Admin, Ensured};
use crate::measures;
use crate::service::Auth;
use crate::store::{Sessions, Swept};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How much is removed at a time, so that no statement takes long.
const BATCH: i64 = 1000;

/// What the admin account waits for, or nothing once it is as configured.
#[derive(Clone, Debug)]
pub(crate) struct AdminProgress(watch::Receiver<Option<String>>);

impl AdminProgress {
    /// What a readiness check says.
    pub(crate) fn check(&self) -> Result<String, String> {
        match &*self.0.borrow() {
            None => Ok("as configured".to_owned()),
            Some(waiting) => Err(waiting.clone()),
        }
    }
}

/// Makes sure of the admin account as soon as the database is migrated, however often that takes.
pub(crate) fn ensure_admin(
    admin: Admin,
    auth: Auth,
    postgres: Postgres,
    shutdown: Shutdown,
) -> AdminProgress {
    let (progress, seen) = watch::channel(Some("waiting for the database".to_owned()));
    tokio::spawn(async move {
        let work = async {
            postgres.migrated().await;
            let mut wait = FIRST_RETRY;
            loop {
                match admin.ensure(&auth).await {
                    Ok(ensured) => {
                        log_ensured(ensured);
                        progress.send_replace(None);
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to make sure of the admin account, trying again");
                        progress.send_replace(Some(error.to_string()));
                    }
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LAST_RETRY);
            }
        };
        shutdown.or_until(work).await;
    });
    AdminProgress(seen)
}

fn log_ensured(ensured: Ensured) {
    match ensured {
        Ensured::Unchanged => tracing::debug!("the admin account is as configured"),
        Ensured::Made => tracing::info!("made the admin account"),
        Ensured::Changed => tracing::warn!(
            "the admin account had another role or password; it has those of the configuration now, and its sessions have ended"
        ),
    }
}

/// Removes expired sessions every so often.
pub(crate) fn keep_sweeping(
    sessions: Sessions,
    postgres: Postgres,
    every: Duration,
    shutdown: Shutdown,
) {
    tokio::spawn(async move {
        let work = async {
            postgres.migrated().await;
            loop {
                match sweep(&sessions).await {
                    Ok(swept) if swept == Swept::default() => {}
                    Ok(Swept { tokens, sessions }) => {
                        measures::swept(sessions);
                        tracing::info!(tokens, sessions, "removed what has expired");
                    }
                    Err(error) => tracing::warn!(%error, "failed to remove what has expired"),
                }
                tokio::time::sleep(every).await;
            }
        };
        shutdown.or_until(work).await;
    });
}

/// Removes batch after batch until one isn't full.
async fn sweep(sessions: &Sessions) -> Result<Swept, sqlx::Error> {
    let mut all = Swept::default();
    loop {
        let swept = sessions.sweep(BATCH).await?;
        all.tokens += swept.tokens;
        all.sessions += swept.sessions;
        if swept.tokens < BATCH.unsigned_abs() && swept.sessions < BATCH.unsigned_abs() {
            return Ok(all);
        }
    }
}
