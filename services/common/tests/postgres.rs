//! The pool against a real Postgres that is down, comes up, restarts and hangs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use shop_common::config::{Instance, PostgresConfig, SecretFile, parse};
use shop_common::postgres::Postgres;
use shop_common::problem::{ConstraintProblem, DatabaseProblem, Problem, ProblemKind, is_outage};
use shop_common::server::Shutdown;
use shop_testkit::{Database, Durability, Postgres as Server, Role, eventually};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions as _, SqlStr};

const SOON: Duration = Duration::from_secs(20);

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = "CREATE TABLE pieces (id int PRIMARY KEY, count int CONSTRAINT count_not_negative CHECK (count >= 0))";
    Migrator::with_migrations(vec![Migration::new(
        1,
        Cow::Borrowed("pieces"),
        MigrationType::Simple,
        SqlStr::from_static(sql),
        false,
    )])
});

#[derive(serde::Deserialize)]
struct File {
    postgres: PostgresConfig,
}

/// A server of the test's own, for faults, and the configuration of a pool in it.
fn own_server() -> (Server, PostgresConfig) {
    let server = Server::start(Durability::Off);
    let (database, config) = database_in(&server);
    // It goes with its server.
    std::mem::forget(database);
    (server, config)
}

/// A database of the test's own in the server that tests share.
fn shared_server() -> (Database<'static>, PostgresConfig) {
    database_in(Server::shared())
}

fn database_in(server: &Server) -> (Database<'_>, PostgresConfig) {
    let database = on_a_runtime(server.database());
    let text = database.config_section(Role::Order, 4);
    let file: File = parse(Path::new("postgres.toml"), &text).unwrap();
    (database, file.postgres)
}

fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(test)
}

fn start(config: &PostgresConfig) -> Postgres {
    let instance = Instance::new("order-7");
    Postgres::start(config, &instance, &MIGRATIONS, Shutdown::new()).unwrap()
}

async fn migrated(postgres: &Postgres) {
    tokio::time::timeout(SOON, postgres.migrated())
        .await
        .unwrap();
}

async fn execute(postgres: &Postgres, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .execute(postgres.pool())
        .await
        .map(drop)
}

#[test]
fn a_service_starts_while_postgres_is_down_and_migrates_when_it_is_up() {
    let (mut server, config) = own_server();
    server.stop();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let postgres = runtime.block_on(async { start(&config) });
    let reason = runtime.block_on(eventually("the reason", SOON, async || {
        match postgres.check().await {
            Err(reason) if reason.contains("No such file") => Ok(reason),
            other => Err(format!("{other:?}")),
        }
    }));
    assert!(reason.starts_with("not migrated yet: "), "{reason}");

    server.start_again();
    runtime.block_on(async {
        migrated(&postgres).await;
        postgres.check().await.unwrap();
        execute(&postgres, "INSERT INTO orders.pieces VALUES (1, 1)")
            .await
            .unwrap();
    });
}

#[test]
fn after_a_restart_of_postgres_the_pool_serves_again() {
    let (mut server, config) = own_server();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let postgres = runtime.block_on(async {
        let postgres = start(&config);
        migrated(&postgres).await;
        execute(&postgres, "SELECT 1").await.unwrap();
        postgres
    });

    server.stop();
    runtime.block_on(async {
        let error = execute(&postgres, "SELECT 1").await.unwrap_err();
        assert!(is_outage(&error), "{error:?}");
        assert_eq!(error.into_problem(&[]).kind(), ProblemKind::Unavailable);
        postgres.check().await.unwrap_err();
    });

    server.start_again();
    runtime.block_on(eventually("the pool to serve", SOON, async || {
        execute(&postgres, "SELECT 1").await.map_err(|error| {
            assert!(is_outage(&error), "{error:?}");
            error.to_string()
        })
    }));
    runtime.block_on(postgres.check()).unwrap();
}

#[test]
fn connections_that_idled_through_a_restart_are_not_handed_out() {
    let (mut server, config) = own_server();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let postgres = runtime.block_on(async {
        let postgres = start(&config);
        migrated(&postgres).await;
        execute(&postgres, "SELECT 1").await.unwrap();
        postgres
    });
    server.restart();
    // What has idled for over a second is looked at first; the restart itself may take less.
    std::thread::sleep(Duration::from_millis(1_100));
    runtime.block_on(execute(&postgres, "SELECT 1")).unwrap();
}

#[test]
fn replicas_that_start_at_once_migrate_once() {
    let (_database, config) = shared_server();
    on_a_runtime(async {
        let replicas = [start(&config), start(&config), start(&config)];
        for replica in &replicas {
            migrated(replica).await;
        }
        let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM orders._sqlx_migrations")
            .fetch_one(replicas[0].pool())
            .await
            .unwrap();
        assert_eq!(applied, 1);
    });
}

#[test]
fn a_violated_constraint_is_the_problem_that_it_stands_for() {
    let (_database, config) = shared_server();
    on_a_runtime(async {
        let postgres = start(&config);
        migrated(&postgres).await;
        let constraints: [ConstraintProblem; 1] = [("count_not_negative", || {
            Problem::conflict("less than nothing")
        })];
        let violate = "INSERT INTO orders.pieces VALUES (1, -1)";
        let error = execute(&postgres, violate).await.unwrap_err();
        assert!(!is_outage(&error));
        assert_eq!(
            error.into_problem(&constraints),
            Problem::conflict("less than nothing")
        );

        let unnamed = execute(&postgres, violate)
            .await
            .unwrap_err()
            .into_problem(&[]);
        assert_eq!(unnamed.kind(), ProblemKind::Internal);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled() {
    let (_database, config) = shared_server();
    let config = PostgresConfig {
        statement_timeout_milliseconds: 100,
        ..config
    };
    on_a_runtime(async {
        let postgres = start(&config);
        migrated(&postgres).await;
        let problem = execute(&postgres, "SELECT pg_sleep(30)")
            .await
            .unwrap_err()
            .into_problem(&[]);
        assert_eq!(problem.kind(), ProblemKind::Timeout);
    });
}

#[test]
fn postgres_shows_which_instance_is_connected() {
    let (_database, config) = shared_server();
    on_a_runtime(async {
        let postgres = start(&config);
        let query = "SELECT current_setting('application_name')";
        let name: String = sqlx::query_scalar(query)
            .fetch_one(postgres.pool())
            .await
            .unwrap();
        assert_eq!(name, "order-7");
    });
}

#[test]
fn a_password_file_that_is_not_there_is_named_at_once() {
    let (_database, config) = shared_server();
    let config = PostgresConfig {
        password_file: shop_common::config::SecretFile::new("/nonexistent/password"),
        ..config
    };
    on_a_runtime(async {
        let instance = Instance::new("order-7");
        let error = Postgres::start(&config, &instance, &MIGRATIONS, Shutdown::new()).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/password"),
            "{error}"
        );
    });
}

#[test]
fn whoever_knows_both_passwords_gets_in_while_one_becomes_the_other() {
    let server = Server::start(Durability::Off);
    let (database, config) = database_in(&server);
    let folder = tempfile::tempdir().unwrap();
    let next = folder.path().join("next");
    std::fs::write(&next, "the-next-one\n").unwrap();
    let both = PostgresConfig {
        other_password_file: Some(SecretFile::new(&next)),
        ..config.clone()
    };
    on_a_runtime(async {
        let postgres = start(&both);
        migrated(&postgres).await;
        let mut superuser = database.options(Role::Superuser).connect().await.unwrap();
        for statement in [
            "ALTER ROLE shop_order PASSWORD 'the-next-one'",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop_order'",
        ] {
            sqlx::query(statement)
                .execute(&mut superuser)
                .await
                .unwrap();
        }
        eventually("the pool to get in", SOON, async || {
            execute(&postgres, "SELECT 1")
                .await
                .map_err(|error| error.to_string())
        })
        .await;
        // One that starts now begins with the wrong one, and one that knows only that is not let in.
        let late = start(&both);
        migrated(&late).await;
        execute(&late, "SELECT 1").await.unwrap();
        let told = PostgresConfig {
            password_file: SecretFile::new(&next),
            // The other one goes when everybody was told.
            other_password_file: Some(SecretFile::new(folder.path().join("gone"))),
            ..config.clone()
        };
        migrated(&start(&told)).await;
        let alone = start(&config);
        let refused = execute(&alone, "SELECT 1").await.unwrap_err().to_string();
        assert!(
            refused.contains("password authentication failed"),
            "{refused}"
        );
    });
}
