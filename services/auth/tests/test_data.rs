//! Accounts of a test: tagged, counted and removed with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Auth, PASSWORD};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shop_testkit::{Postgres, Role};

#[tokio::test]
async fn accounts_of_a_test_carry_its_tag_and_are_removed_with_it() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let tester = auth.mint(shop_token::Role::Customer, Some("load-7"));
    let body = json!({"email": "tested@example.org", "password": PASSWORD});
    let made = auth
        .send(
            Method::POST,
            "/api/auth/register",
            Some(&tester),
            Some(&body),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    auth.register("ada@example.org").await;

    let tokens = auth.login("tested@example.org").await.ok();
    assert_eq!(
        auth.me(&tokens.text("accessToken")).await.ok().body["test"],
        "load-7"
    );
    let refreshed = auth.refresh(&tokens.text("refreshToken")).await.ok();
    assert_eq!(
        auth.me(&refreshed.text("accessToken")).await.ok().body["test"],
        "load-7"
    );

    let remove = async |token: Option<&str>, tag: &str| {
        let path = format!("/api/auth/test-data/{tag}");
        auth.send(Method::DELETE, &path, token, None).await
    };
    let customer = auth.mint(shop_token::Role::Customer, None);
    let admin = auth.mint(shop_token::Role::Admin, None);
    remove(None, "load-7")
        .await
        .assert_problem(401, "unauthorized");
    remove(Some(&customer), "load-7")
        .await
        .assert_problem(403, "forbidden");
    assert_eq!(
        remove(Some(&admin), "other").await.ok().body,
        json!({"accounts": 0})
    );
    remove(Some(&admin), "load-7%00")
        .await
        .assert_problem(404, "not-found");
    assert_eq!(
        remove(Some(&admin), "load-7").await.ok().body,
        json!({"accounts": 1})
    );

    auth.login("tested@example.org")
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&refreshed.text("refreshToken"))
        .await
        .assert_problem(401, "unauthorized");
    auth.me(&refreshed.text("accessToken"))
        .await
        .assert_problem(404, "not-found");
    auth.login("ada@example.org").await.ok();
}

#[tokio::test]
async fn the_accountant_counts_a_tests_accounts_and_learns_nothing_else() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    let token = auth.mint(shop_token::Role::Customer, Some("run-1"));
    let body = json!({"email": "tested@example.org", "password": PASSWORD});
    let made = auth
        .send(
            Method::POST,
            "/api/auth/register",
            Some(&token),
            Some(&body),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    auth.session().await;

    assert_eq!(
        database.readable(Role::Auditor, "auth").await,
        ["test_accounts"]
    );
    let auditor = database.pool(Role::Auditor, 1).await;
    let counted: Vec<(String, i64, bool)> = sqlx::query_as(
        "SELECT tag, accounts, first_created_at > now() - interval '1 hour' FROM auth.test_accounts",
    )
    .fetch_all(&auditor)
    .await
    .unwrap();
    assert_eq!(counted, [("run-1".to_owned(), 1, true)]);
    for statement in [
        "SELECT password_hash FROM auth.accounts",
        "SELECT email FROM auth.accounts",
        "SELECT count(*) FROM auth.accounts",
        "SELECT FROM auth.sessions",
        "SELECT hash FROM auth.refresh_tokens",
        "DELETE FROM auth.accounts",
    ] {
        let error = sqlx::query(statement).execute(&auditor).await.unwrap_err();
        assert!(
            error.to_string().contains("permission denied"),
            "{statement}: {error}"
        );
    }
}
