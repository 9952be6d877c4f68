//! The keys at hand: taken from a file to begin with, fetched in the background, the last good ones kept.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use shop_token::{Claims, Jwks, Verifier, VerifyError};
use tokio::sync::{Notify, watch};

use super::cache::TokenCache;
use super::fetch::{client, fetch};
use crate::causes::Causes;
use crate::config::{ConfigError, TokenConfig};
use crate::problem::Problem;
use crate::server::Shutdown;

/// How often keys are fetched when nothing happens.
const REFRESH: Duration = Duration::from_mins(1);
/// How often they are fetched as long as there are none.
const RETRY: Duration = Duration::from_millis(500);
/// Anybody can invent key ids, so an unknown one makes us fetch at most this often.
const UNKNOWN_KEY_REFRESH: Duration = Duration::from_secs(5);
/// How long a request with an unknown key waits for a fetch.
const WAIT_FOR_KEYS: Duration = Duration::from_secs(1);

/// Verifies access tokens. Clones share keys and cache.
#[derive(Debug, Clone)]
pub struct KeySource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: TokenConfig,
    verifier: ArcSwap<Verifier>,
    cache: TokenCache,
    wanted: Notify,
    /// When the last fetch ended; none before the first.
    fetched: watch::Sender<Option<Instant>>,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenRejection {
    /// The token is not good.
    #[error(transparent)]
    Invalid(#[from] VerifyError),
    /// There are no keys yet, so nobody can tell.
    #[error("failed to verify the token: auth's keys have not been fetched yet")]
    NoKeys,
}

impl KeySource {
    /// Begins with the keys of `jwksFile`, if configured, and fetches from `jwksUrls` in the background.
    /// Must be called on a runtime.
    pub fn start(config: &TokenConfig, shutdown: Shutdown) -> Result<Self, ConfigError> {
        let keys = keys_to_begin_with(config)?;
        let source = Self(Arc::new(Inner {
            verifier: ArcSwap::from_pointee(Verifier::new(&keys, &config.issuer, &config.audience)),
            config: config.clone(),
            cache: TokenCache::new(),
            wanted: Notify::new(),
            fetched: watch::Sender::new(None),
        }));
        if !config.jwks_urls.is_empty() {
            let fetching = source.clone();
            tokio::spawn(async move { shutdown.or_until(fetching.keep_fetching()).await });
        }
        Ok(source)
    }

    /// Keys that never change: for auth itself, which needs not ask anybody, and for tests.
    pub fn fixed(keys: &Jwks, config: &TokenConfig) -> Self {
        Self(Arc::new(Inner {
            verifier: ArcSwap::from_pointee(Verifier::new(keys, &config.issuer, &config.audience)),
            config: TokenConfig {
                jwks_urls: Vec::new(),
                ..config.clone()
            },
            cache: TokenCache::new(),
            wanted: Notify::new(),
            fetched: watch::Sender::new(None),
        }))
    }

    /// The claims of a good token. A token that names an unknown key may wait for the keys to be fetched again.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenRejection> {
        let digest = TokenCache::digest(token);
        if let Some(claims) = self.0.cache.get(&digest, unix_now()) {
            return Ok(claims);
        }
        let mut verifier = self.0.verifier.load_full();
        let mut outcome = verifier.verify(token);
        if outcome == Err(VerifyError::UnknownKey) && self.fetch_again().await {
            verifier = self.0.verifier.load_full();
            outcome = verifier.verify(token);
        }
        match outcome {
            Ok(claims) => {
                let claims = Arc::new(claims);
                self.0.cache.insert(digest, claims.clone());
                // The keys may have changed meanwhile, and the cache been emptied before this went in.
                if !Arc::ptr_eq(&verifier, &self.0.verifier.load()) {
                    self.0.cache.forget(&digest);
                }
                Ok(claims)
            }
            Err(VerifyError::UnknownKey) if self.key_count() == 0 => Err(TokenRejection::NoKeys),
            Err(error) => Err(error.into()),
        }
    }

    /// The claims of a request's bearer token, nothing if it has none, or the problem to answer with.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Arc<Claims>>, Problem> {
        let Some(token) = bearer_token(headers)? else {
            return Ok(None);
        };
        match self.verify(token).await {
            Ok(claims) => Ok(Some(claims)),
            Err(TokenRejection::NoKeys) => {
                Err(Problem::unavailable(RETRY).with_detail(TokenRejection::NoKeys.to_string()))
            }
            Err(TokenRejection::Invalid(error)) => Err(invalid_token(error.to_string())),
        }
    }

    /// For [`crate::health::ReadinessBuilder::keys`]: whether there are keys.
    pub fn check(&self) -> Result<String, String> {
        match self.key_count() {
            0 => Err(TokenRejection::NoKeys.to_string()),
            count => Ok(format!("{count} of auth's keys known")),
        }
    }

    fn key_count(&self) -> usize {
        self.0.verifier.load().keys().keys().len()
    }

    /// Has the keys fetched and waits for it, a second at most. Says whether a fetch has ended.
    pub async fn fetch_now(&self) -> bool {
        let mut fetched = self.0.fetched.subscribe();
        self.0.wanted.notify_one();
        matches!(
            tokio::time::timeout(WAIT_FOR_KEYS, fetched.changed()).await,
            Ok(Ok(()))
        )
    }

    /// The same because of an unknown key: unless there is nobody to ask, or it happened a moment ago.
    async fn fetch_again(&self) -> bool {
        let last = *self.0.fetched.borrow();
        let just_now = last.is_some_and(|at| at.elapsed() < UNKNOWN_KEY_REFRESH);
        !self.0.config.jwks_urls.is_empty() && !just_now && self.fetch_now().await
    }

    async fn keep_fetching(&self) {
        let client = match client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "the keys at hand will not be renewed");
                return;
            }
        };
        let mut failing = false;
        loop {
            let succeeded = self.fetch_once(&client, failing).await;
            failing = !succeeded;
            self.0.fetched.send_replace(Some(Instant::now()));
            let pause = if self.key_count() == 0 {
                RETRY
            } else {
                REFRESH
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.0.wanted.notified() => {}
            }
        }
    }

    /// Tries each address once; `quiet` when it failed the last time, too.
    async fn fetch_once(&self, client: &reqwest::Client, quiet: bool) -> bool {
        for url in &self.0.config.jwks_urls {
            match fetch(client, url).await {
                Ok(keys) => {
                    self.take(&keys);
                    return true;
                }
                Err(error) if quiet => {
                    tracing::debug!(error = %Causes(&error), url, "keeping the keys at hand");
                }
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), url, "keeping the keys at hand");
                }
            }
        }
        false
    }

    fn take(&self, keys: &Jwks) {
        let ids = |keys: &Jwks| -> Vec<String> {
            keys.keys().iter().map(|key| key.id().to_owned()).collect()
        };
        if ids(self.0.verifier.load().keys()) == ids(keys) {
            return;
        }
        let Inner {
            config,
            verifier,
            cache,
            ..
        } = &*self.0;
        verifier.store(Arc::new(Verifier::new(
            keys,
            &config.issuer,
            &config.audience,
        )));
        // A key that was withdrawn must not live on in what was verified with it.
        cache.clear();
        tracing::info!(keys = ?ids(keys), "took over auth's keys");
    }
}

fn keys_to_begin_with(config: &TokenConfig) -> Result<Jwks, ConfigError> {
    let Some(path) = &config.jwks_file else {
        return Ok(Jwks::default());
    };
    let unusable = |message: String| ConfigError::Unusable {
        key: "tokens.jwksFile".to_owned(),
        message: format!("{}: {message}", path.display()),
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    Jwks::from_json(&text).map_err(|error| unusable(error.to_string()))
}

/// The token of `Authorization: Bearer TOKEN`, nothing without that header, a problem for anything else in it.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match token {
        Some(token) if values.next().is_none() => Ok(Some(token)),
        _ => Err(invalid_token(
            "send one `Authorization: Bearer TOKEN`".to_owned(),
        )),
    }
}

fn invalid_token(detail: String) -> Problem {
    let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
    Problem::unauthorized()
        .with_header(WWW_AUTHENTICATE, challenge)
        .with_detail(detail)
}

/// Seconds since the epoch.
fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
