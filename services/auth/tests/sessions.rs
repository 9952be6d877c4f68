//! Sessions: refreshing, ending, expiring, and outliving the service.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Answer, Auth, CHEAP};
use reqwest::StatusCode;
use shop_testkit::{Database, Postgres, Role, eventually};
use shop_token::{Claims, Issuer, Jwks, SigningKey};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// Changes the database behind the service's back, such as to let time pass.
async fn execute(database: &Database<'_>, statement: &str) {
    let mut connection = database.connect(Role::Superuser).await;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn count(database: &Database<'_>, table: &str) -> i64 {
    let mut connection = database.connect(Role::Superuser).await;
    let statement = format!("SELECT count(*) FROM auth.{table}");
    sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn end_reasons(database: &Database<'_>) -> Vec<Option<String>> {
    let mut connection = database.connect(Role::Superuser).await;
    sqlx::query_scalar("SELECT end_reason FROM auth.sessions ORDER BY id")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

fn accepted(answers: &[Answer]) -> Vec<&Answer> {
    let accepted = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK);
    accepted.collect()
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_and_goes_on_giving_them() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let mut token = auth.session().await;
    for _ in 0..5 {
        let refreshed = auth.refresh(&token).await.ok();
        assert_eq!(refreshed.header("cache-control"), "no-store");
        assert_ne!(refreshed.text("refreshToken"), token);
        auth.me(&refreshed.text("accessToken")).await.ok();
        token = refreshed.text("refreshToken");
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_session_and_no_other() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let stolen = auth.session().await;
    let other = auth.session().await;
    let thiefs = auth.refresh(&stolen).await.ok().text("refreshToken");
    auth.refresh(&stolen)
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&thiefs)
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&other).await.ok();
    assert_eq!(
        end_reasons(&database).await,
        [Some("reuse".to_owned()), None]
    );
}

#[tokio::test]
async fn of_many_refreshes_with_one_token_at_once_one_wins() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    for _ in 0..5 {
        let token = auth.session().await;
        let answers = join_all((0..30).map(|_| auth.refresh(&token))).await;
        let winners = accepted(&answers);
        assert_eq!(winners.len(), 1);
        for answer in answers
            .iter()
            .filter(|answer| answer.status != StatusCode::OK)
        {
            answer.assert_problem(401, "unauthorized");
        }
        // The others may have been thieves, so what the winner got is not good either.
        let won = winners[0].text("refreshToken");
        auth.refresh(&won).await.assert_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn within_its_grace_a_token_may_be_used_again_and_the_grace_does_not_renew_itself() {
    let database = Postgres::shared().database().await;
    let settings = format!("{CHEAP}refreshReuseGraceSeconds = 30\n");
    let auth = Auth::start_with(&database, &settings).await;
    let token = auth.session().await;
    let answers = join_all((0..10).map(|_| auth.refresh(&token))).await;
    assert_eq!(accepted(&answers).len(), 10);
    let first = auth.refresh(&answers[0].text("refreshToken")).await.ok();
    auth.refresh(&answers[1].text("refreshToken")).await.ok();

    let past = "UPDATE auth.refresh_tokens SET rotated_at = rotated_at - interval '29 seconds'";
    execute(&database, past).await;
    auth.refresh(&token).await.ok();
    let past = "UPDATE auth.refresh_tokens SET rotated_at = rotated_at - interval '2 seconds'";
    execute(&database, past).await;
    auth.refresh(&token)
        .await
        .assert_problem(401, "unauthorized");
    let latest = first.text("refreshToken");
    auth.refresh(&latest)
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_logout_ends_the_session_once_and_leaves_the_others_alone() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    assert_eq!(
        auth.register("ada@example.org").await.status,
        StatusCode::CREATED
    );
    let here = auth
        .login("ada@example.org")
        .await
        .ok()
        .text("refreshToken");
    let there = auth
        .login("ada@example.org")
        .await
        .ok()
        .text("refreshToken");
    for _ in 0..2 {
        assert_eq!(auth.logout(&here).await.status, StatusCode::NO_CONTENT);
    }
    auth.refresh(&here)
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&there).await.ok();
    assert_eq!(
        end_reasons(&database).await,
        [Some("logout".to_owned()), None]
    );
}

#[tokio::test]
async fn a_logout_with_a_token_that_was_exchanged_ends_the_session_as_well() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let old = auth.session().await;
    let new = auth.refresh(&old).await.ok().text("refreshToken");
    assert_eq!(auth.logout(&old).await.status, StatusCode::NO_CONTENT);
    auth.refresh(&new).await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused_and_nobody_is_logged_out_by_it() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let token = auth.session().await;
    let unknown = "A".repeat(43);
    for text in ["", "nonsense", &unknown, &token[1..]] {
        auth.refresh(text).await.assert_problem(401, "unauthorized");
        assert_eq!(auth.logout(text).await.status, StatusCode::NO_CONTENT);
    }
    auth.refresh(&token).await.ok();
}

#[tokio::test]
async fn refreshes_logouts_and_removals_at_once_end_in_order() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let admin = auth.mint(shop_token::Role::Admin, None);
    for round in 0..10 {
        let tag = format!("round-{round}");
        let token = auth.session().await;
        let tagged = format!("UPDATE auth.accounts SET test_tag = '{tag}' WHERE test_tag IS NULL");
        execute(&database, &tagged).await;
        let path = format!("/api/auth/test-data/{tag}");
        let remove = async || {
            let answer = auth.send(reqwest::Method::DELETE, &path, Some(&admin), None);
            assert_eq!(answer.await.status, StatusCode::OK);
        };
        let refresh = async || {
            let status = auth.refresh(&token).await.status;
            assert!([200, 401].contains(&status.as_u16()), "{status}");
        };
        let logout = async || assert_eq!(auth.logout(&token).await.status, StatusCode::NO_CONTENT);
        tokio::join!(
            refresh(),
            logout(),
            refresh(),
            remove(),
            refresh(),
            logout(),
            refresh()
        );
        auth.refresh(&token)
            .await
            .assert_problem(401, "unauthorized");
    }
    assert_eq!(count(&database, "refresh_tokens").await, 0);
}

#[tokio::test]
async fn an_expired_refresh_token_is_refused_though_it_is_still_there() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let token = auth.session().await;
    execute(
        &database,
        "UPDATE auth.refresh_tokens SET expires_at = now()",
    )
    .await;
    auth.refresh(&token)
        .await
        .assert_problem(401, "unauthorized");
    assert_eq!(count(&database, "refresh_tokens").await, 1);
    assert_eq!(end_reasons(&database).await, [None]);
}

#[tokio::test]
async fn what_has_expired_is_removed_and_what_has_not_stays() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start_with(&database, &format!("{CHEAP}sweepSeconds = 1\n")).await;
    let gone = auth.session().await;
    let kept = auth.session().await;
    let kept = auth.refresh(&kept).await.ok().text("refreshToken");
    // All of the first session, and the exchanged token of the second.
    execute(
        &database,
        "UPDATE auth.sessions SET expires_at = now() WHERE id = (SELECT min(id::text)::uuid FROM auth.sessions);
         UPDATE auth.refresh_tokens SET expires_at = now()
         WHERE rotated_at IS NOT NULL OR session_id = (SELECT min(id::text)::uuid FROM auth.sessions)",
    )
    .await;
    eventually(
        "expired rows to be removed",
        Duration::from_secs(20),
        async || {
            let left = (
                count(&database, "sessions").await,
                count(&database, "refresh_tokens").await,
            );
            if left == (1, 1) {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        },
    )
    .await;
    auth.refresh(&gone)
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&kept).await.ok();
    assert_eq!(count(&database, "accounts").await, 2);
}

#[tokio::test]
async fn sessions_outlive_the_service_and_are_known_to_every_replica() {
    let database = Postgres::shared().database().await;
    let first = Auth::start(&database).await;
    let token = first.session().await;
    let key = first.key.clone();
    first.stop().await;

    let again = Auth::start_unready(&database, CHEAP, &key).await;
    let replica = Auth::start_unready(&database, CHEAP, &key).await;
    again.ready().await;
    replica.ready().await;
    let refreshed = again.refresh(&token).await.ok();
    replica.me(&refreshed.text("accessToken")).await.ok();
    let refreshed = replica.refresh(&refreshed.text("refreshToken")).await.ok();
    again.me(&refreshed.text("accessToken")).await.ok();
}

#[tokio::test]
async fn of_refreshes_at_two_replicas_at_once_one_wins() {
    let database = Postgres::shared().database().await;
    let one = Auth::start(&database).await;
    let other = Auth::start_unready(&database, CHEAP, &one.key).await;
    other.ready().await;
    let token = one.session().await;
    let refreshes = (0..20).map(|at| if at % 2 == 0 { &one } else { &other });
    let answers = join_all(refreshes.map(|auth| auth.refresh(&token))).await;
    assert_eq!(accepted(&answers).len(), 1);
}

#[tokio::test]
async fn a_key_is_replaced_without_refusing_a_token_on_the_way() {
    let database = Postgres::shared().database().await;
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let folder = tempfile::tempdir().unwrap();
    for (name, key) in [("old", &old), ("new", &new)] {
        std::fs::write(folder.path().join(name), key.to_pem().unwrap()).unwrap();
    }
    let path = folder.path().display();
    let start = async |signing: String, key: &SigningKey| {
        let sections = format!("{CHEAP}[signing]\n{signing}");
        let auth = Auth::start_unready(&database, &sections, key).await;
        auth.ready().await;
        auth
    };
    let before = format!("keyFile = \"{path}/old\"\nnextKeyFile = \"{path}/new\"\n");
    let after = format!("keyFile = \"{path}/new\"\npreviousKeyFile = \"{path}/old\"\n");
    let (before, after) = (start(before, &old).await, start(after, &new).await);

    let token = before.session().await;
    let refreshed = before.refresh(&token).await.ok();
    after.me(&refreshed.text("accessToken")).await.ok();
    let refreshed = after.refresh(&refreshed.text("refreshToken")).await.ok();
    before.me(&refreshed.text("accessToken")).await.ok();

    let published = after.get("/.well-known/jwks.json", None).await.ok();
    let keys = Jwks::from_json(&published.body.to_string()).unwrap();
    assert_eq!(
        keys,
        Jwks::new([new.public_key().clone(), old.public_key().clone()])
    );

    let finished = start(format!("keyFile = \"{path}/new\"\n"), &new).await;
    finished.me(&refreshed.text("accessToken")).await.ok();
    let retired = Issuer::new(&old, "shop-auth", "shop");
    let token = retired.issue(
        Uuid::now_v7(),
        shop_token::Role::Admin,
        Duration::from_mins(1),
        None,
    );
    finished
        .me(&token)
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn an_access_token_is_good_as_long_as_the_settings_say() {
    let database = Postgres::shared().database().await;
    let settings = format!("{CHEAP}accessTokenSeconds = 60\nrefreshTokenSeconds = 3600\n");
    let auth = Auth::start_with(&database, &settings).await;
    let refreshed = auth.refresh(&auth.session().await).await.ok();
    assert_eq!(refreshed.body["expiresIn"], 60);
    assert_eq!(refreshed.body["refreshExpiresIn"], 3600);

    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let expired = Issuer::new(&auth.key, "shop-auth", "shop").sign(&Claims {
        iss: "shop-auth".to_owned(),
        aud: "shop".to_owned(),
        sub: Uuid::now_v7(),
        role: shop_token::Role::Customer,
        iat: now - 120,
        exp: now - 60,
        jti: Uuid::now_v7(),
        test: None,
    });
    auth.me(&expired).await.assert_problem(401, "unauthorized");
}
