//! Postgres away, restarted, or hanging, and clients that go away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Answer, Auth, CHEAP, PASSWORD};
use reqwest::StatusCode;
use serde_json::json;
use shop_testkit::{Durability, Postgres, Role, eventually};
use shop_token::SigningKey;
use tempfile::TempDir;

const RECOVERY: Duration = Duration::from_secs(30);

/// A configuration for a server that the test is going to break.
struct Prepared {
    text: String,
    folder: TempDir,
    key: SigningKey,
}

async fn prepare(server: &Postgres, sections: &str) -> Prepared {
    let database = server.database().await;
    let (folder, key) = (tempfile::tempdir().unwrap(), SigningKey::generate());
    let text = harness::config_text(&database, sections, &key, folder.path());
    // Its handle would borrow the server, and drop the database, which goes with the server anyway.
    std::mem::forget(database);
    Prepared { text, folder, key }
}

async fn start(prepared: Prepared) -> Auth {
    Auth::start_from(&prepared.text, prepared.folder, &prepared.key).await
}

async fn recovers(auth: &Auth, email: &str) -> Answer {
    eventually("logins to work again", RECOVERY, async || {
        let answer = auth.login(email).await;
        match answer.status {
            StatusCode::OK => Ok(answer),
            status => Err(status.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_the_service_is_alive_and_says_what_is_missing() {
    let mut server = Postgres::start(Durability::Off);
    let prepared = prepare(&server, CHEAP).await;
    server.stop();

    let auth = start(prepared).await;
    let readiness = auth.readiness().await;
    assert_eq!(readiness.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(readiness.body["dependencies"][0]["name"], "postgres");
    assert_eq!(readiness.body["dependencies"][0]["ready"], false);
    let answer = auth.register("ada@example.org").await;
    answer.assert_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    auth.get("/.well-known/jwks.json", None).await.ok();

    server.start_again();
    auth.ready().await;
    assert_eq!(
        auth.register("ada@example.org").await.status,
        StatusCode::CREATED
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_were_acknowledged_survive_restarts_of_postgres_under_logins() {
    let mut server = Postgres::start(Durability::On);
    let prepared = prepare(&server, CHEAP).await;
    let auth = start(prepared).await;
    auth.ready().await;
    for worker in 0..8 {
        let made = auth.register(&format!("{worker}@example.org")).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }

    let progress = Progress::default();
    let disturb = async {
        for round in 0..3 {
            progress.goes_on().await;
            tokio::task::block_in_place(|| match round {
                0 | 1 => server.restart(),
                _ => {
                    server.kill9();
                    server.start_again();
                }
            });
        }
        progress.goes_on().await;
        progress.stop.store(true, Ordering::Relaxed);
    };
    let workers = (0..8).map(|worker| keep_a_session(&auth, worker, &progress));
    let (sessions, ()) = tokio::join!(futures_util::future::join_all(workers), disturb);

    for token in sessions.into_iter().flatten() {
        auth.refresh(&token).await.ok();
    }
    assert!(
        progress.unavailable.load(Ordering::Relaxed) > 0,
        "nobody noticed the restarts"
    );
}

/// What all clients together have seen.
#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    unavailable: AtomicUsize,
}

impl Progress {
    /// Waits until clients were served many more times.
    async fn goes_on(&self) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + 100;
        eventually("sessions to go on", RECOVERY, async || {
            match self.acknowledged.load(Ordering::Relaxed) {
                acknowledged if acknowledged >= goal => Ok(()),
                acknowledged => Err(format!("{acknowledged} of {goal}")),
            }
        })
        .await;
    }
}

/// A client that logs in and refreshes for as long as it may. Gives the token that was acknowledged last, unless
/// nobody can know what became of it.
async fn keep_a_session(auth: &Auth, worker: usize, progress: &Progress) -> Option<String> {
    let email = format!("{worker}@example.org");
    let mut token: Option<String> = None;
    while !progress.stop.load(Ordering::Relaxed) {
        // A token whose refresh was not answered well may have been exchanged all the same: it isn't tried again.
        let answer = match token.take() {
            Some(token) => auth.refresh(&token).await,
            None => auth.login(&email).await,
        };
        match answer.status.as_u16() {
            200 => {
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
                token = Some(answer.text("refreshToken"));
            }
            503 | 504 => {
                progress.unavailable.fetch_add(1, Ordering::Relaxed);
                // As a polite client would, only sooner.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => panic!("{}: {}", answer.status, answer.body),
        }
    }
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_hangs_costs_a_request_its_time_and_no_more() {
    let mut server = Postgres::start(Durability::Off);
    let sections = format!("{CHEAP}requestTimeoutMilliseconds = 1500\n");
    let prepared = prepare(&server, &sections).await;
    let auth = start(prepared).await;
    auth.ready().await;
    auth.register("ada@example.org").await;
    auth.login("ada@example.org").await.ok();

    server.pause();
    let begun = Instant::now();
    let answer = auth.login("ada@example.org").await;
    let took = begun.elapsed();
    assert!(
        [503, 504].contains(&answer.status.as_u16()),
        "{}",
        answer.status
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(
        auth.readiness().await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );

    server.resume();
    recovers(&auth, "ada@example.org").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_away_leave_their_places_and_connections_to_others() {
    let database = Postgres::shared().database().await;
    let settings =
        "[auth]\nhashMemoryKib = 64\nhashConcurrency = 1\nhashQueue = 2\nattemptsBurst = 1000\n";
    let auth = Auth::start_with(&database, settings).await;
    let email = "ada@example.org";
    auth.register(email).await;

    // Whoever logs in now waits for this transaction, holding a place.
    let mut holder = database.connect(Role::Superuser).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE auth.accounts IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let impatient = auth.client.clone();
    let login = async |limit| {
        let body = json!({"email": email, "password": PASSWORD});
        let request = impatient.post(auth.url("/api/auth/login")).json(&body);
        request
            .timeout(limit)
            .send()
            .await
            .map(|response| response.status())
    };
    // Sent away by a probe that was faster, a client comes back.
    let patient =
        async || while login(RECOVERY).await.unwrap() == StatusCode::SERVICE_UNAVAILABLE {};
    let all_patient = async { tokio::join!(patient(), patient(), patient()) };
    let everybody_goes = async {
        eventually("all places to be taken", RECOVERY, async || {
            match login(Duration::from_millis(100)).await {
                Ok(StatusCode::SERVICE_UNAVAILABLE) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    };
    tokio::select! {
        // Dropping them closes their connections, as a client does that goes away.
        () = everybody_goes => {}
        _ = all_patient => panic!("nobody had to wait"),
    }
    eventually("a place to be free", RECOVERY, async || {
        match login(Duration::from_millis(100)).await {
            Err(error) if error.is_timeout() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    recovers(&auth, email).await;
    let logins = futures_util::future::join_all((0..3).map(|_| auth.login(email)));
    for answer in logins.await {
        answer.ok();
    }
}
