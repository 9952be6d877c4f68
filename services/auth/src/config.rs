//! The service's configuration file.

use std::num::{NonZeroU32, NonZeroUsize};
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
    /// What it logs.
    #[serde(default)]
    pub log: LogConfig,
    /// The issuer and the audience of the tokens. Keys are not fetched: they are this service's own.
    #[serde(default)]
    pub tokens: TokenConfig,
    /// Its database.
    pub postgres: PostgresConfig,
    /// The keys that sign access tokens.
    pub signing: SigningConfig,
    /// The account that runs the shop.
    #[serde(default)]
    pub admin: Option<AdminConfig>,
    /// How it works.
    #[serde(default)]
    pub auth: AuthSettings,
}

/// `[signing]`: Ed25519 keys in PKCS#8 PEM.
///
/// A key is replaced in three steps, each on all replicas before the next: publish the new one as `nextKeyFile`;
/// make it the `keyFile` and the old one `previousKeyFile`; once the last token of the old one has expired, drop
/// that. No token is refused on the way, whichever replica issued it and whichever others fetched keys from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SigningConfig {
    /// The key that signs.
    pub key_file: SecretFile,
    /// A key that signed until a while ago: still published.
    #[serde(default)]
    pub previous_key_file: Option<SecretFile>,
    /// A key that will sign soon: already published.
    #[serde(default)]
    pub next_key_file: Option<SecretFile>,
}

/// `[admin]`: made when the service starts. The file is the truth: an account with the address that isn't an admin,
/// or has another password, becomes one with this password, and its sessions end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AdminConfig {
    /// Its address.
    pub email: String,
    /// Its password.
    pub password_file: SecretFile,
}

/// `[auth]`: settings, all with defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthSettings {
    /// How long an access token is good. It cannot be withdrawn, so this is also how long a logout takes to reach
    /// the other services.
    pub access_token_seconds: u64,
    /// How long a refresh token is good. Each use gives a new one.
    pub refresh_token_seconds: u64,
    /// How long a refresh token that was used may be used again, for clients that lose answers. With 0, the default,
    /// its second use always ends the session: convenience here is a thief's time.
    pub refresh_reuse_grace_seconds: u64,
    /// Argon2id: memory of a hash.
    pub hash_memory_kib: u32,
    /// Argon2id: how often the memory is gone over.
    pub hash_iterations: u32,
    /// Argon2id: lanes. They are computed one after the other, so more than 1 only makes other hashes.
    pub hash_parallelism: u32,
    /// How many hashes are computed at once; by default as many as there are cores.
    pub hash_concurrency: Option<NonZeroUsize>,
    /// How many callers may wait for that; the next one is told to come back.
    pub hash_queue: usize,
    /// How often one address may be tried at once.
    pub attempts_burst: NonZeroU32,
    /// How often one address may be tried in the long run.
    pub attempts_per_minute: NonZeroU32,
    /// How often expired sessions are removed.
    pub sweep_seconds: u64,
    /// How long a request may take.
    pub request_timeout_milliseconds: u64,
}

impl Default for AuthSettings {
    fn default() -> Self {
        const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();
        Self {
            access_token_seconds: 15 * 60,
            refresh_token_seconds: 7 * 24 * 60 * 60,
            refresh_reuse_grace_seconds: 0,
            hash_memory_kib: 19 * 1024,
            hash_iterations: 2,
            hash_parallelism: 1,
            hash_concurrency: None,
            hash_queue: 64,
            attempts_burst: TEN,
            attempts_per_minute: TEN,
            sweep_seconds: 60,
            request_timeout_milliseconds: 8_000,
        }
    }
}

impl AuthSettings {
    pub(crate) fn access_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds)
    }

    pub(crate) fn refresh_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.refresh_token_seconds)
    }

    pub(crate) fn hash_threads(&self) -> NonZeroUsize {
        self.hash_concurrency
            .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}
