//! redis-primary's configuration file.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use shop_common::config::{HttpConfig, Instance, LogConfig, RedisConfig};

/// The file of `shopd redis-primary`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The name of this process among its replicas.
    #[serde(default)]
    pub instance: Instance,
    /// Where its admin router listens.
    pub http: HttpConfig,
    /// What it logs.
    #[serde(default)]
    pub log: LogConfig,
    /// The Sentinels to ask, and a user who may ask a Redis for its role.
    pub redis: RedisConfig,
    /// redis-primary's own settings.
    pub forward: ForwardSettings,
}

/// `[forward]`: redis-primary's own settings.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForwardSettings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// How long a client waits for a master before it is turned away.
    pub patience_milliseconds: u64,
    /// How many connections there are at most.
    pub maximum_connections: usize,
}

impl ForwardSettings {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_milliseconds)
    }
}
