//! Reconciles this replica's table with the others' by way of Redis, in the background.
//!
//! Redis holds a total for each caller: everything that all replicas let through. A replica adds what it let through
//! itself and learns the new total; what the others let through meanwhile is the rest of the difference. Without
//! Redis each replica limits for itself and tells the others later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Pipeline;
use shop_common::redis::{Redis, RedisCallError};

use super::table::{Limiter, Rates, Untold};

/// Before all names in Redis; the gateway's user may touch no others.
const PREFIX: &str = "rate:";
/// Callers in one round trip.
const AT_ONCE: usize = 256;
/// How much longer than a bucket takes to fill a total is kept: a caller who stays away that long begins anew.
const KEPT_LONGER: Duration = Duration::from_mins(1);

/// Reconciles every `pause`, for ever.
pub(crate) async fn keep_sharing(limiter: Arc<Limiter>, redis: Redis, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        if redis.available() {
            share(&limiter, &redis).await;
        }
    }
}

async fn share(limiter: &Limiter, redis: &Redis) {
    let told = limiter.hand_over();
    for part in told.chunks(AT_ONCE) {
        match redis
            .pipeline::<Vec<u64>>(&additions(part, limiter.rates()))
            .await
        {
            Ok(totals) => {
                let now = Instant::now();
                for (untold, total) in part.iter().zip(totals) {
                    limiter.reconcile(untold, total, now);
                }
            }
            Err(error) => {
                tracing::debug!(%error, callers = part.len(), "failed to tell the other replicas about callers");
                // What may have arrived is not told again: counting it twice would punish the callers.
                if matches!(error, RedisCallError::Unavailable(_)) {
                    limiter.take_back(part);
                }
            }
        }
    }
}

fn additions(part: &[Untold], rates: &Rates) -> Pipeline {
    let mut pipeline = redis::pipe();
    for Untold { caller, spent } in part {
        let name = format!("{PREFIX}{}", caller.name());
        let kept = rates.of(caller.class()).window() + KEPT_LONGER;
        pipeline.cmd("INCRBY").arg(&name).arg(*spent);
        pipeline
            .cmd("EXPIRE")
            .arg(&name)
            .arg(kept.as_secs())
            .ignore();
    }
    pipeline
}
