//! The accountant: reads the shop's tables in Postgres itself, past every service, and can change nothing.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use uuid::Uuid;

use crate::environment::Environment;
use crate::render::{Secret, SecretSet};

/// The database server's component, its port and the setting that names the database.
const SERVER: (&str, &str, &str) = ("postgres", "postgres", "database");
/// The role that reads what the services' migrations grant to it, and the secret with its password.
const ROLE: (&str, &str) = ("shop_auditor", "postgres-auditor");
/// How long the server may take to let us in, and to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the books are.
#[derive(Clone, Debug)]
pub struct Auditor {
    port: u16,
    database: String,
    password: Option<Secret>,
}

/// Why the books could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The environment has no such server.
    #[error(
        "failed to audit: the environment has no port `{}` or no setting `{}` of `{}`",
        SERVER.1,
        SERVER.2,
        SERVER.0
    )]
    NoServer,
    /// The environment has no such secret.
    #[error("failed to audit: there is no secret {}", ROLE.1)]
    NoPassword,
    /// Postgres could not be asked.
    #[error("failed to read the books in Postgres: {0}")]
    Database(#[from] sqlx::Error),
    /// Postgres did not answer in time.
    #[error("failed to read the books in Postgres within {} s", PATIENCE.as_secs())]
    TimedOut,
}

/// What the books say about a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductBooks {
    /// All pieces that came in.
    pub received: i64,
    /// What may be sold.
    pub free: i64,
    /// What is kept for somebody.
    pub held: i64,
    /// What was sold.
    pub sold: i64,
    /// Orders of it.
    pub orders: i64,
    /// Pieces in these orders.
    pub pieces: i64,
    /// Different pairs of customer and key among these orders.
    pub keys: i64,
}

/// How much is left of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRemains {
    /// Accounts.
    pub accounts: i64,
    /// Products.
    pub products: i64,
    /// Orders and claims on keys.
    pub orders: i64,
}

impl Auditor {
    /// The accountant of an environment that runs on this machine.
    pub fn new(environment: &Environment, secrets: &SecretSet) -> Result<Self, AuditError> {
        let server = environment.components.get(SERVER.0);
        let place = server.and_then(|server| {
            let port = server.ports.get(SERVER.1)?;
            Some((*port, server.settings.get(SERVER.2)?.as_str()?))
        });
        let (port, database) = place.ok_or(AuditError::NoServer)?;
        Ok(Self {
            port,
            database: database.to_owned(),
            password: secrets.get(ROLE.1).cloned(),
        })
    }

    /// The same through another port of this machine, which leads to the server.
    #[must_use]
    pub fn on_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// What the books say about a product.
    pub async fn product(&self, id: Uuid) -> Result<ProductBooks, AuditError> {
        let row = self
            .one(
                "SELECT s.received, s.free, s.held, s.sold, o.orders, o.pieces, o.keys
                 FROM product.stock AS s,
                      LATERAL (SELECT count(*) AS orders, coalesce(sum(quantity), 0)::bigint AS pieces,
                                      count(DISTINCT (customer_id, key)) AS keys
                               FROM orders.orders WHERE product_id = s.product_id) AS o
                 WHERE s.product_id = $1::uuid",
                &id.to_string(),
            )
            .await?;
        Ok(ProductBooks {
            received: row.try_get("received")?,
            free: row.try_get("free")?,
            held: row.try_get("held")?,
            sold: row.try_get("sold")?,
            orders: row.try_get("orders")?,
            pieces: row.try_get("pieces")?,
            keys: row.try_get("keys")?,
        })
    }

    /// How much is left of a test.
    pub async fn remains(&self, tag: &str) -> Result<TestRemains, AuditError> {
        let row = self
            .one(
                "SELECT (SELECT coalesce(sum(accounts), 0)::bigint FROM auth.test_accounts WHERE tag = $1) AS accounts,
                        (SELECT count(*) FROM product.products WHERE tag = $1) AS products,
                        (SELECT count(*) FROM orders.orders WHERE tag = $1)
                        + (SELECT count(*) FROM orders.claims WHERE tag = $1) AS orders",
                tag,
            )
            .await?;
        Ok(TestRemains {
            accounts: row.try_get("accounts")?,
            products: row.try_get("products")?,
            orders: row.try_get("orders")?,
        })
    }

    /// The tags that begin like this, however old.
    pub async fn tags(&self, prefix: &str) -> Result<Vec<String>, AuditError> {
        let row = self
            .one(
                "SELECT coalesce(array_agg(DISTINCT tag), '{}') AS tags FROM (
                     SELECT tag FROM product.products
                     UNION ALL SELECT tag FROM auth.test_accounts
                     UNION ALL SELECT tag FROM orders.orders
                     UNION ALL SELECT tag FROM orders.claims
                 ) AS tagged
                 WHERE tag IS NOT NULL AND starts_with(tag, $1)",
                prefix,
            )
            .await?;
        Ok(row.try_get("tags")?)
    }

    /// The tags that begin like this and whose test began so long ago that it cannot be going on any more.
    pub async fn abandoned(&self, prefix: &str) -> Result<Vec<String>, AuditError> {
        let row = self
            .one(
                "SELECT coalesce(array_agg(DISTINCT tag), '{}') AS tags FROM (
                     SELECT tag, created_at FROM product.products
                     UNION ALL SELECT tag, first_created_at FROM auth.test_accounts
                     UNION ALL SELECT tag, created_at FROM orders.orders
                     UNION ALL SELECT tag, created_at FROM orders.claims
                 ) AS tagged
                 WHERE starts_with(tag, $1) AND created_at < now() - interval '15 minutes'",
                prefix,
            )
            .await?;
        Ok(row.try_get("tags")?)
    }

    /// Asks a question with one parameter that has one row for an answer.
    async fn one(
        &self,
        question: &'static str,
        parameter: &str,
    ) -> Result<sqlx::postgres::PgRow, AuditError> {
        let asked = async {
            let mut connection = self.connect().await?;
            let row = sqlx::query(question)
                .bind(parameter)
                .fetch_one(&mut connection)
                .await?;
            // The answer is there; a server that would not be told good-bye has it all the same.
            let _ = connection.close().await;
            Ok(row)
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| AuditError::TimedOut)?
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, AuditError> {
        let password = self.password.as_ref().ok_or(AuditError::NoPassword)?;
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(ROLE.0)
            .password(password.expose())
            .database(&self.database)
            .ssl_mode(PgSslMode::Disable)
            .application_name("shopctl");
        Ok(options.connect().await?)
    }
}
