//! echo's configuration file.

use serde::Deserialize;
use shop_common::config::{HttpConfig, Instance, LogConfig};

/// The file of `shopd echo`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The name of this process among its replicas.
    #[serde(default)]
    pub instance: Instance,
    /// Where it listens.
    pub http: HttpConfig,
    /// What it logs.
    #[serde(default)]
    pub log: LogConfig,
    /// echo's own settings.
    #[serde(default)]
    pub echo: EchoSettings,
}

/// `[echo]`: echo's own settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct EchoSettings {
    /// The longest body that is returned, in bytes; longer ones are refused.
    pub maximum_body_bytes: usize,
}

impl Default for EchoSettings {
    fn default() -> Self {
        Self {
            maximum_body_bytes: 64 * 1024,
        }
    }
}
