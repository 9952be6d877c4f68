//! A gateway that ends: nobody's request is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{
    TestGateway, Upstream, Wishes, client, echo, get, read_all, read_until, request, try_send,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_clients_ends_at_once() {
    let upstream = Upstream::echo().await;
    let mut gateway = TestGateway::to(&[upstream.address]).await;
    let started = Instant::now();
    gateway.stop();
    gateway.ended().await.unwrap();
    // Draining takes 10 s where somebody is to be waited for.
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_answered_and_idle_clients_get_a_last_chance() {
    let upstream = Upstream::start(async |request| {
        if request.uri().path().ends_with("slow") {
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        echo(request).await
    })
    .await;
    let mut gateway = TestGateway::with(&[upstream.address], "lingerMilliseconds = 1000").await;
    let open = async || {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream
            .write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let answer = read_until(&mut stream, "\"body\"").await;
        assert!(!answer.contains("connection: close"), "{answer}");
        stream
    };
    let (mut busy, mut returning, mut idle) = (open().await, open().await, open().await);
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    busy.write_all(b"GET /api/echo/slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    while upstream.requests() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ready = format!("http://{}/readyz", gateway.admin);
    assert_eq!(get(&client(), &ready).await.status, 200);
    gateway.stop();
    while get(&client(), &ready).await.status != 503 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    returning
        .write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = read_all(&mut returning).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
        "{answer}"
    );
    let answer = read_all(&mut busy).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("/api/echo/slow"),
        "{answer}"
    );
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut silent).await, "");
    gateway.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_outlives_the_drain_does_not_keep_the_gateway() {
    let upstream = Upstream::start(async |_| std::future::pending().await).await;
    let mut gateway = TestGateway::with(&[upstream.address], "lingerMilliseconds = 100").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream
        .write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    while upstream.requests() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    gateway.stop();
    gateway.ended().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
}

/// Replicas on one port come and go under load, with clients that keep connections and clients that do not.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_replicas_that_share_a_port_are_replaced() {
    let upstream = Upstream::echo().await;
    let start = async |listen| {
        TestGateway::start(Wishes {
            upstreams: vec![("echo", vec![upstream.address], "")],
            gateway: "lingerMilliseconds = 500",
            listen,
            workers: Some(2),
            ..Wishes::default()
        })
        .await
    };
    let steady = start(None).await;
    let address = steady.address;
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|index| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut client = client();
                let url = format!("http://{address}/api/echo");
                while !over.load(Ordering::Relaxed) {
                    if index % 2 == 0 {
                        client = crate::harness::client();
                    }
                    let answer = try_send(&client, request(Method::POST, &url, &[], "body")).await;
                    let answer = answer.unwrap_or_else(|error| panic!("client {index}: {error}"));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let mut passing = start(Some(address)).await;
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        passing.stop();
        passing.ended().await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    println!("{} requests answered", answered.load(Ordering::Relaxed));
    drop(steady);
}
