//! The service's configuration file.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU64};
use std::time::Duration;

use serde::Deserialize;
use shop_common::config::{
    HttpConfig, Instance, LogConfig, PostgresConfig, SecretFile, TokenConfig,
};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The name of this process among its replicas.
    #[serde(default)]
    pub instance: Instance,
    /// Where it listens.
    pub http: HttpConfig,
    /// Where it listens for the other services.
    pub internal: InternalConfig,
    /// What it logs.
    #[serde(default)]
    pub log: LogConfig,
    /// How it verifies access tokens.
    #[serde(default)]
    pub tokens: TokenConfig,
    /// Its database.
    pub postgres: PostgresConfig,
    /// How it works.
    #[serde(default)]
    pub product: ProductSettings,
}

/// `[internal]`: the reserved-stock API, which no gateway routes to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InternalConfig {
    /// An address of its own.
    pub listen: SocketAddr,
    /// The token that callers send as `Authorization: Bearer …`. It is no access token.
    pub token_file: SecretFile,
}

/// `[product]`: settings, all with defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ProductSettings {
    /// How often expired holds are returned to the free stock.
    pub sweep_milliseconds: NonZeroU64,
    /// How many holds one transaction of the sweeper returns.
    pub sweep_batch: NonZeroU16,
    /// How long the outcome of a hold is remembered, and its key refused to another hold.
    pub hold_retention_hours: NonZeroU16,
}

impl Default for ProductSettings {
    fn default() -> Self {
        const SECOND: NonZeroU64 = NonZeroU64::new(1_000).unwrap();
        const BATCH: NonZeroU16 = NonZeroU16::new(500).unwrap();
        const DAY: NonZeroU16 = NonZeroU16::new(24).unwrap();
        Self {
            sweep_milliseconds: SECOND,
            sweep_batch: BATCH,
            hold_retention_hours: DAY,
        }
    }
}

impl ProductSettings {
    pub(crate) fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_milliseconds.get())
    }

    pub(crate) fn hold_retention(&self) -> Duration {
        Duration::from_hours(self.hold_retention_hours.get().into())
    }
}
