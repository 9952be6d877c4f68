//! Fetches the keys that auth publishes.

use std::time::Duration;

use shop_token::{Jwks, JwksError};

/// How long one of auth's replicas may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A longer answer is no key set of ours.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why one address did not give keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("failed to make a client for keys: {0}")]
    Client(reqwest::Error),
    #[error("failed to fetch keys: {0}")]
    Http(#[from] reqwest::Error),
    #[error("failed to fetch keys: the answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    #[error("failed to fetch keys: the answer is not text")]
    NotText,
    #[error(transparent)]
    Jwks(#[from] JwksError),
    #[error("failed to fetch keys: the set is empty")]
    Empty,
}

/// A client that talks to the addresses it is given and to no proxy.
pub(super) fn client() -> Result<reqwest::Client, FetchError> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(FetchError::Client)
}

/// The keys at one address.
pub(super) async fn fetch(client: &reqwest::Client, url: &str) -> Result<Jwks, FetchError> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            return Err(FetchError::TooLong);
        }
    }
    let text = std::str::from_utf8(&body).map_err(|_| FetchError::NotText)?;
    let keys = Jwks::from_json(text)?;
    if keys.keys().is_empty() {
        return Err(FetchError::Empty);
    }
    Ok(keys)
}
