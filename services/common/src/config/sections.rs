//! The sections that several services' files have in common.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::SecretFile;

/// The name of this process among its replicas, such as `order-0`; the host's name unless the file says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Instance(String);

impl Instance {
    /// Names an instance.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Instance {
    fn default() -> Self {
        let name = std::env::var("HOSTNAME")
            .ok()
            .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
        Self(name.unwrap_or_else(|| "localhost".to_owned()))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `[http]`: where a service listens and how it ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpConfig {
    /// The public API: what the gateway calls.
    pub listen: SocketAddr,
    /// `/healthz`, `/readyz` and `/metrics`.
    pub admin_listen: SocketAddr,
    /// Worker threads; by default the cores of the machine, at most 4.
    #[serde(default)]
    pub workers: Option<usize>,
    /// How long requests under way may take to end after SIGTERM.
    #[serde(default = "ten_seconds")]
    pub drain_seconds: u64,
}

impl HttpConfig {
    /// A section that listens where it is told, everything else by default.
    pub fn new(listen: SocketAddr, admin_listen: SocketAddr) -> Self {
        Self {
            listen,
            admin_listen,
            workers: None,
            drain_seconds: ten_seconds(),
        }
    }

    /// Worker threads to start.
    pub fn worker_threads(&self) -> usize {
        self.workers
            .filter(|workers| *workers > 0)
            .unwrap_or_else(|| {
                std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
            })
    }

    /// How long requests under way may take to end.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

fn ten_seconds() -> u64 {
    10
}

/// `[log]`: what is logged.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LogConfig {
    /// A filter in the syntax of `RUST_LOG`, such as `info,shop_order=debug`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
        }
    }
}

/// `[tokens]`: how access tokens are verified.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TokenConfig {
    /// The `iss` claim a token must have.
    pub issuer: String,
    /// The `aud` claim a token must have.
    pub audience: String,
    /// Where auth publishes its keys; each is tried in turn.
    pub jwks_urls: Vec<String>,
    /// Published keys to begin with, so that a service starts and verifies while auth is down.
    pub jwks_file: Option<PathBuf>,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            issuer: "shop-auth".to_owned(),
            audience: "shop".to_owned(),
            jwks_urls: Vec::new(),
            jwks_file: None,
        }
    }
}

/// `[postgres]`: the database and the service's role in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PostgresConfig {
    /// A host name, an address, or the folder of a unix socket (absolute path).
    pub host: String,
    /// The server's port; for a unix socket it is part of the socket's name.
    #[serde(default = "postgres_port")]
    pub port: u16,
    /// The database.
    #[serde(default = "shop_name")]
    pub database: String,
    /// The service's role.
    pub user: String,
    /// The role's password.
    pub password_file: SecretFile,
    /// Another password that the role may have: the one before, or the one that is to come, while it is rotated.
    #[serde(default)]
    pub other_password_file: Option<SecretFile>,
    /// Connections this process may hold at most. They are opened when needed and closed when idle.
    #[serde(default = "eight_connections")]
    pub max_connections: u32,
    /// How long one statement may take before Postgres cancels it.
    #[serde(default = "five_thousand_milliseconds")]
    pub statement_timeout_milliseconds: u64,
    /// How long a request may wait for a connection.
    #[serde(default = "two_thousand_milliseconds")]
    pub acquire_timeout_milliseconds: u64,
}

fn postgres_port() -> u16 {
    5432
}

fn shop_name() -> String {
    "shop".to_owned()
}

fn eight_connections() -> u32 {
    8
}

fn five_thousand_milliseconds() -> u64 {
    5_000
}

fn two_thousand_milliseconds() -> u64 {
    2_000
}

/// `[redis]`: the Sentinels to ask for the master, and the service's ACL user on it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RedisConfig {
    /// `host:port` of each Sentinel.
    pub sentinels: Vec<String>,
    /// The name under which the Sentinels watch the master.
    #[serde(default = "shop_name")]
    pub master_name: String,
    /// The ACL user at the Sentinels; none means no authentication there.
    #[serde(default)]
    pub sentinel_user: Option<String>,
    /// That user's password.
    #[serde(default)]
    pub sentinel_password_file: Option<SecretFile>,
    /// The ACL user at the master; none means no authentication there.
    #[serde(default)]
    pub user: Option<String>,
    /// That user's password.
    #[serde(default)]
    pub password_file: Option<SecretFile>,
    /// How long one call may hold a request up.
    #[serde(default = "fifty_milliseconds")]
    pub timeout_milliseconds: u64,
}

impl RedisConfig {
    /// How long one call may hold a request up.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_milliseconds)
    }
}

fn fifty_milliseconds() -> u64 {
    50
}
