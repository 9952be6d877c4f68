//! A database of a test's own, provisioned by the same code as the shop's.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use shop_common::config::parse;
use shop_common::provision::{ProvisionConfig, provision};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool};

use crate::folder::Folder;
use crate::postgres::Postgres;

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May everything.
    Superuser,
    /// Owns the schema `auth`.
    Auth,
    /// Owns the schema `product`.
    Product,
    /// Owns the schema `orders`.
    Order,
    /// Reads what the services' migrations grant to it, for the accounting.
    Auditor,
}

impl Role {
    const ALL: [Self; 5] = [
        Self::Superuser,
        Self::Auth,
        Self::Product,
        Self::Order,
        Self::Auditor,
    ];

    /// Its name in Postgres.
    pub fn name(self) -> &'static str {
        match self {
            Self::Superuser => "postgres",
            Self::Auth => "shop_auth",
            Self::Product => "shop_product",
            Self::Order => "shop_order",
            Self::Auditor => "shop_auditor",
        }
    }

    fn schema(self) -> Option<&'static str> {
        match self {
            Self::Auth => Some("auth"),
            Self::Product => Some("product"),
            Self::Order => Some("orders"),
            Self::Superuser | Self::Auditor => None,
        }
    }
}

/// The roles' passwords and the files that hold them.
#[derive(Debug)]
pub(crate) struct Credentials {
    roles: Vec<(Role, String, PathBuf)>,
}

impl Credentials {
    pub(crate) fn new(folder: &Folder) -> Self {
        let roles = Role::ALL.map(|role| {
            let password = hex::encode(rand::random::<[u8; 16]>());
            let file = folder.write(
                &format!("{}.password", role.name()),
                &format!("{password}\n"),
            );
            (role, password, file)
        });
        Self {
            roles: roles.into(),
        }
    }

    pub(crate) fn superuser_password(&self) -> &str {
        &self.entry(Role::Superuser).1
    }

    fn entry(&self, role: Role) -> &(Role, String, PathBuf) {
        self.roles
            .iter()
            .find(|(each, ..)| *each == role)
            .unwrap_or_else(|| panic!("no role {role:?}"))
    }

    /// What `shopd provision` is told to make, for a database of this name.
    fn config(&self, server: &Postgres, database: &str) -> ProvisionConfig {
        let file = |role: Role| self.entry(role).2.display();
        let services: Vec<String> = Role::ALL
            .into_iter()
            .filter_map(|role| {
                let (name, schema) = (role.name(), role.schema()?);
                let file = file(role);
                Some(format!(
                    "[[roles]]\nname = '{name}'\nschema = '{schema}'\npasswordFile = '{file}'\n"
                ))
            })
            .collect();
        let text = format!(
            "[postgres]\nhost = '{host}'\nport = {port}\ndatabase = '{database}'\nuser = '{user}'\n\
             passwordFile = '{file}'\n{services}\
             [auditor]\nname = '{auditor}'\npasswordFile = '{auditor_file}'\n",
            host = server.socket_folder().display(),
            port = server.port(),
            user = Role::Superuser.name(),
            file = file(Role::Superuser),
            services = services.concat(),
            auditor = Role::Auditor.name(),
            auditor_file = file(Role::Auditor),
        );
        parse(Path::new("provision.toml"), &text)
            .unwrap_or_else(|error| panic!("failed to write provision.toml: {error}"))
    }
}

/// An empty database with the shop's schemas; gone when it is dropped.
#[derive(Debug)]
pub struct Database<'server> {
    server: &'server Postgres,
    name: String,
}

impl Postgres {
    /// Makes a database that no other test sees, the way `shopd provision` does.
    pub async fn database(&self) -> Database<'_> {
        let name = format!("shop_{}", hex::encode(rand::random::<[u8; 6]>()));
        let config = self.credentials().config(self, &name);
        provision(&config)
            .await
            .unwrap_or_else(|error| panic!("failed to provision the database {name}: {error}"));
        Database { server: self, name }
    }
}

impl Database<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's socket folder, good as a host name.
    pub fn host(&self) -> &Path {
        self.server.socket_folder()
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The file that holds a role's password.
    pub fn password_file(&self, role: Role) -> &Path {
        &self.server.credentials().entry(role).2
    }

    /// How a role connects.
    pub fn options(&self, role: Role) -> PgConnectOptions {
        connect_options(self.server, role, &self.name)
    }

    /// How a role connects, as an address that holds its password: for what takes nothing else.
    pub fn url(&self, role: Role) -> String {
        let password = &self.server.credentials().entry(role).1;
        format!(
            "postgres://{}:{password}@127.0.0.1:{}/{}",
            role.name(),
            self.port(),
            self.name
        )
    }

    /// The tables and views of a schema of which a role may read at least a column, in order of their names.
    pub async fn readable(&self, role: Role, schema: &str) -> Vec<String> {
        let mut connection = self.connect(Role::Superuser).await;
        let names = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = $2::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
                AND has_any_column_privilege($1, oid, 'SELECT') AND has_schema_privilege($1, $2, 'USAGE')
             ORDER BY relname COLLATE \"C\"",
        );
        let names = names.bind(role.name()).bind(schema);
        names
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("failed to ask what {} may read: {error}", role.name()))
    }

    /// One connection.
    pub async fn connect(&self, role: Role) -> PgConnection {
        let connected = self.options(role).connect().await;
        connected.unwrap_or_else(|error| {
            panic!(
                "failed to connect to {} as {}: {error}",
                self.name,
                role.name()
            )
        })
    }

    /// A pool of at most `connections`.
    pub async fn pool(&self, role: Role, connections: u32) -> PgPool {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(self.options(role))
            .await;
        pool.unwrap_or_else(|error| {
            panic!(
                "failed to connect to {} as {}: {error}",
                self.name,
                role.name()
            )
        })
    }

    /// The section `[postgres]` of a service's configuration.
    pub fn config_section(&self, role: Role, connections: u32) -> String {
        format!(
            "[postgres]\nhost = \"{}\"\nport = {}\ndatabase = \"{}\"\nuser = \"{}\"\npasswordFile = \"{}\"\nmaxConnections = {connections}\n",
            self.host().display(),
            self.port(),
            self.name,
            role.name(),
            self.password_file(role).display(),
        )
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        drop_later(
            connect_options(self.server, Role::Superuser, "postgres"),
            self.name.clone(),
        );
    }
}

fn connect_options(server: &Postgres, role: Role, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&server.socket_folder().to_string_lossy())
        .port(server.port())
        .username(role.name())
        .password(&server.credentials().entry(role).1)
        .database(database)
        .application_name("testkit")
}

/// Drops databases on a thread of its own: a test need not wait for it, and a server that a test has ended has
/// nothing left to drop.
fn drop_later(options: PgConnectOptions, name: String) {
    static DROPPER: OnceLock<Sender<(PgConnectOptions, String)>> = OnceLock::new();
    let dropper = DROPPER.get_or_init(|| {
        let (names, received) = mpsc::channel::<(PgConnectOptions, String)>();
        thread::spawn(move || {
            for (options, name) in received {
                let dropped: Result<(), sqlx::Error> = block_on(async move {
                    let mut connection = options.connect().await?;
                    connection
                        .execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")))
                        .await?;
                    connection.close().await
                });
                drop(dropped);
            }
        });
        names
    });
    drop(dropper.send((options, name)));
}

/// Runs a future on a thread of its own, as the caller may be inside of a runtime.
fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .unwrap_or_else(|error| panic!("failed to start a runtime: {error}"))
            .block_on(future)
    };
    thread::spawn(run)
        .join()
        .unwrap_or_else(|_| panic!("the thread that prepares the test server has panicked"))
}
