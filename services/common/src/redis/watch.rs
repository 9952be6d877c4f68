//! Follows the master without calling it: for whoever leads others there.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

use super::sentinels::{ConnectError, Sentinels, role};
use crate::config::RedisConfig;
use crate::server::Shutdown;

/// How often the Sentinels and the master are asked. Two small round trips each time.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(100);

/// Where the master is, as it is known at the moment.
#[derive(Debug, Clone)]
pub struct MasterWatch(watch::Receiver<Result<String, String>>);

impl MasterWatch {
    /// Begins to follow the master in the background. Must be called on a runtime.
    pub fn start(config: &RedisConfig, shutdown: Shutdown) -> Self {
        let (sender, receiver) = watch::channel(Err("not asked yet".to_owned()));
        let sentinels = Sentinels::new(config.clone());
        tokio::spawn(async move { shutdown.or_until(follow(sentinels, sender)).await });
        Self(receiver)
    }

    /// `host:port` of the master that the Sentinels name and that says itself that it is one; or why there is none.
    pub fn now(&self) -> Result<String, String> {
        self.0.borrow().clone()
    }

    /// Waits until there is a master.
    pub async fn known(&mut self) -> Option<String> {
        let found = self.0.wait_for(Result::is_ok).await.ok()?;
        found.clone().ok()
    }

    /// Returns once the master is not at `address` any more.
    pub async fn moved_from(&mut self, address: &str) {
        let is_elsewhere = |seen: &Result<String, String>| seen.as_deref() != Ok(address);
        // Without a sender nobody follows the master any more, and nothing is known about it.
        let _ = self.0.wait_for(is_elsewhere).await;
    }
}

async fn follow(mut sentinels: Sentinels, seen: watch::Sender<Result<String, String>>) {
    loop {
        match find(&mut sentinels).await {
            Ok((address, connection)) => {
                tracing::info!(address, "the Redis master is known");
                seen.send_modify(|last| *last = Ok(address.clone()));
                let reason = stay(&mut sentinels, &address, connection).await;
                tracing::warn!(address, reason, "leaving the Redis master");
                seen.send_modify(|last| *last = Err(reason));
            }
            Err(error) => {
                let error = error.to_string();
                if seen.borrow().as_ref() != Err(&error) {
                    tracing::warn!(%error, "there is no Redis master at the moment");
                    seen.send_modify(|last| *last = Err(error));
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn find(sentinels: &mut Sentinels) -> Result<(String, MultiplexedConnection), ConnectError> {
    let address = sentinels.master().await?;
    let connection = sentinels.connect(&address).await?;
    Ok((address, connection))
}

/// Stays as long as the Sentinels name the master and it says that it is one; returns why that ended.
async fn stay(
    sentinels: &mut Sentinels,
    address: &str,
    mut connection: MultiplexedConnection,
) -> String {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        // Without any Sentinel the master at hand is the best guess.
        if let Ok(named) = sentinels.master().await
            && named != address
        {
            return format!("the Sentinels name {named}");
        }
        match role(&mut connection).await {
            Ok(role) if role == "master" => {}
            Ok(role) => return format!("{address} says that it is a {role}"),
            Err(error) => return format!("{address}: {error}"),
        }
    }
}
