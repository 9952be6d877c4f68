//! The steps, each of which looks before it changes anything.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::config::{ProvisionConfig, RoleConfig, SqlName, SuperuserConfig};
use super::scram;
use crate::config::{ConfigError, Secret, SecretFile};
use crate::logins::is_wrong_password;

/// Two runs at once take turns by this advisory lock: "shop" in ASCII.
const TURN: i64 = 0x7368_6f70;
/// Between two tries to reach the server.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a try to connect may take. A connection whose first packet went nowhere would be tried for two minutes.
const CONNECT: Duration = Duration::from_secs(5);
/// Where a superuser connects before the shop's own database exists.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Why Postgres could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A secret cannot be used.
    #[error(transparent)]
    Secret(#[from] ConfigError),
    /// A password has characters that need a normalization which is not implemented here.
    #[error(
        "failed to use the password of role {0}: it must consist of printable ASCII characters"
    )]
    Password(SqlName),
    /// The server cannot be reached or does not let us in.
    #[error("failed to connect to database {database} as {user}: {source}")]
    Connect {
        /// The database.
        database: String,
        /// The superuser.
        user: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// A step failed.
    #[error("failed to {step}: {source}")]
    Step {
        /// What was to be done.
        step: String,
        /// What Postgres said.
        source: sqlx::Error,
    },
}

impl ProvisionError {
    /// Whether it may be otherwise in a moment: nobody answers yet, or the server has only just been started.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect { source, .. } => match source {
                sqlx::Error::Io(_) => true,
                sqlx::Error::Database(refusal) => refusal.code().as_deref() == Some("57P03"),
                _ => false,
            },
            Self::Secret(_) | Self::Password(_) | Self::Step { .. } => false,
        }
    }
}

/// The same as [`provision`], but tries again for a while as long as the server cannot be reached.
pub async fn provision_within(
    config: &ProvisionConfig,
    patience: Duration,
) -> Result<Vec<String>, ProvisionError> {
    let began = Instant::now();
    loop {
        match provision(config).await {
            Err(error) if error.may_pass() && began.elapsed() < patience => {
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Makes what is missing, and returns what it did, such as `create role shop_order`. Nothing to do is no error.
pub async fn provision(config: &ProvisionConfig) -> Result<Vec<String>, ProvisionError> {
    let database = &config.postgres.database;
    let mut session = Session::open(&config.postgres, MAINTENANCE_DATABASE).await?;
    session.take_turn().await?;
    if session.has_former_password {
        let superuser = &config.postgres;
        session
            .role(&superuser.user, &superuser.password_file)
            .await?;
    }
    for role in &config.roles {
        session.role(&role.name, &role.password_file).await?;
        session.search_path(role).await?;
    }
    let auditor = &config.auditor;
    session.role(&auditor.name, &auditor.password_file).await?;
    session.narrow(&auditor.name).await?;
    // After every role: a service that can connect can also grant to each of them what its migrations say.
    session.database(database).await?;
    let services = config.roles.iter().map(|role| &role.name);
    for name in services.chain([&auditor.name]) {
        session.access(database, name).await?;
    }

    let mut inside = Session::open(&config.postgres, database.as_str()).await?;
    for role in &config.roles {
        inside.schema(role).await?;
    }
    let mut changes = session.close().await;
    changes.extend(inside.close().await);
    Ok(changes)
}

/// A superuser's connection, and what was changed over it.
struct Session {
    connection: PgConnection,
    /// Whether the superuser was let in with the other password.
    has_former_password: bool,
    changes: Vec<String>,
}

impl Session {
    async fn open(config: &SuperuserConfig, database: &str) -> Result<Self, ProvisionError> {
        let purpose = "the Postgres superuser";
        let password = config.password_file.read(purpose)?;
        let outcome = Self::open_with(config, database, &password).await;
        let refused = matches!(
            &outcome,
            Err(ProvisionError::Connect { source, .. }) if is_wrong_password(source)
        );
        let other = match &config.other_password_file {
            Some(other) if refused => other.read(purpose)?,
            _ => return outcome,
        };
        let mut session = Self::open_with(config, database, &other).await?;
        session.has_former_password = true;
        Ok(session)
    }

    async fn open_with(
        config: &SuperuserConfig,
        database: &str,
        password: &Secret,
    ) -> Result<Self, ProvisionError> {
        let options = PgConnectOptions::new_without_pgpass()
            .port(config.port)
            .database(database)
            .username(config.user.as_str())
            .password(password.expose())
            .application_name("shopd provision")
            // Statements here hold verifiers, which are not for logs.
            .disable_statement_logging();
        let options = if config.host.starts_with('/') {
            options.socket(&config.host).ssl_mode(PgSslMode::Disable)
        } else {
            options.host(&config.host).ssl_mode(PgSslMode::Prefer)
        };
        let connected = match tokio::time::timeout(CONNECT, options.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        let connection = connected.map_err(|source| ProvisionError::Connect {
            database: database.to_owned(),
            user: config.user.to_string(),
            source,
        })?;
        Ok(Self {
            connection,
            has_former_password: false,
            changes: Vec::new(),
        })
    }

    /// Waits for another run to end. The lock goes with the connection.
    async fn take_turn(&mut self) -> Result<(), ProvisionError> {
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(TURN)
            .execute(&mut self.connection)
            .await
            .map_err(|source| step("wait for another run to end", source))?;
        Ok(())
    }

    /// A role that may log in with its password.
    async fn role(&mut self, name: &SqlName, file: &SecretFile) -> Result<(), ProvisionError> {
        let password = file.read(&format!("the Postgres role {name}"))?;
        if !password
            .expose()
            .bytes()
            .all(|byte| (0x20..0x7f).contains(&byte))
        {
            return Err(ProvisionError::Password(name.clone()));
        }
        let present: Option<(bool, Option<String>)> =
            sqlx::query_as("SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = $1")
                .bind(name.as_str())
                .fetch_optional(&mut self.connection)
                .await
                .map_err(|source| step(format!("look at role {name}"), source))?;
        let (verb, change) = match present {
            None => ("CREATE", format!("create role {name}")),
            Some((true, Some(stored))) if scram::matches(&stored, &password) => return Ok(()),
            Some(_) => ("ALTER", format!("set the password of role {name}")),
        };
        let verifier = scram::verifier(&password);
        let statement = format!("{verb} ROLE {name} LOGIN PASSWORD '{verifier}'");
        self.change(statement, change).await
    }

    /// A service's unqualified names mean its own schema, sqlx's table of migrations among them.
    async fn search_path(&mut self, role: &RoleConfig) -> Result<(), ProvisionError> {
        let RoleConfig { name, schema, .. } = role;
        let set: bool = self
            .look(
                "SELECT coalesce(bool_or($2 = ANY (setconfig)), false) FROM pg_db_role_setting \
                 JOIN pg_roles ON pg_roles.oid = setrole WHERE rolname = $1 AND setdatabase = 0",
                &[name.as_str(), &format!("search_path={schema}")],
            )
            .await?;
        if set {
            return Ok(());
        }
        let statement = format!("ALTER ROLE {name} SET search_path = {schema}");
        let change = format!("set the search path of role {name} to {schema}");
        self.change(statement, change).await
    }

    /// A role that may read what it is granted, and not everything, passwords' hashes among it, as it once did.
    async fn narrow(&mut self, name: &SqlName) -> Result<(), ProvisionError> {
        let member: bool = self
            .look(
                "SELECT pg_has_role($1, $2, 'MEMBER')",
                &[name.as_str(), "pg_read_all_data"],
            )
            .await?;
        if !member {
            return Ok(());
        }
        let statement = format!("REVOKE pg_read_all_data FROM {name}");
        let change = format!("let role {name} no longer read everything");
        self.change(statement, change).await
    }

    /// The database, closed to everybody who is not let in.
    async fn database(&mut self, name: &SqlName) -> Result<(), ProvisionError> {
        let exists: bool = self
            .look(
                "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
                &[name.as_str()],
            )
            .await?;
        if !exists {
            let statement = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
            self.change(statement, format!("create database {name}"))
                .await?;
        }
        let open: bool = self
            .look(
                "SELECT EXISTS (SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) \
                 WHERE datname = $1 AND grantee = 0)",
                &[name.as_str()],
            )
            .await?;
        if open {
            let statement = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC");
            self.change(statement, format!("close database {name} to the public"))
                .await?;
        }
        Ok(())
    }

    /// A role that may connect to the database.
    async fn access(&mut self, database: &SqlName, role: &SqlName) -> Result<(), ProvisionError> {
        let connects: bool = self
            .look(
                "SELECT has_database_privilege($1, $2, 'CONNECT')",
                &[role.as_str(), database.as_str()],
            )
            .await?;
        if connects {
            return Ok(());
        }
        let statement = format!("GRANT CONNECT ON DATABASE {database} TO {role}");
        self.change(
            statement,
            format!("let role {role} connect to database {database}"),
        )
        .await
    }

    /// A service's schema, owned by its role.
    async fn schema(&mut self, role: &RoleConfig) -> Result<(), ProvisionError> {
        let RoleConfig { name, schema, .. } = role;
        let owner: Option<String> = sqlx::query_scalar(
            "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1",
        )
        .bind(schema.as_str())
        .fetch_optional(&mut self.connection)
        .await
        .map_err(|source| step(format!("look at schema {schema}"), source))?;
        match owner {
            Some(owner) if owner == name.as_str() => Ok(()),
            Some(_) => {
                let statement = format!("ALTER SCHEMA {schema} OWNER TO {name}");
                self.change(statement, format!("give schema {schema} to role {name}"))
                    .await
            }
            None => {
                let statement = format!("CREATE SCHEMA {schema} AUTHORIZATION {name}");
                self.change(statement, format!("create schema {schema}"))
                    .await
            }
        }
    }

    async fn look(
        &mut self,
        question: &'static str,
        about: &[&str],
    ) -> Result<bool, ProvisionError> {
        about
            .iter()
            .fold(sqlx::query_scalar(question), |query, name| {
                query.bind(*name)
            })
            .fetch_one(&mut self.connection)
            .await
            .map_err(|source| step(format!("look at {}", about.join(", ")), source))
    }

    /// Runs a statement that is built of [`SqlName`]s and verifiers only.
    async fn change(&mut self, statement: String, change: String) -> Result<(), ProvisionError> {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut self.connection)
            .await
            .map_err(|source| step(change.as_str(), source))?;
        self.changes.push(change);
        Ok(())
    }

    async fn close(self) -> Vec<String> {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "a connection did not close in order");
        }
        self.changes
    }
}

fn step(step: impl Into<String>, source: sqlx::Error) -> ProvisionError {
    ProvisionError::Step {
        step: step.into(),
        source,
    }
}
