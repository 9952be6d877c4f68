//! The gateway's configuration file.

use std::collections::BTreeMap;

use serde::Deserialize;
use shop_common::config::{HttpConfig, Instance, LogConfig, RedisConfig, TokenConfig};

use crate::settings::{Checked, GatewaySettings, SettingsError, UpstreamSettings, check};

/// What `shopd gateway --config FILE` reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The name of this replica.
    #[serde(default)]
    pub instance: Instance,
    /// Where it listens; `workers` is the number of data-path threads. Replicas on one host share `listen`.
    pub http: HttpConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
    /// How access tokens are verified.
    #[serde(default)]
    pub tokens: TokenConfig,
    /// Where limits are reconciled with the other replicas; without it each replica limits for itself.
    #[serde(default)]
    pub redis: Option<RedisConfig>,
    /// The gateway's own settings.
    #[serde(default)]
    pub gateway: GatewaySettings,
    /// The services behind the gateway, by name.
    pub upstreams: BTreeMap<String, UpstreamSettings>,
}

impl Config {
    /// Says what is wrong that the types could not tell.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.check().map(|_| ())
    }

    /// Checks what the types cannot hold.
    pub(crate) fn check(&self) -> Result<Checked, SettingsError> {
        check(&self.gateway, &self.upstreams)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        shop_common::config::parse(Path::new("gateway.toml"), text)
            .map_err(|error| error.to_string())
    }

    const SMALL: &str = "
        [http]
        listen = '127.0.0.1:8080'
        adminListen = '127.0.0.1:18050'
        [upstreams.echo]
        endpoints = ['127.0.0.1:18100']
    ";

    #[test]
    fn a_small_file_is_enough() {
        let config = parse(SMALL).unwrap();
        let checked = config.check().unwrap();
        assert_eq!(checked.routes.all()[0].prefix, "/api/echo");
        assert_eq!(checked.upstreams[0].1.timeout_milliseconds, 10_000);
    }

    #[test]
    fn every_section_is_understood() {
        let config = parse(&format!(
            "{SMALL}
            prefixes = ['/echo']
            timeoutMilliseconds = 500
            maxInFlight = 7
            [tokens]
            jwksUrls = ['http://127.0.0.1:18200/.well-known/jwks.json']
            [redis]
            sentinels = ['127.0.0.1:17379']
            [gateway]
            maxBodyBytes = 100000
            trustedProxies = ['10.0.0.0/8']
            [gateway.limits]
            anonymous = {{ perSecond = 5, burst = 10 }}
            localAddresses = []
            "
        ))
        .unwrap();
        let checked = config.check().unwrap();
        assert_eq!(checked.routes.all()[0].prefix, "/echo");
        assert_eq!(checked.trusted_proxies.len(), 1);
        assert!(checked.local_addresses.is_empty());
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let error = parse(&format!("{SMALL}\n[gateway]\nmaxBodyByte = 1\n")).unwrap_err();
        assert!(
            error.contains("maxBodyByte") && error.contains("maxBodyBytes"),
            "{error}"
        );
    }
}
