//! `provision` against a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use shop_common::config::{Instance, PostgresConfig, SecretFile, parse};
use shop_common::postgres::connect_options;
use shop_common::provision::{ProvisionConfig, provision, provision_within};
use shop_testkit::{Postgres, Role};
use sqlx::{ConnectOptions as _, PgConnection};

struct Setting {
    server: &'static Postgres,
    /// Roles and databases are the whole server's, so each test has names of its own.
    name: String,
    superuser: PathBuf,
    stranger: PathBuf,
    secrets: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Setting {
    fn new() -> Self {
        let server = Postgres::shared();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // The test server's own roles; its databases play no part here.
        let roles = runtime.block_on(server.database());
        let [superuser, stranger] =
            [Role::Superuser, Role::Order].map(|role| roles.password_file(role).to_owned());
        drop(roles);
        let setting = Self {
            server,
            name: format!("depot{:08x}", rand::random::<u32>()),
            superuser,
            stranger,
            secrets: tempfile::tempdir().unwrap(),
            runtime,
        };
        for role in ["depot", "ledger", "auditor"] {
            setting.set_password(role, &format!("{role}-1"));
        }
        setting
    }

    fn set_password(&self, role: &str, password: &str) {
        std::fs::write(self.secrets.path().join(role), format!("{password}\n")).unwrap();
    }

    fn config(&self) -> ProvisionConfig {
        let text = format!(
            "[postgres]\nhost = '{host}'\nport = {port}\ndatabase = '{name}'\nuser = 'postgres'\n\
             passwordFile = '{superuser}'\n\
             [[roles]]\nname = '{name}_depot'\nschema = 'stock'\npasswordFile = '{secrets}/depot'\n\
             [[roles]]\nname = '{name}_ledger'\nschema = 'books'\npasswordFile = '{secrets}/ledger'\n\
             [auditor]\nname = '{name}_auditor'\npasswordFile = '{secrets}/auditor'\n",
            name = self.name,
            host = self.server.socket_folder().display(),
            port = self.server.port(),
            superuser = self.superuser.display(),
            secrets = self.secrets.path().display(),
        );
        parse(Path::new("provision.toml"), &text).unwrap()
    }

    fn provision(&self) -> Vec<String> {
        self.runtime.block_on(provision(&self.config())).unwrap()
    }

    /// Connects as a role of the configuration above.
    fn connect(&self, role: &str) -> Result<PgConnection, sqlx::Error> {
        self.connect_with(
            &format!("{}_{role}", self.name),
            &self.secrets.path().join(role),
        )
    }

    fn connect_with(&self, user: &str, password: &Path) -> Result<PgConnection, sqlx::Error> {
        let config = PostgresConfig {
            host: self.server.socket_folder().display().to_string(),
            port: self.server.port(),
            database: self.name.clone(),
            user: user.to_owned(),
            password_file: SecretFile::new(password),
            other_password_file: None,
            max_connections: 1,
            statement_timeout_milliseconds: 5_000,
            acquire_timeout_milliseconds: 2_000,
        };
        let options = connect_options(&config, &Instance::new("test")).unwrap();
        self.runtime.block_on(options.connect())
    }

    fn value(
        &self,
        connection: &mut PgConnection,
        query: &'static str,
    ) -> Result<String, sqlx::Error> {
        self.runtime
            .block_on(sqlx::query_scalar(query).fetch_one(connection))
    }
}

#[test]
fn everything_is_made_once_and_a_second_run_does_nothing() {
    let setting = Setting::new();
    let first = setting.provision();
    let name = &setting.name;
    for change in [
        format!("create role {name}_depot"),
        format!("create role {name}_ledger"),
        format!("create role {name}_auditor"),
        format!("create database {name}"),
        format!("close database {name} to the public"),
        "create schema stock".to_owned(),
        "create schema books".to_owned(),
    ] {
        assert!(first.contains(&change), "{change} is missing in {first:?}");
    }
    assert_eq!(setting.provision(), Vec::<String>::new());
}

#[test]
fn a_service_s_role_owns_its_schema_and_sees_no_other() {
    let setting = Setting::new();
    setting.provision();
    let mut depot = setting.connect("depot").unwrap();
    setting
        .runtime
        .block_on(async {
            sqlx::raw_sql("CREATE TABLE pieces (count int); INSERT INTO pieces VALUES (7)")
                .execute(&mut depot)
                .await
        })
        .unwrap();
    let schema = "SELECT schemaname::text FROM pg_tables WHERE tablename = 'pieces'";
    assert_eq!(setting.value(&mut depot, schema).unwrap(), "stock");

    let mut ledger = setting.connect("ledger").unwrap();
    let read = "SELECT count::text FROM stock.pieces";
    let refused = setting.value(&mut ledger, read).unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
}

#[test]
fn the_accountant_reads_what_it_is_granted_and_nothing_else() {
    let setting = Setting::new();
    setting.provision();
    let name = &setting.name;
    // As it was provisioned before.
    let mut superuser = setting
        .connect_with(Role::Superuser.name(), &setting.superuser)
        .unwrap();
    let mut execute = |statement: String| {
        let statement = sqlx::AssertSqlSafe(statement);
        let executed = sqlx::raw_sql(statement).execute(&mut superuser);
        setting.runtime.block_on(executed).unwrap();
    };
    execute(format!("GRANT pg_read_all_data TO {name}_auditor"));
    let change = format!("let role {name}_auditor no longer read everything");
    assert_eq!(setting.provision(), [change]);

    execute(
        "CREATE TABLE books.pages (sum int); CREATE TABLE books.keys (word text); INSERT INTO books.pages VALUES (7)"
            .to_owned(),
    );
    let mut auditor = setting.connect("auditor").unwrap();
    let read = "SELECT sum::text FROM books.pages";
    let refused = setting.value(&mut auditor, read).unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
    execute(format!(
        "GRANT USAGE ON SCHEMA books TO {name}_auditor; GRANT SELECT ON books.pages TO {name}_auditor"
    ));
    assert_eq!(setting.value(&mut auditor, read).unwrap(), "7");
    for refused in [
        "SELECT count(*)::text FROM books.keys",
        "DELETE FROM books.pages RETURNING '1'",
        "SELECT rolpassword::text FROM pg_authid LIMIT 1",
    ] {
        let error = setting.value(&mut auditor, refused).unwrap_err();
        assert!(
            error.to_string().contains("permission denied"),
            "{refused}: {error}"
        );
    }
}

#[test]
fn a_changed_password_is_set_again_and_only_that() {
    let setting = Setting::new();
    setting.provision();
    setting.connect("depot").unwrap();
    setting.set_password("depot", "depot-2");
    setting.connect("depot").unwrap_err();
    let change = format!("set the password of role {}_depot", setting.name);
    assert_eq!(setting.provision(), [change]);
    setting.connect("depot").unwrap();
}

#[test]
fn roles_of_others_may_not_connect() {
    let setting = Setting::new();
    setting.provision();
    let refused = setting
        .connect_with(Role::Order.name(), &setting.stranger)
        .unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
}

#[test]
fn two_runs_at_once_take_turns() {
    let setting = Setting::new();
    let config = setting.config();
    let (one, other) = setting
        .runtime
        .block_on(async { tokio::join!(provision(&config), provision(&config)) });
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.is_empty() != other.is_empty(), "{one:?} {other:?}");
}

#[test]
fn a_server_that_takes_a_connection_and_says_nothing_is_given_up() {
    let setting = Setting::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = setting.config();
    config.postgres.host = "127.0.0.1".to_owned();
    config.postgres.port = silent.local_addr().unwrap().port();
    let began = std::time::Instant::now();
    let error = setting
        .runtime
        .block_on(provision_within(&config, std::time::Duration::ZERO))
        .unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
    assert!(began.elapsed().as_secs() < 20);
}

#[test]
fn a_superuser_that_still_has_its_former_password_is_given_the_new_one() {
    let setting = Setting::new();
    setting.provision();
    let boss = format!("{}_boss", setting.name);
    let mut superuser = setting
        .connect_with(Role::Superuser.name(), &setting.superuser)
        .unwrap();
    let statement = format!("CREATE ROLE {boss} SUPERUSER LOGIN PASSWORD 'boss-1'");
    let created = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut superuser);
    setting.runtime.block_on(created).unwrap();
    setting.set_password("boss", "boss-2");
    setting.set_password("former", "boss-1");
    let file = |name: &str| SecretFile::new(setting.secrets.path().join(name));
    let mut config = setting.config();
    config.postgres.user = boss.clone().try_into().unwrap();
    config.postgres.password_file = file("boss");
    let refused = setting.runtime.block_on(provision(&config)).unwrap_err();
    assert!(refused.to_string().contains("password"), "{refused}");
    config.postgres.other_password_file = Some(file("former"));
    let changes = setting.runtime.block_on(provision(&config)).unwrap();
    assert_eq!(changes, [format!("set the password of role {boss}")]);
    setting
        .connect_with(&boss, &setting.secrets.path().join("former"))
        .unwrap_err();
    // The other one goes when that is done.
    config.postgres.other_password_file = None;
    let changes = setting.runtime.block_on(provision(&config)).unwrap();
    assert!(changes.is_empty(), "{changes:?}");
}
