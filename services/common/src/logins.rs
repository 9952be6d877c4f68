//! The ways to log in to Postgres. A role has one password, and there is a moment at which it becomes another one: whoever
//! knows both passwords before that moment notices nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

use crate::config::{ConfigError, Instance, PostgresConfig};
use crate::postgres::connect_options;
use crate::silence;

/// What Postgres says to whoever has the wrong password.
const WRONG_PASSWORD: &str = "28P01";

/// How to connect: with one password or another. Clones share what they know of which is right.
#[derive(Clone, Debug)]
pub struct Logins {
    options: Arc<[PgConnectOptions]>,
    right: Arc<AtomicUsize>,
}

impl Logins {
    /// Reads the passwords. One beside the first is only tried when the first is wrong, and may be missing: it is there
    /// only for a while.
    pub fn read(config: &PostgresConfig, instance: &Instance) -> Result<Self, ConfigError> {
        let first = connect_options(config, instance)?;
        let mut options = vec![first.clone()];
        if let Some(file) = &config.other_password_file {
            match file.read(&format!("the Postgres role {}", config.user)) {
                Ok(password) => options.push(first.password(password.expose())),
                Err(error) => tracing::warn!(%error, "goes on with one password"),
            }
        }
        Ok(Self {
            options: options.into(),
            right: Arc::default(),
        })
    }

    /// The same, each with something changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self {
            options: self.options.iter().cloned().map(change).collect(),
            right: self.right.clone(),
        }
    }

    /// How to connect, as far as is known.
    pub fn current(&self) -> &PgConnectOptions {
        &self.options[self.right.load(Ordering::Relaxed) % self.options.len()]
    }

    /// Whether there are several, of which one may be right now and another one in a moment.
    pub fn may_change(&self) -> bool {
        self.options.len() > 1
    }

    /// Connects with the password that was right the last time, or with another one, with a limit to how long the
    /// server may be silent.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let begin = self.right.load(Ordering::Relaxed);
        let count = self.options.len();
        let mut refused = None;
        for at in (begin..begin + count).map(|at| at % count) {
            match self.options[at].connect().await {
                Ok(connection) => {
                    silence::limit(self.options[at].get_port());
                    if at != begin % count {
                        tracing::info!(
                            "the other password of the Postgres role is the right one now"
                        );
                        self.right.store(at, Ordering::Relaxed);
                    }
                    return Ok(connection);
                }
                Err(error) if is_wrong_password(&error) => {
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or(sqlx::Error::PoolClosed))
    }
}

impl From<PgConnectOptions> for Logins {
    fn from(options: PgConnectOptions) -> Self {
        Self {
            options: [options].into(),
            right: Arc::default(),
        }
    }
}

/// Whether the server was there and did not take the password.
pub(crate) fn is_wrong_password(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(refusal) if refusal.code().as_deref() == Some(WRONG_PASSWORD))
}
