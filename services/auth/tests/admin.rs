//! The admin account of the configuration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::path::Path;

use harness::{Auth, CHEAP, PASSWORD};
use serde_json::{Value, json};
use shop_common::server::Shutdown;
use shop_testkit::{Postgres, Role};
use shop_token::SigningKey;

const ADMIN: &str = "admin@example.org";

/// The section for an admin with this password.
fn section(folder: &Path, password: &str) -> String {
    let file = folder.join("admin-password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    format!(
        "{CHEAP}[admin]\nemail = \"Admin@Example.org\"\npasswordFile = \"{}\"\n",
        file.display()
    )
}

/// Readiness doesn't wait for the account, so the tests do.
async fn admin_is_there(auth: &Auth) {
    shop_testkit::eventually(
        "the admin account",
        std::time::Duration::from_secs(30),
        async || {
            let readiness = auth.readiness().await.body;
            let dependencies = readiness["dependencies"].as_array().unwrap();
            let admin = dependencies
                .iter()
                .find(|each| each["name"] == "admin-account")
                .unwrap();
            assert_eq!(admin["required"], false);
            if admin["ready"] == true {
                Ok(())
            } else {
                Err(admin.to_string())
            }
        },
    )
    .await;
}

async fn role_of(auth: &Auth, password: &str) -> Value {
    let login = json!({"email": ADMIN, "password": password});
    let token = auth
        .post("/api/auth/login", &login)
        .await
        .ok()
        .text("accessToken");
    auth.me(&token).await.ok().body["role"].clone()
}

#[tokio::test]
async fn the_admin_is_made_at_the_start_and_found_at_the_next() {
    let database = Postgres::shared().database().await;
    let folder = tempfile::tempdir().unwrap();
    let sections = section(folder.path(), "the first password");
    for _ in 0..2 {
        let auth = Auth::start_with(&database, &sections).await;
        admin_is_there(&auth).await;
        assert_eq!(role_of(&auth, "the first password").await, "admin");
        auth.stop().await;
    }
    let mut connection = database.connect(Role::Superuser).await;
    let sessions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM auth.sessions WHERE ended_at IS NULL")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(sessions, 2);
}

#[tokio::test]
async fn replicas_that_start_at_once_make_one_admin() {
    let database = Postgres::shared().database().await;
    let folder = tempfile::tempdir().unwrap();
    let sections = section(folder.path(), "the first password");
    let key = SigningKey::generate();
    let starts = (0..4).map(|_| Auth::start_unready(&database, &sections, &key));
    let replicas = futures_util::future::join_all(starts).await;
    for replica in &replicas {
        admin_is_there(replica).await;
    }
    assert_eq!(role_of(&replicas[3], "the first password").await, "admin");
}

#[tokio::test]
async fn another_password_in_the_file_replaces_the_old_one_and_ends_its_sessions() {
    let database = Postgres::shared().database().await;
    let folder = tempfile::tempdir().unwrap();
    let sections = section(folder.path(), "the first password");
    let auth = Auth::start_with(&database, &sections).await;
    admin_is_there(&auth).await;
    let login = json!({"email": ADMIN, "password": "the first password"});
    let session = auth
        .post("/api/auth/login", &login)
        .await
        .ok()
        .text("refreshToken");
    auth.stop().await;

    let sections = section(folder.path(), "the second password");
    let auth = Auth::start_with(&database, &sections).await;
    admin_is_there(&auth).await;
    assert_eq!(role_of(&auth, "the second password").await, "admin");
    auth.post("/api/auth/login", &login)
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&session)
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn who_registered_the_admins_address_first_loses_it() {
    let database = Postgres::shared().database().await;
    let auth = Auth::start(&database).await;
    auth.register(ADMIN).await;
    let session = auth.login(ADMIN).await.ok().text("refreshToken");
    auth.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let auth = Auth::start_with(&database, &section(folder.path(), "the first password")).await;
    admin_is_there(&auth).await;
    assert_eq!(role_of(&auth, "the first password").await, "admin");
    let login = json!({"email": ADMIN, "password": PASSWORD});
    auth.post("/api/auth/login", &login)
        .await
        .assert_problem(401, "unauthorized");
    auth.refresh(&session)
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn secrets_that_cannot_be_used_are_named_before_anything_starts() {
    let database = Postgres::shared().database().await;
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate();
    let missing = "[signing]\nkeyFile = \"/nonexistent/signing-key\"\n".to_owned();
    let not_a_key = folder.path().join("not-a-key");
    std::fs::write(&not_a_key, "hunter2hunter2").unwrap();
    let not_a_key = format!("[signing]\nkeyFile = \"{}\"\n", not_a_key.display());
    let parameters = "[auth]\nhashMemoryKib = 1\n".to_owned();
    for (sections, names) in [
        (missing, "/nonexistent/signing-key"),
        (not_a_key, "not-a-key"),
        (section(folder.path(), "short"), "admin.passwordFile"),
        (parameters, "[auth]"),
    ] {
        let text = harness::config_text(&database, &sections, &key, folder.path());
        let config = shop_common::config::parse(Path::new("auth.toml"), &text).unwrap();
        let Err(error) = shop_auth::start(&config, &Shutdown::new()).await else {
            panic!("started with {sections}");
        };
        assert!(error.to_string().contains(names), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
