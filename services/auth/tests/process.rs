//! The service as it runs in the shop: `shopd auth`, a process of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::{Answer, CHEAP, PASSWORD, config_text};
use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shop_testkit::{Database, Launch, Postgres, Process, Role, eventually, free_port, shopd};
use shop_token::SigningKey;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running process with its files.
struct Shopd {
    process: Process,
    client: Client,
    port: u16,
    admin_port: u16,
    folder: TempDir,
}

impl Shopd {
    async fn start(database: &Database<'_>) -> Self {
        Self::start_with(database, CHEAP).await
    }

    async fn start_with(database: &Database<'_>, sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, admin_port) = (free_port(), free_port());
        let text = config_text(database, sections, &SigningKey::generate(), folder.path())
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1)
            .replacen("127.0.0.1:0", &format!("127.0.0.1:{admin_port}"), 1);
        let file = folder.path().join("auth.toml");
        std::fs::write(&file, text).unwrap();
        let log = folder.path().join("log");
        let process = Process::spawn(Launch::shopd("auth", "auth-0", &file, log));
        let client = Client::new();
        let started = Self {
            process,
            client,
            port,
            admin_port,
            folder,
        };
        eventually("auth to be ready", PATIENCE, async || {
            started.readiness().await
        })
        .await;
        started
    }

    async fn readiness(&self) -> Result<(), String> {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin_port);
        let response = self.client.get(url).send().await;
        let answer = Answer::of(response.map_err(|error| error.to_string())?).await;
        match answer.status {
            StatusCode::OK => Ok(()),
            _ => Err(answer.body.to_string()),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        Ok(Answer::of(self.client.post(url).json(body).send().await?).await)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn credentials() -> Value {
    json!({"email": "ada@example.org", "password": PASSWORD})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_what_was_asked_and_then_ends() {
    let database = Postgres::shared().database().await;
    let mut auth = Shopd::start(&database).await;
    let made = auth
        .post("/api/auth/register", &credentials())
        .await
        .unwrap();
    assert_eq!(made.status, StatusCode::CREATED);

    // A login that waits in the database for as long as this transaction is open.
    let mut holder = database.connect(Role::Superuser).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE auth.accounts IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let login = {
        let (client, port) = (auth.client.clone(), auth.port);
        tokio::spawn(async move {
            let url = format!("http://127.0.0.1:{port}/api/auth/login");
            Answer::of(client.post(url).json(&credentials()).send().await.unwrap()).await
        })
    };
    let watcher = database.pool(Role::Superuser, 1).await;
    eventually("the login to wait", PATIENCE, async || {
        let locks = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'auth.accounts'::regclass";
        match sqlx::query_scalar::<_, i64>(locks).fetch_one(&watcher).await.unwrap() {
            0 => Err("nobody waits".to_owned()),
            _ => Ok(()),
        }
    })
    .await;

    auth.process.signal(Signal::SIGTERM);
    eventually("readiness to end", PATIENCE, async || {
        match auth.readiness().await {
            Err(seen) if seen.contains("\"draining\":true") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    eventually(
        "the listener to close",
        PATIENCE,
        async || match tokio::net::TcpStream::connect(("127.0.0.1", auth.port)).await {
            Err(_) => Ok(()),
            Ok(_) => Err("a connection was taken".to_owned()),
        },
    )
    .await;
    assert!(auth.process.is_running() && !login.is_finished());

    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    login.await.unwrap().ok();
    let status = auth.process.wait(PATIENCE);
    assert!(status.success(), "{status}\n{}", auth.process.log_tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_a_kill_of_the_process() {
    let database = Postgres::shared().database().await;
    let mut auth = Shopd::start(&database).await;
    auth.post("/api/auth/register", &credentials())
        .await
        .unwrap();
    let login = auth
        .post("/api/auth/login", &credentials())
        .await
        .unwrap()
        .ok();
    auth.process.respawn();
    eventually("auth to be ready again", PATIENCE, async || {
        auth.readiness().await
    })
    .await;
    let refresh = json!({"refreshToken": login.text("refreshToken")});
    auth.post("/api/auth/refresh", &refresh).await.unwrap().ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_json_and_hold_neither_passwords_nor_tokens_nor_addresses() {
    let database = Postgres::shared().database().await;
    let mut auth = Shopd::start(&database).await;
    auth.post("/api/auth/register", &credentials())
        .await
        .unwrap();
    let login = auth
        .post("/api/auth/login", &credentials())
        .await
        .unwrap()
        .ok();
    let token = login.text("refreshToken");
    let refresh = json!({"refreshToken": token});
    auth.post("/api/auth/refresh", &refresh).await.unwrap().ok();
    // Noticed and logged, with the session's id and not with the token.
    auth.post("/api/auth/refresh", &refresh)
        .await
        .unwrap()
        .assert_problem(401, "unauthorized");
    assert!(auth.process.stop(Signal::SIGTERM, PATIENCE).success());
    let log = auth.log();
    assert!(log.contains("used twice"), "{log}");
    for line in log.lines() {
        let entry: Result<Value, _> = serde_json::from_str(line);
        assert!(entry.is_ok(), "{line}");
    }
    for secret in [
        PASSWORD,
        &token,
        &login.text("accessToken"),
        "ada@example.org",
        "PRIVATE KEY",
    ] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_password_hashes_is_given_back() {
    let database = Postgres::shared().database().await;
    let settings = "[auth]\nhashConcurrency = 4\nhashIterations = 1\nattemptsBurst = 1000\n";
    let auth = Shopd::start_with(&database, settings).await;
    for _ in 0..15 {
        let logins = (0..8).map(|at| {
            let body = json!({"email": format!("{at}@example.org"), "password": PASSWORD});
            let auth = &auth;
            async move { auth.post("/api/auth/login", &body).await.unwrap() }
        });
        for answer in futures_util::future::join_all(logins).await {
            answer.assert_problem(401, "unauthorized");
        }
    }
    // Nothing is hashed any more, and one hash alone takes 19 MiB.
    let status = std::fs::read_to_string(format!("/proc/{}/status", auth.process.pid())).unwrap();
    let anonymous = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: u64 = anonymous
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(kib < 15 * 1024, "{kib} KiB");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str, says: &[&str]| {
        let file = folder.path().join("auth.toml");
        std::fs::write(&file, text).unwrap();
        let output = run(&file);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        for part in says {
            assert!(stderr.contains(part), "{stderr}");
        }
    };
    refused("[http]\nlisten = 7\n", &["auth.toml:2:10"]);
    refused("[htp]\n", &["auth.toml:1", "unknown field `htp`", "`http`"]);
}

fn run(config: &Path) -> std::process::Output {
    let mut command = Command::new(shopd());
    command
        .args(["auth", "--check-config", "--config"])
        .arg(config);
    command.output().unwrap()
}
