//! The client that services hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use metrics::{counter, gauge};
use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation,
    ServerErrorKind,
};
use tokio::sync::{Notify, watch};

use super::breaker::Breaker;
use super::keeper::Keeper;
use crate::config::RedisConfig;
use crate::server::Shutdown;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RedisCallError {
    /// There is no master at the moment, or the breaker is open. Nothing was sent.
    #[error("failed to call Redis: {0}")]
    Unavailable(&'static str),
    /// No answer came in time. Whether the command was carried out is unknown.
    #[error("failed to call Redis: no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection broke, or the server is no master any more. Whether the command was carried out is unknown.
    #[error("failed to call Redis: {0}")]
    Lost(RedisError),
    /// Redis answered with an error.
    #[error("failed to call Redis: it refused: {0}")]
    Refused(RedisError),
}

/// A client of the master that the Sentinels name. Clones share the connection.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

/// What callers and the keeper share.
pub(super) struct Shared {
    timeout: Duration,
    pub(super) current: ArcSwapOption<Connected>,
    pub(super) breaker: Breaker,
    /// A caller has reason to doubt the connection.
    pub(super) doubt: Notify,
    /// What the keeper saw last, for readiness.
    pub(super) seen: watch::Sender<Result<String, String>>,
}

/// A connection to a server that has said that it is a master.
pub(super) struct Connected {
    pub(super) address: String,
    pub(super) connection: MultiplexedConnection,
}

impl Redis {
    /// Begins to look for the master in the background. Never fails: without Redis, calls fail at once.
    /// Must be called on a runtime.
    pub fn start(config: &RedisConfig, shutdown: Shutdown) -> Self {
        let shared = Arc::new(Shared {
            timeout: config.timeout(),
            current: ArcSwapOption::empty(),
            breaker: Breaker::default(),
            doubt: Notify::new(),
            seen: watch::Sender::new(Err("not connected yet".to_owned())),
        });
        let keeper = Keeper::new(config.clone(), shared.clone());
        tokio::spawn(async move { shutdown.or_until(keeper.run()).await });
        gauge!("redis_breaker_open").set(0.0);
        Self(shared)
    }

    /// Whether a call is worth trying: there is a master and the breaker is closed.
    pub fn available(&self) -> bool {
        self.0.current.load().is_some() && self.0.breaker.is_closed()
    }

    /// Runs one command.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisCallError> {
        self.call(async |mut connection| command.query_async(&mut connection).await)
            .await
    }

    /// Runs several commands in one round trip.
    pub async fn pipeline<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, RedisCallError> {
        self.call(async |mut connection| commands.query_async(&mut connection).await)
            .await
    }

    /// Runs a script, loading it if the server does not know it yet.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, RedisCallError> {
        self.call(async |mut connection| script.invoke_async(&mut connection).await)
            .await
    }

    /// Runs work on the connection: within the time, with the breaker, and with what its failure says about the
    /// connection.
    async fn call<T>(
        &self,
        work: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, RedisCallError> {
        let Some(connected) = self.0.current.load_full() else {
            return Err(count(RedisCallError::Unavailable(
                "there is no master at the moment",
            )));
        };
        let Some(permit) = self.0.breaker.permit(Instant::now()) else {
            return Err(count(RedisCallError::Unavailable("the breaker is open")));
        };
        let outcome =
            tokio::time::timeout(self.0.timeout, work(connected.connection.clone())).await;
        match outcome {
            Ok(Ok(value)) => {
                permit.succeed();
                gauge!("redis_breaker_open").set(0.0);
                counter!("redis_calls_total", "outcome" => "ok").increment(1);
                Ok(value)
            }
            Ok(Err(error)) if speaks_against_the_connection(&error) => {
                self.failed(permit);
                self.0.lose(&connected);
                Err(count(RedisCallError::Lost(error)))
            }
            Ok(Err(error)) => {
                permit.succeed();
                Err(count(RedisCallError::Refused(error)))
            }
            Err(_) => {
                self.failed(permit);
                Err(count(RedisCallError::Timeout(self.0.timeout)))
            }
        }
    }

    fn failed(&self, permit: super::breaker::Permit) {
        if permit.fail(Instant::now()) {
            gauge!("redis_breaker_open").set(1.0);
            self.0.doubt.notify_one();
        }
    }

    /// For [`crate::health::ReadinessBuilder::redis`]: which master, or why none.
    pub fn check(&self) -> Result<String, String> {
        let seen = self.0.seen.borrow().clone();
        match seen {
            Ok(_) if !self.0.breaker.is_closed() => Err("the breaker is open".to_owned()),
            seen => seen,
        }
    }

    /// Waits until there is a connection to a master; for tests and for warming up.
    pub async fn connected(&self) {
        // The sender lives as long as this client.
        let _ = self.0.seen.subscribe().wait_for(Result::is_ok).await;
    }
}

impl Shared {
    /// Notes what readiness shows.
    pub(super) fn saw(&self, seen: Result<String, String>) {
        self.seen.send_modify(|last| *last = seen);
    }

    /// Gives a connection up, unless it has been replaced already.
    pub(super) fn lose(&self, lost: &Arc<Connected>) {
        let seen = self.current.compare_and_swap(lost, None);
        if seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, lost)) {
            self.saw(Err(format!("lost the master at {}", lost.address)));
            self.doubt.notify_one();
        }
    }
}

/// Whether an error means that the server should be looked for again: it is gone, or not (yet) a master.
fn speaks_against_the_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown
        ),
        _ => error.is_unrecoverable_error(),
    }
}

fn count(error: RedisCallError) -> RedisCallError {
    let outcome = match error {
        RedisCallError::Unavailable(_) => "unavailable",
        RedisCallError::Timeout(_) => "timeout",
        RedisCallError::Lost(_) => "lost",
        RedisCallError::Refused(_) => "refused",
    };
    counter!("redis_calls_total", "outcome" => outcome).increment(1);
    error
}
