//! Request rates, alone and shared between replicas.

use http::Method;
use shop_testkit::{RedisUser, Sentinels};
use uuid::Uuid;

use crate::harness::{Client, TestGateway, Upstream, Wishes, client, get, request, send};

const TIGHT: &str = "[gateway.limits]\nlocalAddresses = []\n\
    anonymous = { perSecond = 0.01, burst = 3 }\ncustomer = { perSecond = 0.01, burst = 5 }\n";

async fn status(client: &Client, gateway: &TestGateway, headers: &[(&str, &str)]) -> u16 {
    send(
        client,
        request(Method::GET, &gateway.url("/api/echo"), headers, ""),
    )
    .await
    .status
    .as_u16()
}

async fn passed(
    client: &Client,
    gateway: &TestGateway,
    headers: &[(&str, &str)],
    tries: usize,
) -> usize {
    let mut passed = 0;
    for _ in 0..tries {
        passed += usize::from(status(client, gateway, headers).await == 200);
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_limited_by_their_own_bucket_and_not_by_their_address() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], TIGHT).await;
    let client = client();
    for _ in 0..3 {
        // Each time with another token, as after a refresh: it is the subject that counts.
        let subject = Uuid::now_v7();
        let (one, two) = (gateway.token(subject), gateway.token(subject));
        let (one, two) = (format!("Bearer {one}"), format!("Bearer {two}"));
        assert_eq!(
            passed(&client, &gateway, &[("authorization", &one)], 3).await,
            3
        );
        assert_eq!(
            passed(&client, &gateway, &[("authorization", &two)], 5).await,
            2
        );
    }
    assert_eq!(passed(&client, &gateway, &[], 6).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_often_is_told_the_limit_and_when_to_come_back() {
    let upstream = Upstream::echo().await;
    let settings =
        "[gateway.limits]\nlocalAddresses = []\nanonymous = { perSecond = 0.5, burst = 1 }\n";
    let gateway = TestGateway::with(&[upstream.address], settings).await;
    let client = client();
    assert_eq!(get(&client, &gateway.url("/api/echo")).await.status, 200);
    let answer = get(&client, &gateway.url("/api/echo")).await;
    answer.assert_problem(429, "rate-limited");
    assert_eq!(answer.headers["retry-after"], "2");
    assert_eq!(answer.headers["ratelimit-policy"], "\"anonymous\";q=1;w=2");
    assert_eq!(answer.headers["ratelimit"], "\"anonymous\";r=0;t=2");
    assert_eq!(upstream.requests(), 1);
    assert!(gateway.metric("gateway_rate_limited_total", "").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_is_limited_by_address() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], TIGHT).await;
    let client = client();
    let mut seen = Vec::new();
    for guess in 0..5 {
        seen.push(
            status(
                &client,
                &gateway,
                &[("authorization", &format!("Bearer guess{guess}"))],
            )
            .await,
        );
    }
    assert_eq!(seen, [401, 401, 401, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let upstream = Upstream::echo().await;
    let client = client();
    let stranger = TestGateway::with(&[upstream.address], TIGHT).await;
    let mut answered = 0;
    for caller in 0..6 {
        let forwarded = format!("192.0.2.{caller}");
        answered += passed(&client, &stranger, &[("x-forwarded-for", &forwarded)], 1).await;
    }
    assert_eq!(answered, 3, "a stranger cannot have many addresses");

    let proxied = TestGateway::with(
        &[upstream.address],
        &format!("trustedProxies = ['127.0.0.1']\n{TIGHT}"),
    )
    .await;
    for caller in 0..3 {
        let forwarded = format!("6.6.6.6, 192.0.2.{caller}");
        assert_eq!(
            passed(&client, &proxied, &[("x-forwarded-for", &forwarded)], 4).await,
            3
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_from_local_addresses_have_a_limit_of_their_own() {
    let upstream = Upstream::echo().await;
    let settings = "[gateway.limits]\nanonymous = { perSecond = 0.01, burst = 1 }\n\
        local = { perSecond = 0.01, burst = 20 }\n";
    let gateway = TestGateway::with(&[upstream.address], settings).await;
    assert_eq!(passed(&client(), &gateway, &[], 25).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_limit_by_way_of_redis_and_go_on_without_it() {
    let mut sentinels = tokio::task::spawn_blocking(Sentinels::start).await.unwrap();
    let upstream = Upstream::echo().await;
    let section = sentinels.config_section(RedisUser::Gateway);
    let start = || {
        TestGateway::start(Wishes {
            upstreams: vec![("echo", vec![upstream.address], "")],
            gateway: "[gateway.limits]\nshareMilliseconds = 50\ncustomer = { perSecond = 0.01, burst = 40 }\n",
            sections: &section,
            ..Wishes::default()
        })
    };
    let (one, two) = (start().await, start().await);
    let client = client();
    for gateway in [&one, &two] {
        let url = format!("http://{}/readyz", gateway.admin);
        while !get(&client, &url).await.json()["dependencies"]
            .to_string()
            .contains("master")
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    // In turns, so that each replica learns what the other let through.
    let bearer = format!("Bearer {}", one.token(Uuid::now_v7()));
    let headers = [("authorization", bearer.as_str())];
    let mut together = 0;
    for _ in 0..20 {
        for gateway in [&one, &two] {
            together += passed(&client, gateway, &headers, 4).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(120)).await;
    }
    // Alone, each would let 40 through; each may overshoot by what it does not tell or learn in one round.
    assert!(
        (40..=60).contains(&together),
        "{together} passed two replicas with one limit of 40"
    );

    for server in 0..3 {
        sentinels.kill9(server);
    }
    let bearer = format!("Bearer {}", one.token(Uuid::now_v7()));
    assert_eq!(
        passed(&client, &one, &[("authorization", &bearer)], 50).await,
        40,
        "without Redis each limits alone"
    );
}
