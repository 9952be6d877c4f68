//! The order service's configuration file.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::Deserialize;
use shop_common::config::{
    HttpConfig, Instance, LogConfig, PostgresConfig, RedisConfig, TokenConfig,
};

use crate::batcher::BatcherSettings;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// This process among its replicas.
    #[serde(default)]
    pub instance: Instance,
    /// Where it listens.
    pub http: HttpConfig,
    /// What it logs.
    #[serde(default)]
    pub log: LogConfig,
    /// How it verifies access tokens.
    pub tokens: TokenConfig,
    /// Where orders are decided and kept.
    pub postgres: PostgresConfig,
    /// Where a sale's locks are.
    pub redis: RedisConfig,
    /// The service's own settings.
    #[serde(default)]
    pub order: OrderSettings,
}

/// `[order]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OrderSettings {
    /// Batches that this process may have decided at the same time, each on a Postgres connection of its own beside
    /// the pool. A product always goes to the same lane.
    pub lanes: NonZeroU16,
    /// The most orders decided together.
    pub batch_size: NonZeroU16,
    /// The most orders that wait in a lane; more get 503 `busy`.
    pub queue_size: NonZeroU16,
    /// How long a batch may wait for more orders as long as more arrive. A lone order never waits.
    pub linger_milliseconds: u64,
    /// How long a request may wait for its decision before it gets 503 `unavailable`.
    pub decision_timeout_milliseconds: NonZeroU32,
    /// The most pieces in one order.
    pub maximum_quantity: NonZeroU32,
    /// How long a sale's lock lives if its holder does not release it.
    pub lock_milliseconds: NonZeroU32,
    /// How long idempotency keys and stored refusals are kept.
    pub key_retention_hours: NonZeroU32,
    /// How often expired keys are swept.
    pub sweep_seconds: NonZeroU32,
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self {
            lanes: count(2),
            batch_size: count(1024),
            queue_size: count(4096),
            linger_milliseconds: 2,
            decision_timeout_milliseconds: amount(3_000),
            maximum_quantity: amount(100),
            lock_milliseconds: amount(5_000),
            key_retention_hours: amount(24),
            sweep_seconds: amount(60),
        }
    }
}

impl OrderSettings {
    /// How orders are gathered.
    pub fn batcher(&self) -> BatcherSettings {
        BatcherSettings {
            lanes: usize::from(self.lanes.get()),
            batch_size: usize::from(self.batch_size.get()),
            queue_size: usize::from(self.queue_size.get()),
            linger: Duration::from_millis(self.linger_milliseconds),
            patience: Duration::from_millis(self.decision_timeout_milliseconds.get().into()),
        }
    }

    /// How long a sale's lock lives if its holder does not release it.
    pub fn lock_lifetime(&self) -> Duration {
        Duration::from_millis(self.lock_milliseconds.get().into())
    }

    /// How long keys are kept.
    pub fn key_retention(&self) -> Duration {
        Duration::from_hours(self.key_retention_hours.get().into())
    }

    /// How often expired keys are swept.
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_secs(self.sweep_seconds.get().into())
    }
}

// The defaults below are literals other than zero.
const fn count(literal: u16) -> NonZeroU16 {
    match NonZeroU16::new(literal) {
        Some(count) => count,
        None => NonZeroU16::MIN,
    }
}

const fn amount(literal: u32) -> NonZeroU32 {
    match NonZeroU32::new(literal) {
        Some(amount) => amount,
        None => NonZeroU32::MIN,
    }
}
