//! Waiting with a deadline, for what a test cannot be told.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(10);

/// Blocks until `check` gives a value; panics with what was waited for, and with what was seen last, when `limit` has passed.
pub fn wait_until<T>(
    waited_for: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match check() {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => {
                panic!("waited {limit:?} for {waited_for}; last seen: {seen}")
            }
            Err(_) => thread::sleep(INTERVAL),
        }
    }
}

/// The same for asynchronous checks.
pub async fn eventually<T, F>(waited_for: &str, limit: Duration, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + limit;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => {
                panic!("waited {limit:?} for {waited_for}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}
