//! Bearer tokens at the gateway.

use std::time::Duration;

use http::Method;
use shop_token::{Issuer, Role, SigningKey};
use uuid::Uuid;

use crate::harness::{TestGateway, Upstream, Wishes, client, get, request, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_is_passed_on_and_none_is_fine_too() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let client = client();
    let bearer = format!("Bearer {}", gateway.token(Uuid::now_v7()));
    let url = gateway.url("/api/echo");
    let headers = [("authorization", bearer.as_str())];
    let answer = send(&client, request(Method::GET, &url, &headers, "")).await;
    assert_eq!(answer.json()["headers"]["authorization"], bearer);
    assert_eq!(get(&client, &url).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_refused_before_any_upstream_sees_it() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let client = client();
    let subject = Uuid::now_v7();
    let strangers = Issuer::new(&SigningKey::generate(), "shop-auth", "shop");
    let stolen = strangers.issue(subject, Role::Admin, Duration::from_mins(15), None);
    let good = gateway.token(subject);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{signed}.");
    let altered = format!("{signed}.A{}", &signature[1..]);
    for authorization in [
        format!("Bearer {stolen}"),
        format!("Bearer {unsigned}"),
        format!("Bearer {altered}"),
        "Bearer x".to_owned(),
        "Bearer".to_owned(),
        "Basic YTpi".to_owned(),
    ] {
        let headers = [("authorization", authorization.as_str())];
        let wanted = request(Method::GET, &gateway.url("/api/echo"), &headers, "");
        let answer = send(&client, wanted).await;
        answer.assert_problem(401, "unauthorized");
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_is_refused() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let bearer = format!("Bearer {}", gateway.ended_token(Uuid::now_v7()));
    let headers = [("authorization", bearer.as_str())];
    let answer = send(
        &client(),
        request(Method::GET, &gateway.url("/api/echo"), &headers, ""),
    )
    .await;
    answer.assert_problem(401, "unauthorized");
    assert!(answer.text().contains("expired"), "{}", answer.text());
}

/// A client refreshes because its token has expired, and sends the expired one along.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_token_is_needed_a_bad_one_counts_as_none() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![
            ("auth", vec![upstream.address], ""),
            ("product", vec![upstream.address], ""),
        ],
        ..Wishes::default()
    })
    .await;
    let client = client();
    let expired = format!("Bearer {}", gateway.ended_token(Uuid::now_v7()));
    for authorization in [expired.as_str(), "Bearer x", "Bearer", "Basic YTpi"] {
        let headers = [("authorization", authorization)];
        let ask = async |method: Method, path: &str| {
            send(&client, request(method, &gateway.url(path), &headers, "")).await
        };
        for (method, path) in [
            (Method::POST, "/api/auth/login"),
            (Method::POST, "/api/auth/refresh"),
            (Method::POST, "/api/auth/logout"),
            (Method::GET, "/api/products"),
            (Method::GET, "/api/products/1?a=b"),
        ] {
            let answer = ask(method, path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert!(answer.json()["headers"]["authorization"].is_null());
        }
        assert_eq!(ask(Method::GET, "/").await.status, 200);
        for (method, path) in [
            (Method::GET, "/api/auth/me"),
            (Method::POST, "/api/auth/register"),
            (Method::POST, "/api/products"),
            (Method::DELETE, "/api/products/1"),
        ] {
            ask(method, path).await.assert_problem(401, "unauthorized");
        }
    }
    let good = format!("Bearer {}", gateway.token(Uuid::now_v7()));
    let headers = [("authorization", good.as_str())];
    let wanted = request(Method::GET, &gateway.url("/api/products"), &headers, "");
    let answer = send(&client, wanted).await;
    assert_eq!(answer.json()["headers"]["authorization"], good);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_from_auth_and_kept_when_it_is_gone() {
    let key = SigningKey::generate();
    let issuer = Issuer::new(&key, "shop-auth", "shop");
    let document = issuer.jwks().to_json();
    let auth = Upstream::start(move |_| {
        let document = document.clone();
        async move { axum::response::Response::new(document.into()) }
    })
    .await;
    let upstream = Upstream::echo().await;
    let urls = format!("http://{}/.well-known/jwks.json", auth.address);
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![("echo", vec![upstream.address], "")],
        jwks_url: Some(&urls),
        ..Wishes::default()
    })
    .await;
    let client = client();
    let bearer = |issuer: &Issuer| {
        let token = issuer.issue(
            Uuid::now_v7(),
            Role::Customer,
            Duration::from_mins(15),
            None,
        );
        format!("Bearer {token}")
    };
    let url = gateway.url("/api/echo");
    let first = bearer(&issuer);
    let status = async |authorization: &str| {
        let headers = [("authorization", authorization)];
        send(&client, request(Method::GET, &url, &headers, ""))
            .await
            .status
            .as_u16()
    };
    while status(&first).await != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(auth);
    // A new token: the verdict cannot come from a cache.
    assert_eq!(status(&bearer(&issuer)).await, 200);
    assert_eq!(
        status(&bearer(&Issuer::new(
            &SigningKey::generate(),
            "shop-auth",
            "shop"
        )))
        .await,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_keys_the_gateway_is_not_ready_and_says_so() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![("echo", vec![upstream.address], "")],
        jwks_url: Some("http://127.0.0.1:1/jwks.json"),
        ..Wishes::default()
    })
    .await;
    let client = client();
    let ready = get(&client, &format!("http://{}/readyz", gateway.admin)).await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    let bearer = format!("Bearer {}", gateway.token(Uuid::now_v7()));
    let headers = [("authorization", bearer.as_str())];
    send(
        &client,
        request(Method::GET, &gateway.url("/api/echo"), &headers, ""),
    )
    .await
    .assert_problem(503, "unavailable");
    assert_eq!(get(&client, &gateway.url("/api/echo")).await.status, 200);
}
