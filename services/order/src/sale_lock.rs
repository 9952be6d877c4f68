//! The lock on one customer's orders of one product in a sale. It holds a customer's own storm back from the
//! database; whether there is stock, Postgres decides with the lock or without it.
//!
//! A lock belongs to one request of one idempotency key. Its value is a random token, so only its holder can release
//! it, and a holder that comes back after its lock's time releases nothing. With Redis away orders go on unlocked.

use std::fmt;
use std::time::{Duration, Instant};

use rand::RngExt;
use shop_common::redis::Redis;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::order::IdempotencyKey;

/// Releases that go out together.
const RELEASES_AT_ONCE: usize = 256;
/// How long a Redis that did not answer is left alone before it is asked again.
const RELEASE_PAUSE: Duration = Duration::from_millis(50);

/// Deletes a lock if it is still the holder's.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// What a customer's lock stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTarget {
    /// The sale.
    pub sale_id: Uuid,
    /// The product in the sale.
    pub product_id: Uuid,
    /// The customer; without it a lock would queue everybody behind one commit.
    pub customer_id: Uuid,
}

impl fmt::Display for LockTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "lock:{}:{}:{}",
            self.sale_id, self.product_id, self.customer_id
        )
    }
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum LockOutcome {
    /// It is ours until the value is dropped, or its time is over.
    Held(HeldLock),
    /// A request with the same idempotency key has it: they get the same decision, so this one may go on.
    SameKey,
    /// Another order of this customer is being decided.
    OtherKey,
    /// Redis did not answer in time: go on without.
    Unlocked,
}

/// A lock that is released, in the background, when this is dropped.
pub struct HeldLock {
    release: Release,
    releases: mpsc::UnboundedSender<Release>,
}

#[derive(Debug, Clone)]
struct Release {
    name: String,
    value: String,
}

impl fmt::Debug for HeldLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("HeldLock")
            .field(&self.release.name)
            .finish()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Without a receiver the service is ending, and the lock ends by itself.
        let _ending = self.releases.send(self.release.clone());
    }
}

/// Takes locks, and releases them off the path of the requests.
#[derive(Clone)]
pub struct SaleLocks {
    redis: Redis,
    lifetime: Duration,
    releases: mpsc::UnboundedSender<Release>,
}

impl SaleLocks {
    /// Locks that live at most so long. The second value does the releasing and ends when the locks are gone.
    pub fn new(
        redis: Redis,
        lifetime: Duration,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (releases, dropped) = mpsc::unbounded_channel();
        let releasing = release_all(redis.clone(), lifetime, dropped);
        (
            Self {
                redis,
                lifetime,
                releases,
            },
            releasing,
        )
    }

    /// Asks for a lock.
    pub async fn acquire(&self, target: LockTarget, key: &IdempotencyKey) -> LockOutcome {
        let outcome = self.ask(target, key).await;
        let label = match &outcome {
            LockOutcome::Held(_) => "held",
            LockOutcome::SameKey => "same_key",
            LockOutcome::OtherKey => "other_key",
            LockOutcome::Unlocked => "unavailable",
        };
        metrics::counter!("shop_order_locks_total", "outcome" => label).increment(1);
        outcome
    }

    async fn ask(&self, target: LockTarget, key: &IdempotencyKey) -> LockOutcome {
        let key = hex::encode(&key.digest()[..16]);
        // Made before asking: if the client goes away while Redis answers, dropping it releases what may be ours.
        let lock = HeldLock {
            release: Release {
                name: target.to_string(),
                value: format!("{}:{key}", hex::encode(rand::rng().random::<[u8; 16]>())),
            },
            releases: self.releases.clone(),
        };
        let mut set = redis::cmd("SET");
        set.arg(&lock.release.name)
            .arg(&lock.release.value)
            .arg("NX")
            .arg("GET")
            .arg("PX");
        set.arg(u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX));
        match self.redis.query::<Option<String>>(&set).await {
            Ok(None) => LockOutcome::Held(lock),
            Ok(Some(holder)) if holder.ends_with(&key) => LockOutcome::SameKey,
            Ok(Some(_)) => LockOutcome::OtherKey,
            Err(error) => {
                tracing::debug!(%error, "an order goes on without its lock");
                LockOutcome::Unlocked
            }
        }
    }
}

/// Releases locks as they are dropped, many in one round trip. A Redis that does not answer is asked again until the
/// locks have ended by themselves: until then their customers could not order again in the sale.
async fn release_all(
    redis: Redis,
    lifetime: Duration,
    mut dropped: mpsc::UnboundedReceiver<Release>,
) {
    let mut releases = Vec::with_capacity(RELEASES_AT_ONCE);
    while dropped.recv_many(&mut releases, RELEASES_AT_ONCE).await > 0 {
        let mut pipeline = redis::pipe();
        for Release { name, value } in releases.drain(..) {
            pipeline
                .cmd("EVAL")
                .arg(RELEASE)
                .arg(1)
                .arg(name)
                .arg(value);
        }
        let until = Instant::now() + lifetime;
        let answers = loop {
            let answers = redis.pipeline::<Vec<u32>>(&pipeline).await;
            // A service that ends does not wait for Redis.
            if answers.is_ok() || dropped.is_closed() || Instant::now() >= until {
                break answers;
            }
            tokio::time::sleep(RELEASE_PAUSE).await;
        };
        match answers {
            Ok(answers) => {
                let stale = answers.iter().filter(|deleted| **deleted == 0).count() as u64;
                metrics::counter!("shop_order_lock_releases_total", "outcome" => "stale")
                    .increment(stale);
                metrics::counter!("shop_order_lock_releases_total", "outcome" => "released")
                    .increment(answers.len() as u64 - stale);
            }
            Err(error) => {
                tracing::debug!(%error, "locks were left to end by themselves");
                metrics::counter!("shop_order_lock_releases_total", "outcome" => "unavailable")
                    .increment(1);
            }
        }
    }
}
