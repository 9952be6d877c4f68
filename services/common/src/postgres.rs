//! Postgres: a pool that connects when it is needed, and migrations that run as soon as the database answers.
//!
//! A service starts while Postgres is down and is then simply not ready. Not here: making the database, its roles
//! and schemas ([`crate::provision`]), and any service's queries.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgPool};
use tokio::sync::watch;

use crate::config::{ConfigError, Instance, PostgresConfig};
pub use crate::logins::Logins;
use crate::server::Shutdown;
use crate::silence;

/// Prepared statements kept a connection; a service has a few dozen.
const STATEMENT_CACHE: usize = 64;
/// An idle connection costs Postgres a process, so it does not stay for long.
const IDLE: Duration = Duration::from_mins(2);
/// A connection that has been idle for longer is looked at before it is used.
const LOOK_AT_AFTER: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How often a process that knows two passwords looks which of them is right: so long a new connection of its pool may
/// be refused while the password changes.
const LOOK_AT_PASSWORD: Duration = Duration::from_millis(250);

/// A service's database.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    migrations: watch::Receiver<Migrations>,
}

#[derive(Debug, Clone)]
enum Migrations {
    Pending(Arc<str>),
    Done,
}

impl Postgres {
    /// Makes the pool and begins to migrate in the background until the database is as `migrator` wants it.
    /// Fails only if the password cannot be read. Must be called on a runtime.
    pub fn start(
        config: &PostgresConfig,
        instance: &Instance,
        migrator: &'static Migrator,
        shutdown: Shutdown,
    ) -> Result<Self, ConfigError> {
        let logins = Logins::read(config, instance)?;
        let pool = pool_of(config, logins.current());
        let pending = Migrations::Pending("the database has not been asked yet".into());
        let (progress, migrations) = watch::channel(pending);
        let ending = shutdown.clone();
        let migrating = logins.clone();
        let migrated = pool.clone();
        tokio::spawn(async move {
            ending
                .or_until(async {
                    let done = migrate_until_done(&migrating, migrator, &progress).await;
                    // Whoever is ready has a pool that gets in.
                    migrated.set_connect_options(migrating.current().clone());
                    progress.send_replace(done);
                })
                .await;
        });
        if logins.may_change() {
            let pool = pool.clone();
            tokio::spawn(async move { shutdown.or_until(follow_password(&pool, &logins)).await });
        }
        Ok(Self { pool, migrations })
    }

    /// The pool. Its connections fail quickly while the database is away.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Waits until the migrations are done.
    pub async fn migrated(&self) {
        let mut migrations = self.migrations.clone();
        // The sender lives until they are done, or until the shutdown, when nobody waits any more.
        let _ = migrations
            .wait_for(|state| matches!(state, Migrations::Done))
            .await;
    }

    /// For [`crate::health::ReadinessBuilder::postgres`]: migrated, and answering.
    pub async fn check(&self) -> Result<String, String> {
        if let Migrations::Pending(last) = &*self.migrations.borrow() {
            return Err(format!("not migrated yet: {last}"));
        }
        sqlx::query("SELECT 1")
            .execute(&self.pool)
            .await
            .map_err(|error| error.to_string())?;
        Ok("migrated, answering".to_owned())
    }
}

/// How to connect: nothing is taken from the environment or from `~/.pgpass`.
pub fn connect_options(
    config: &PostgresConfig,
    instance: &Instance,
) -> Result<PgConnectOptions, ConfigError> {
    let password = config
        .password_file
        .read(&format!("the Postgres role {}", config.user))?;
    let timeout = config.statement_timeout_milliseconds.to_string();
    let options = PgConnectOptions::new_without_pgpass()
        .port(config.port)
        .database(&config.database)
        .username(&config.user)
        .password(password.expose())
        .application_name(instance.as_str())
        .statement_cache_capacity(STATEMENT_CACHE)
        .options([
            ("statement_timeout", timeout.as_str()),
            // A transaction whose process hangs must not keep its locks for ever.
            ("idle_in_transaction_session_timeout", timeout.as_str()),
        ]);
    Ok(if config.host.starts_with('/') {
        options.socket(&config.host).ssl_mode(PgSslMode::Disable)
    } else {
        options.host(&config.host).ssl_mode(PgSslMode::Prefer)
    })
}

fn pool_of(config: &PostgresConfig, options: &PgConnectOptions) -> PgPool {
    let port = config.port;
    PgPoolOptions::new()
        .min_connections(0)
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(Duration::from_millis(config.acquire_timeout_milliseconds))
        .idle_timeout(IDLE)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            silence::limit(port);
            Box::pin(async { Ok(()) })
        })
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > LOOK_AT_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone())
}

/// Lets the pool connect with the password that is right, which becomes another one while it is rotated.
async fn follow_password(pool: &PgPool, logins: &Logins) {
    loop {
        if let Ok(connection) = logins.connect().await {
            pool.set_connect_options(logins.current().clone());
            // It answered, which is all that was asked.
            let _ = connection.close().await;
        }
        tokio::time::sleep(LOOK_AT_PASSWORD).await;
    }
}

async fn migrate_until_done(
    logins: &Logins,
    migrator: &'static Migrator,
    progress: &watch::Sender<Migrations>,
) -> Migrations {
    let mut wait = FIRST_RETRY;
    loop {
        match migrate(logins, migrator).await {
            Ok(()) => {
                tracing::info!(
                    migrations = migrator.iter().count(),
                    "the database is migrated"
                );
                return Migrations::Done;
            }
            Err(error) => {
                tracing::warn!(%error, "failed to migrate the database, trying again");
                progress.send_replace(Migrations::Pending(error.to_string().into()));
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_RETRY);
    }
}

/// On a connection of its own: a migration may take longer than a statement, and waits for other replicas' lock.
async fn migrate(logins: &Logins, migrator: &Migrator) -> Result<(), MigrateError> {
    let unlimited = logins.map(|options| {
        options.options([
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ])
    });
    let mut connection = unlimited.connect().await.map_err(MigrateError::Execute)?;
    migrator.run_direct(None, &mut connection, false).await?;
    connection.close().await.map_err(MigrateError::Execute)
}
