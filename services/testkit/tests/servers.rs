//! The servers of the kit do what the tests that use them take for granted.

use std::process::{Command, Stdio};
use std::time::Duration;

use shop_testkit::{Durability, Folder, Postgres, Redis, RedisUser, Role, Sentinels, wait_until};
use sqlx::{Connection, Executor};

#[tokio::test]
async fn a_database_has_a_schema_for_each_role_and_nobody_enters_anothers() {
    let database = Postgres::shared().database().await;
    for (role, schema) in [
        (Role::Auth, "auth"),
        (Role::Product, "product"),
        (Role::Order, "orders"),
    ] {
        let mut connection = database.connect(role).await;
        connection
            .execute("CREATE TABLE thing (id int)")
            .await
            .unwrap();
        let found: String = sqlx::query_scalar(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'thing'::regclass",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(found, schema);
    }
    let mut order = database.connect(Role::Order).await;
    let refused = order
        .execute("SELECT * FROM product.thing")
        .await
        .unwrap_err();
    assert_eq!(
        refused
            .as_database_error()
            .and_then(|error| error.code().map(Into::into)),
        Some("42501".to_owned())
    );
}

#[tokio::test]
async fn what_a_role_may_read_is_listed() {
    let database = Postgres::shared().database().await;
    let mut product = database.connect(Role::Product).await;
    product
        .execute(
            "CREATE TABLE secret (id int); CREATE TABLE open (id int, price int);
             GRANT SELECT (id) ON open TO shop_auditor",
        )
        .await
        .unwrap();
    assert_eq!(
        database.readable(Role::Product, "product").await,
        ["open", "secret"]
    );
    let nothing: [&str; 0] = [];
    assert_eq!(database.readable(Role::Auditor, "product").await, nothing);
    product
        .execute("GRANT USAGE ON SCHEMA product TO shop_auditor")
        .await
        .unwrap();
    assert_eq!(database.readable(Role::Auditor, "product").await, ["open"]);
    let mut auditor = database.connect(Role::Auditor).await;
    auditor
        .execute("SELECT id FROM product.open")
        .await
        .unwrap();
    for refused in [
        "SELECT * FROM product.open",
        "SELECT id FROM product.secret",
        "DELETE FROM product.open",
    ] {
        auditor.execute(refused).await.unwrap_err();
    }
}

#[tokio::test]
async fn databases_of_two_tests_do_not_see_each_other() {
    let (one, other) = tokio::join!(Postgres::shared().database(), Postgres::shared().database());
    one.connect(Role::Product)
        .await
        .execute("CREATE TABLE thing (id int)")
        .await
        .unwrap();
    other
        .connect(Role::Product)
        .await
        .execute("SELECT * FROM product.thing")
        .await
        .unwrap_err();
}

#[tokio::test]
async fn what_was_committed_outlives_a_killed_server() {
    let mut server = Postgres::start(Durability::On);
    let (name, options) = {
        let database = server.database().await;
        let mut connection = database.connect(Role::Product).await;
        connection
            .execute("CREATE TABLE thing (id int); INSERT INTO thing VALUES (7)")
            .await
            .unwrap();
        let fsync: String = sqlx::query_scalar("SHOW fsync")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(fsync, "on");
        let kept = (database.name().to_owned(), database.options(Role::Product));
        std::mem::forget(database);
        kept
    };
    server.kill9();
    sqlx::PgConnection::connect_with(&options)
        .await
        .expect_err("the server is gone");
    server.start_again();
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let found: i32 = sqlx::query_scalar("SELECT id FROM product.thing")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(found, 7, "in {name}");
    server.restart();
    connection
        .ping()
        .await
        .expect_err("a restart cuts sessions");
    server.pause();
    let waiting = tokio::time::timeout(
        Duration::from_millis(300),
        sqlx::PgConnection::connect_with(&options),
    )
    .await;
    assert!(waiting.is_err(), "a frozen server answers nobody");
    server.resume();
    sqlx::PgConnection::connect_with(&options).await.unwrap();
}

#[test]
fn a_redis_keeps_what_it_was_told_when_it_is_started_again() {
    let mut redis = Redis::start();
    assert_eq!(redis.command(&["SET", "key", "value"]).unwrap(), "+OK");
    redis.kill9();
    redis.command(&["PING"]).expect_err("the server is gone");
    redis.start_again();
    redis.command(&["PING"]).unwrap();
    assert!(
        redis
            .url(RedisUser::Order)
            .starts_with("redis://shop-order:")
    );
}

#[test]
fn sentinels_move_the_master_when_it_dies() {
    let mut sentinels = Sentinels::start();
    assert_eq!(sentinels.master(), Some(0));
    assert_eq!(sentinels.sentinel_addresses().len(), 3);
    sentinels.kill9(0);
    sentinels.wait_failover(0);
    sentinels.start_again(0);
    wait_until("the old master to follow", Duration::from_secs(20), || {
        let role = sentinels.command(0, &["ROLE"])?;
        if role == "slave" { Ok(()) } else { Err(role) }
    });
    // Which one it is in the end is the Sentinels' matter: on a busy machine they may move it once more.
    wait_until("one master", Duration::from_secs(20), || {
        match (sentinels.master(), sentinels.named()) {
            (Some(master), Some(named)) if master == named => Ok(()),
            other => Err(format!(
                "the one that is, and the one that is named: {other:?}"
            )),
        }
    });
}

#[test]
fn servers_and_folders_end_with_a_killed_test_process() {
    if std::env::var_os("TESTKIT_HOLD").is_some() {
        hold_a_server();
    }
    let test = std::env::current_exe().unwrap();
    let folder = Folder::new();
    let told = folder.path().join("told");
    let mut child = Command::new(test)
        .args([
            "--exact",
            "servers_and_folders_end_with_a_killed_test_process",
            "--nocapture",
        ])
        .env("TESTKIT_HOLD", &told)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (data, pid) = wait_until(
        "the other process to start its server",
        Duration::from_secs(30),
        || {
            let told = std::fs::read_to_string(&told).map_err(|error| error.to_string())?;
            let (data, pid) = told.split_once('\n').ok_or("half a file")?;
            Ok((data.to_owned(), pid.to_owned()))
        },
    );
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the server to end", Duration::from_secs(10), || {
        if std::path::Path::new(&format!("/proc/{pid}/fd")).exists() {
            Err(format!("{pid} runs"))
        } else {
            Ok(())
        }
    });
    wait_until("the folder to go", Duration::from_secs(10), || {
        if std::path::Path::new(&data).exists() {
            Err(format!("{data} is there"))
        } else {
            Ok(())
        }
    });
}

/// What the killed process of the test above does.
#[allow(
    clippy::expect_used,
    reason = "part of a test, outside of its function"
)]
fn hold_a_server() -> ! {
    let server = Postgres::shared();
    let folder = server
        .socket_folder()
        .parent()
        .expect("the sockets have a folder of their own");
    let status = std::fs::read_to_string(folder.join("data/postmaster.pid"))
        .expect("a running server says its id");
    let pid = status.lines().next().expect("the id is the first line");
    let told = std::env::var("TESTKIT_HOLD").expect("the caller has looked");
    let half = format!("{told}.half");
    std::fs::write(&half, format!("{}\n{pid}", folder.display()))
        .expect("the caller's folder is there");
    std::fs::rename(half, told).expect("the caller's folder is there");
    loop {
        std::thread::park();
    }
}
