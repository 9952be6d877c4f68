//! Bodies, heads and times that are too much, and bytes that are no HTTP.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{
    TestGateway, Upstream, Wishes, client, echo, get, raw, read_all, read_until, request, send,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(
        &[upstream.address],
        "maxBodyBytes = 1000\nbufferBytes = 100",
    )
    .await;
    let sent = "POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\nexpect: 100-continue\r\n\r\n";
    let answer = raw(gateway.address, sent.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let fits = "x".repeat(1000);
    assert_eq!(
        send(
            &client(),
            request(Method::POST, &gateway.url("/api/echo"), &[], &fits)
        )
        .await
        .status,
        200
    );
    let problem = send(
        &client(),
        request(
            Method::POST,
            &gateway.url("/api/echo"),
            &[],
            &"x".repeat(1001),
        ),
    )
    .await;
    problem.assert_problem(413, "too-large");
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_turns_out_too_large_is_refused_midway() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(
        &[upstream.address],
        "maxBodyBytes = 1000\nbufferBytes = 100",
    )
    .await;
    let sent = format!(
        "POST /api/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n{}\r\n1\r\nx\r\n0\r\n\r\n",
        "x".repeat(1000)
    );
    let answer = raw(gateway.address, sent.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("problems/too-large"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], "maxHeadBytes = 8192").await;
    let long = "x".repeat(9000);
    let answer = raw(
        gateway.address,
        format!("GET /api/echo HTTP/1.1\r\nhost: x\r\na: {long}\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_too_slowly_ends_the_connection_but_an_idle_one_may_wait() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], "headMilliseconds = 300").await;
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    let mut slow = TcpStream::connect(gateway.address).await.unwrap();
    let started = Instant::now();
    slow.write_all(b"GET /api/echo HT").await.unwrap();
    assert_eq!(read_all(&mut slow).await, "");
    assert!(started.elapsed() >= Duration::from_millis(300));
    // The idle connection has waited longer than the slow one was allowed to, before and between requests.
    for _ in 0..2 {
        idle.write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        read_until(&mut idle, "\"method\":\"GET\"").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_at_last() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], "idleSeconds = 1").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream
        .write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let started = Instant::now();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() >= Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_given_up_and_bothers_no_upstream() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], "stallMilliseconds = 300").await;
    let sent = "POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    let answer = raw(gateway.address, sent.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains("problems/timeout") && answer.contains("\"status\":408"),
        "{answer}"
    );
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_given_up_although_it_never_stalls() {
    let upstream = Upstream::echo().await;
    let settings = "stallMilliseconds = 300\nbodyMilliseconds = 700";
    let gateway = TestGateway::with(&[upstream.address], settings).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream
        .write_all(b"POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer)
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    dripping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_takes_too_long_is_504() {
    let upstream = Upstream::start(async |_| std::future::pending().await).await;
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![("echo", vec![upstream.address], "timeoutMilliseconds = 400")],
        ..Wishes::default()
    })
    .await;
    let started = Instant::now();
    get(&client(), &gateway.url("/api/echo"))
        .await
        .assert_problem(504, "timeout");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_is_cut_and_not_taken_for_whole() {
    let upstream = Upstream::start(async |_| {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>("first")]);
        let never = futures_util::stream::pending();
        Response::new(Body::from_stream(futures_util::StreamExt::chain(
            first, never,
        )))
    })
    .await;
    let gateway = TestGateway::with(&[upstream.address], "stallMilliseconds = 300").await;
    let answer = raw(
        gateway.address,
        b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    assert!(
        answer.contains("first") && !answer.ends_with("0\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_in_flight_than_allowed_are_refused_at_once() {
    let upstream = Upstream::start(async |request| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        echo(request).await
    })
    .await;
    let gateway = TestGateway::with(&[upstream.address], "maxInFlight = 5").await;
    let client = client();
    let url = gateway.url("/api/echo");
    let answers = futures_util::future::join_all((0..20).map(|_| get(&client, &url))).await;
    let passed = answers.iter().filter(|it| it.status == 200).count();
    assert_eq!(passed, 5);
    for answer in answers.iter().filter(|it| it.status != 200) {
        answer.assert_problem(503, "busy");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(get(&client, &url).await.status, 200, "room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_upstream_leaves_room_for_the_others() {
    let slow = Upstream::start(async |_| std::future::pending().await).await;
    let quick = Upstream::echo().await;
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![
            (
                "order",
                vec![slow.address],
                "maxInFlight = 3\ntimeoutMilliseconds = 3000",
            ),
            ("echo", vec![quick.address], ""),
        ],
        ..Wishes::default()
    })
    .await;
    let client = client();
    let url = gateway.url("/api/orders");
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { get(&client, &url).await })
        })
        .collect();
    while slow.requests() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    get(&client, &url).await.assert_problem(503, "busy");
    assert_eq!(get(&client, &gateway.url("/api/echo")).await.status, 200);
    for answer in waiting {
        answer.await.unwrap().assert_problem(504, "timeout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_two_framings_is_refused_and_the_connection_closed() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let chunked = "transfer-encoding: chunked";
    for framing in [
        format!("content-length: 5\r\n{chunked}"),
        format!("{chunked}\r\ncontent-length: 5"),
        format!("Content-Length : 5\r\n{chunked}"),
        "content-length: 5\r\ncontent-length: 6".to_owned(),
        "content-length: 5, 5".to_owned(),
        "content-length: +5".to_owned(),
        "content-length: -1".to_owned(),
        "transfer-encoding: chunked, gzip".to_owned(),
        "transfer-encoding: identity".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: chunked, chunked".to_owned(),
        "transfer-encoding: identity, chunked".to_owned(),
        format!("{chunked}\r\n{chunked}"),
        format!(" {chunked}"),
    ] {
        let smuggled = "0\r\n\r\nGET /api/echo/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
        let sent = format!("POST /api/echo HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n{smuggled}");
        let answer = raw(gateway.address, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{framing:?}: {answer}");
        assert!(!answer.contains("smuggled"), "{framing:?}: {answer}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_is_refused_and_nothing_after_it_is_a_request() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    for body in [
        "x\r\n",
        "5\r\nhello0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "-1\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
    ] {
        let sent = format!(
            "POST /api/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{body}\
             GET /api/echo/smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(gateway.address, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{body:?}: {answer}");
        assert!(!answer.contains("smuggled\""), "{body:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_one_host_and_strange_methods_are_refused() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    for (sent, status) in [
        ("GET /api/echo HTTP/1.1\r\n\r\n", 400),
        ("GET /api/echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /api/echo HTTP/1.1\r\nhost: a b/../\r\n\r\n", 400),
        (
            "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            405,
        ),
        (
            "TRACE /api/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            405,
        ),
        ("GET /api/echo HTTP/1.0\r\n\r\n", 200),
    ] {
        let answer = raw(gateway.address, sent.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}"))
                || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{sent:?}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let one =
        |path: &str, more: &str| format!("GET /api/echo/{path} HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let sent = one("first", "") + &one("second", "") + &one("third", "connection: close\r\n");
    let answer = raw(gateway.address, sent.as_bytes()).await;
    let places: Vec<_> = ["first", "second", "third"]
        .map(|name| answer.find(&format!("/api/echo/{name}")))
        .into();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_never_brings_the_gateway_down() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let valid = b"POST /api/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-type: a\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for round in 0..400 {
        let mut bytes = if round % 4 == 0 {
            Vec::new()
        } else {
            valid.to_vec()
        };
        for _ in 0..=random(12) {
            let byte = u8::try_from(random(256)).unwrap();
            match random(3) {
                0 if !bytes.is_empty() => {
                    let place = random(bytes.len());
                    bytes[place] = byte;
                }
                1 if !bytes.is_empty() => {
                    bytes.remove(random(bytes.len()));
                }
                _ => bytes.insert(random(bytes.len() + 1), byte),
            }
        }
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        read_all(&mut stream).await;
    }
    assert_eq!(get(&client(), &gateway.url("/api/echo")).await.status, 200);
}
