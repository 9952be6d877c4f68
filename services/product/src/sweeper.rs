//! Returns expired holds to the free stock, and forgets holds that were decided long ago.
//!
//! Every replica sweeps; they leave each other's rows alone. A sweeper that dies in the middle leaves nothing half
//! done: a batch is one transaction.

use std::time::{Duration, Instant};

use shop_common::postgres::Postgres;
use shop_common::server::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::ProductSettings;
use crate::store::Store;

/// Forgetting is no hurry.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// Sweeps in the background until the shutdown.
pub(crate) fn keep_sweeping(
    store: Store,
    postgres: Postgres,
    settings: ProductSettings,
    shutdown: Shutdown,
) {
    let work = async move {
        postgres.migrated().await;
        let mut tick = interval(settings.sweep_interval());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgotten_at: Option<Instant> = None;
        loop {
            tick.tick().await;
            expire(&store, &settings).await;
            if forgotten_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                forgotten_at = Some(Instant::now());
                forget(&store, &settings).await;
            }
        }
    };
    tokio::spawn(async move { shutdown.or_until(work).await });
}

/// Batch by batch until nothing is due. An error ends the round: the next one comes in a moment.
async fn expire(store: &Store, settings: &ProductSettings) {
    let batch = settings.sweep_batch.get();
    loop {
        match store.expire_holds(batch).await {
            Ok(expired) => {
                let expired = u64::try_from(expired).unwrap_or(0);
                metrics::counter!("shop_holds_expired_total").increment(expired);
                if expired < u64::from(batch) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "failed to return expired holds");
                return;
            }
        }
    }
}

async fn forget(store: &Store, settings: &ProductSettings) {
    let batch = settings.sweep_batch.get();
    loop {
        match store.forget_holds(settings.hold_retention(), batch).await {
            Ok(forgotten) if forgotten >= i32::from(batch) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "failed to forget old holds");
                return;
            }
        }
    }
}
