//! Access tokens against keys that are published, change and go away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use shop_common::auth::{Admin, Customer, KeySource, MaybeCustomer, TokenRejection};
use shop_common::config::TokenConfig;
use shop_common::server::Shutdown;
use shop_common::telemetry::observe;
use shop_testkit::eventually;
use shop_token::{Issuer, Jwks, Role, SigningKey, VerifyError};
use tower::ServiceExt as _;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(10);

/// A stand-in for auth's published keys: what it answers can change, and it counts.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<(String, usize)>>);

impl Published {
    async fn serve(keys: &Jwks) -> (Self, SocketAddr) {
        let published = Self::default();
        published.publish(keys.to_json());
        let answers = published.clone();
        let router = Router::new().route(
            "/.well-known/jwks.json",
            get(move || {
                let mut state = answers.0.lock().unwrap();
                state.1 += 1;
                std::future::ready(state.0.clone().into_response())
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (published, address)
    }

    fn publish(&self, text: String) {
        self.0.lock().unwrap().0 = text;
    }

    fn fetches(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

fn issuer() -> Issuer {
    Issuer::new(&SigningKey::generate(), "shop-auth", "shop")
}

fn token(issuer: &Issuer, role: Role) -> String {
    issuer.issue(
        Uuid::from_u128(7),
        role,
        Duration::from_mins(5),
        Some("drill-1"),
    )
}

fn config(addresses: &[SocketAddr]) -> TokenConfig {
    TokenConfig {
        jwks_urls: addresses
            .iter()
            .map(|address| format!("http://{address}/.well-known/jwks.json"))
            .collect(),
        ..TokenConfig::default()
    }
}

async fn fetched(source: &KeySource) {
    eventually("the keys", SOON, async || source.check()).await;
}

/// An address that refuses connections.
async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_token_is_good_if_a_published_key_signed_it() {
    let (known, unknown) = (issuer(), issuer());
    let (_published, address) = Published::serve(&known.jwks()).await;
    let source = KeySource::start(&config(&[address]), Shutdown::new()).unwrap();
    let claims = source.verify(&token(&known, Role::Customer)).await.unwrap();
    assert_eq!(claims.sub, Uuid::from_u128(7));
    assert_eq!(
        source
            .verify(&token(&unknown, Role::Customer))
            .await
            .unwrap_err(),
        TokenRejection::Invalid(VerifyError::UnknownKey)
    );
}

#[tokio::test]
async fn the_next_replica_is_asked_when_one_is_down() {
    let known = issuer();
    let (_published, address) = Published::serve(&known.jwks()).await;
    let source = KeySource::start(&config(&[nobody().await, address]), Shutdown::new()).unwrap();
    source.verify(&token(&known, Role::Customer)).await.unwrap();
}

#[tokio::test]
async fn keys_from_a_file_verify_while_auth_is_down() {
    let known = issuer();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, known.jwks().to_json()).unwrap();
    let config = TokenConfig {
        jwks_file: Some(path),
        ..config(&[nobody().await])
    };
    let source = KeySource::start(&config, Shutdown::new()).unwrap();
    source.verify(&token(&known, Role::Customer)).await.unwrap();
}

#[tokio::test]
async fn a_keys_file_that_is_no_key_set_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, "{}").unwrap();
    let config = TokenConfig {
        jwks_file: Some(path.clone()),
        ..TokenConfig::default()
    };
    let message = KeySource::start(&config, Shutdown::new())
        .unwrap_err()
        .to_string();
    assert!(message.contains("tokens.jwksFile"), "{message}");
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[tokio::test]
async fn without_any_key_nobody_can_tell_and_the_answer_is_to_come_back() {
    let source = KeySource::start(&config(&[nobody().await]), Shutdown::new()).unwrap();
    let rejection = source
        .verify(&token(&issuer(), Role::Customer))
        .await
        .unwrap_err();
    assert_eq!(rejection, TokenRejection::NoKeys);
    let (status, _) = ask(
        &source,
        "/customer",
        Some(&token(&issuer(), Role::Customer)),
    )
    .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn invented_key_ids_do_not_make_us_ask_auth_again_and_again() {
    let known = issuer();
    let (published, address) = Published::serve(&known.jwks()).await;
    let source = KeySource::start(&config(&[address]), Shutdown::new()).unwrap();
    fetched(&source).await;
    for _ in 0..50 {
        source
            .verify(&token(&issuer(), Role::Customer))
            .await
            .unwrap_err();
    }
    assert!(published.fetches() <= 2, "{} fetches", published.fetches());
}

#[tokio::test]
async fn the_last_good_keys_stay_when_what_is_published_makes_no_sense() {
    let known = issuer();
    let (published, address) = Published::serve(&known.jwks()).await;
    let source = KeySource::start(&config(&[address]), Shutdown::new()).unwrap();
    fetched(&source).await;
    let before = published.fetches();
    for nonsense in ["{\"keys\":[]}", "no json", &"x".repeat(1 << 20)] {
        published.publish(nonsense.to_owned());
        source.fetch_now().await;
    }
    assert!(published.fetches() >= before + 3);
    source.verify(&token(&known, Role::Customer)).await.unwrap();
}

#[tokio::test]
async fn a_withdrawn_key_s_tokens_are_refused_although_they_were_good_before() {
    let (old, new) = (issuer(), issuer());
    let (published, address) = Published::serve(&old.jwks()).await;
    let source = KeySource::start(&config(&[address]), Shutdown::new()).unwrap();
    let old_token = token(&old, Role::Customer);
    source.verify(&old_token).await.unwrap();
    published.publish(new.jwks().to_json());
    source.fetch_now().await;
    source.verify(&token(&new, Role::Customer)).await.unwrap();
    assert_eq!(
        source.verify(&old_token).await.unwrap_err(),
        TokenRejection::Invalid(VerifyError::UnknownKey)
    );
}

#[derive(Clone)]
struct State {
    keys: KeySource,
}

impl FromRef<State> for KeySource {
    fn from_ref(state: &State) -> Self {
        state.keys.clone()
    }
}

/// The status of a request with a token, and the challenge of the answer.
async fn ask(keys: &KeySource, path: &str, token: Option<&str>) -> (StatusCode, Option<String>) {
    let router = observe(
        Router::new()
            .route(
                "/customer",
                get(async |customer: Customer| customer.id.to_string()),
            )
            .route("/admin", get(async |admin: Admin| admin.id.to_string()))
            .route(
                "/anybody",
                get(async |caller: MaybeCustomer| format!("{caller:?}")),
            )
            .with_state(State { keys: keys.clone() }),
    );
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let challenge = response.headers().get(WWW_AUTHENTICATE);
    (
        response.status(),
        challenge.map(|value| value.to_str().unwrap().to_owned()),
    )
}

#[tokio::test]
async fn handlers_let_in_whom_they_ask_for() {
    let issuer = issuer();
    let keys = KeySource::fixed(&issuer.jwks(), &TokenConfig::default());
    let customer = token(&issuer, Role::Customer);
    let admin = token(&issuer, Role::Admin);
    for (path, token, status) in [
        ("/customer", Some(&customer), 200),
        ("/customer", Some(&admin), 200),
        ("/customer", None, 401),
        ("/admin", Some(&admin), 200),
        ("/admin", Some(&customer), 403),
        ("/admin", None, 401),
        ("/anybody", None, 200),
        ("/anybody", Some(&customer), 200),
        ("/anybody", Some(&"nonsense".to_owned()), 401),
    ] {
        let (actual, _) = ask(&keys, path, token.map(String::as_str)).await;
        assert_eq!(
            actual,
            StatusCode::from_u16(status).unwrap(),
            "{path} with {token:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_access_says_how_to_get_it() {
    let keys = KeySource::fixed(&issuer().jwks(), &TokenConfig::default());
    let (_, challenge) = ask(&keys, "/customer", None).await;
    assert_eq!(challenge.as_deref(), Some("Bearer"));
    let (_, challenge) = ask(&keys, "/customer", Some("nonsense")).await;
    assert_eq!(challenge.as_deref(), Some("Bearer error=\"invalid_token\""));
}
