//! The task that keeps one connection to whoever is master.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Connected, Shared};
use super::sentinels::{ConnectError, Sentinels, role};
use crate::config::RedisConfig;

/// How often the Sentinels are asked whether the master is still the master. It costs one small round trip each,
/// and finds a switch that broke no connection: the old master hangs, or was cut off from the others.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    sentinels: Sentinels,
    shared: Arc<Shared>,
}

impl Keeper {
    pub(super) fn new(config: RedisConfig, shared: Arc<Shared>) -> Self {
        Self {
            sentinels: Sentinels::new(config),
            shared,
        }
    }

    /// Looks for the master, stays with it as long as it is one, and looks again.
    pub(super) async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        let mut last_error = String::new();
        loop {
            match self.find().await {
                Ok(connected) => {
                    tracing::info!(address = connected.address, "connected to the Redis master");
                    (retry, last_error) = (FIRST_RETRY, String::new());
                    self.take(&connected);
                    self.stay(&connected).await;
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != last_error {
                        tracing::warn!(%error, "going on without Redis");
                    }
                    self.shared.saw(Err(error.clone()));
                    last_error = error;
                    tokio::time::sleep(jittered(retry)).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    async fn find(&mut self) -> Result<Arc<Connected>, ConnectError> {
        let address = self.sentinels.master().await?;
        let connection = self.sentinels.connect(&address).await?;
        Ok(Arc::new(Connected {
            address,
            connection,
        }))
    }

    fn take(&self, connected: &Arc<Connected>) {
        self.shared.current.store(Some(connected.clone()));
        self.shared.breaker.reset();
        metrics::gauge!("redis_breaker_open").set(0.0);
        let seen = format!("connected to the master at {}", connected.address);
        self.shared.saw(Ok(seen));
    }

    /// Returns when the connection is to be replaced.
    async fn stay(&mut self, connected: &Arc<Connected>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = self.shared.doubt.notified() => {}
            }
            let current = self.shared.current.load_full();
            if !current.is_some_and(|current| Arc::ptr_eq(&current, connected)) {
                return;
            }
            if let Some(reason) = self.reason_to_leave(connected).await {
                tracing::warn!(
                    address = connected.address,
                    reason,
                    "leaving the Redis master"
                );
                self.shared.lose(connected);
                return;
            }
        }
    }

    async fn reason_to_leave(&mut self, connected: &Connected) -> Option<String> {
        // Without any Sentinel the master at hand is the best guess.
        if let Ok(address) = self.sentinels.master().await
            && address != connected.address
        {
            return Some(format!("the Sentinels name {address}"));
        }
        match role(&mut connected.connection.clone()).await {
            Ok(role) if role == "master" => None,
            Ok(role) => Some(format!("it says that it is a {role}")),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Between half of the wait and all of it, so that many clients do not come back at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.5..=1.0))
}
