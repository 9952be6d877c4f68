//! Upstreams that die, hang, break off or fail: what is sent again, and what is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use http::Method;
use shop_testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Answer, TestGateway, Upstream, client, echo, get, request, send};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// An upstream that reads a request's head and then closes without an answer. Counts the requests it read.
async fn breaks_off() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let count = stream.read(&mut head).await.unwrap();
                if head[..count].starts_with(b"GET /healthz") {
                    let _ = stream
                        .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                        .await;
                } else {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    (address, requests)
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// An endpoint that takes connections and never says a word, like a stopped process.
fn silent() -> (SocketAddr, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// A request that waits: counted as long as its handler lives.
struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const KEY: (&str, &str) = ("idempotency-key", "order-1");

async fn order(gateway: &TestGateway, headers: &[(&str, &str)]) -> Answer {
    send(
        &client(),
        request(
            Method::POST,
            &gateway.url("/api/echo"),
            headers,
            "{\"quantity\":1}",
        ),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_sent_again_elsewhere_when_the_connection_breaks() {
    let (broken, seen) = breaks_off().await;
    let well = Upstream::echo().await;
    let gateway = TestGateway::with(&[broken, well.address], "breakerFailures = 1000").await;
    for _ in 0..20 {
        let answer = order(&gateway, &[KEY]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["body"], "{\"quantity\":1}");
        assert_eq!(answer.json()["headers"]["idempotency-key"], "order-1");
    }
    assert!(seen.load(Ordering::SeqCst) >= 5, "the broken one was tried");
    assert_eq!(well.requests(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_key_is_never_sent_twice() {
    let (broken, seen) = breaks_off().await;
    let well = Upstream::echo().await;
    let gateway = TestGateway::with(&[broken, well.address], "breakerFailures = 1000").await;
    let mut broke = 0;
    for _ in 0..20 {
        let answer = order(&gateway, &[]).await;
        if answer.status != 200 {
            answer.assert_problem(502, "unavailable");
            broke += 1;
        }
    }
    assert!(broke >= 5);
    assert_eq!(seen.load(Ordering::SeqCst), broke);
    assert_eq!(
        seen.load(Ordering::SeqCst) + well.requests(),
        20,
        "each was sent once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_body_is_never_sent_twice() {
    let (broken, seen) = breaks_off().await;
    let gateway =
        TestGateway::with(&[broken, broken], "bufferBytes = 4\nbreakerFailures = 1000").await;
    order(&gateway, &[KEY])
        .await
        .assert_problem(502, "unavailable");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn even_a_request_without_a_key_goes_elsewhere_when_nobody_listens() {
    let well = Upstream::echo().await;
    let gateway = TestGateway::to(&[nobody(), well.address]).await;
    for _ in 0..10 {
        assert_eq!(order(&gateway, &[]).await.status, 200);
    }
    assert_eq!(well.requests(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_503_is_tried_elsewhere_if_that_is_safe() {
    let draining = Upstream::start(async |_| {
        Response::builder()
            .status(503)
            .header("retry-after", "7")
            .body(Body::from("draining"))
            .unwrap()
    })
    .await;
    let well = Upstream::echo().await;
    let gateway = TestGateway::to(&[draining.address, well.address]).await;
    for _ in 0..10 {
        assert_eq!(order(&gateway, &[KEY]).await.status, 200);
    }
    let mut passed_on = 0;
    for _ in 0..10 {
        let answer = order(&gateway, &[]).await;
        if answer.status == 503 {
            assert_eq!(
                (
                    answer.text().as_str(),
                    answer.headers["retry-after"].as_bytes()
                ),
                ("draining", b"7".as_slice())
            );
            passed_on += 1;
        }
    }
    assert!(
        passed_on > 0,
        "without a key it is the service's answer that counts"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn second_tries_are_a_share_of_requests() {
    let (broken, seen) = breaks_off().await;
    let settings = "breakerFailures = 1000000\nretryShare = 0.0\nretryBurst = 3";
    let gateway = TestGateway::with(&[broken], settings).await;
    for _ in 0..10 {
        order(&gateway, &[KEY])
            .await
            .assert_problem(502, "unavailable");
    }
    assert_eq!(
        seen.load(Ordering::SeqCst),
        13,
        "ten requests and a budget of three second tries"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_service_is_refused_at_once_and_found_again_when_it_is_back() {
    let upstream = Upstream::echo().await;
    let address = upstream.address;
    let gateway = TestGateway::to(&[address]).await;
    let client = client();
    let url = gateway.url("/api/echo");
    assert_eq!(get(&client, &url).await.status, 200);
    drop(upstream);
    // A connection that is open ends a moment later than the listener.
    let answer = eventually("the service to be gone", LIMIT, async || {
        let answer = get(&client, &url).await;
        match answer.status.as_u16() {
            200 => Err(answer.text()),
            _ => Ok(answer),
        }
    })
    .await;
    assert!(
        matches!(answer.status.as_u16(), 502 | 503),
        "{}",
        answer.text()
    );
    let started = Instant::now();
    for _ in 0..20 {
        let answer = get(&client, &url).await;
        answer.assert_problem(503, "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert!(started.elapsed() < LIMIT);
    let ready = format!("http://{}/readyz", gateway.admin);
    let report = get(&client, &ready).await.json();
    assert!(
        report["ready"].as_bool().unwrap(),
        "the gateway itself is well: {report}"
    );
    assert!(
        report.to_string().contains("no endpoint answers of echo"),
        "{report}"
    );
    let label = format!("endpoint=\"{address}\"");
    assert!(gateway.metric("gateway_open_circuits", &label).await > 0.5);
    let _back = Upstream::start_at(address, echo).await;
    let returned = Instant::now();
    while get(&client, &url).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(returned.elapsed() < LIMIT, "not found again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_keeps_requests_away_from_an_endpoint_that_fails() {
    let failing =
        Upstream::start(async |_| Response::builder().status(500).body(Body::empty()).unwrap())
            .await;
    let well = Upstream::echo().await;
    let settings = "breakerFailures = 3\nbreakerOpenMilliseconds = 60000";
    let gateway = TestGateway::with(&[failing.address, well.address], settings).await;
    let client = client();
    for _ in 0..40 {
        get(&client, &gateway.url("/api/echo")).await;
    }
    assert_eq!(failing.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_replica_costs_a_request_with_a_key_less_than_a_second() {
    let (hanging, _listener) = silent();
    let well = Upstream::echo().await;
    let gateway = TestGateway::to(&[hanging, well.address]).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let started = Instant::now();
        assert_eq!(order(&gateway, &[KEY]).await.status, 200);
        slowest = slowest.max(started.elapsed());
    }
    println!("slowest request beside a hanging replica: {slowest:?}");
    assert!(
        slowest >= Duration::from_millis(250),
        "the hanging one was tried"
    );
    // The service's own limit is 10 s: what is left is for a busy machine.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert_eq!(well.requests(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_key_that_hangs_is_given_up_with_the_replica_and_not_repeated() {
    let (hanging, _listener) = silent();
    let well = Upstream::echo().await;
    let gateway = TestGateway::to(&[hanging, well.address]).await;
    let started = Instant::now();
    let (one, two) = tokio::join!(order(&gateway, &[]), order(&gateway, &[]));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(well.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_replica_is_not_taken_for_a_hanging_one() {
    let slow = Upstream::start(async |request| {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        echo(request).await
    })
    .await;
    let well = Upstream::start(async |request| {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        echo(request).await
    })
    .await;
    let gateway = TestGateway::to(&[slow.address, well.address]).await;
    let answers = futures_util::future::join_all((0..6).map(|_| order(&gateway, &[]))).await;
    assert!(answers.iter().all(|it| it.status == 200));
    assert_eq!(slow.requests() + well.requests(), 6);
    assert!(slow.requests() > 0 && well.requests() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_its_request_along() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&waiting);
    let upstream = Upstream::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let waits = Waits(Arc::clone(&counted));
        async move {
            std::future::pending::<()>().await;
            drop(waits);
            Response::default()
        }
    })
    .await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.address)
        .await
        .unwrap();
    stream
        .write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let until = async |count: usize| {
        let started = Instant::now();
        while waiting.load(Ordering::SeqCst) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{count} did not come"
            );
        }
    };
    until(1).await;
    drop(stream);
    until(0).await;
}

/// An upstream that answers every request with the same bytes.
async fn says(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while stream.read(&mut piece).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_changes_the_protocol_or_the_coding_is_not_passed_on() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let gateway = TestGateway::to(&[says(answer).await]).await;
        get(&client(), &gateway.url("/api/echo"))
            .await
            .assert_problem(502, "unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_two_framings_is_passed_on_with_the_one_that_counts() {
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let gateway = TestGateway::to(&[says(both).await]).await;
    let answer = get(&client(), &gateway.url("/api/echo")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "ok")
    );
    assert!(!answer.headers.contains_key("content-length"));
}
