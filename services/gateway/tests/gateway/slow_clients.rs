//! Whose fault it is when a request takes long: the client's that sends slowly, or the upstream's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{LIMIT, TestGateway, Upstream, Wishes, client, echo, get, read_until};

/// Two failures would open the circuit, and for long enough to be seen.
const TOUCHY: &str = "breakerFailures = 2\nbreakerOpenMilliseconds = 60000\nbufferBytes = 4\n";

async fn gateway(endpoint: SocketAddr, timeout: &str, settings: &str) -> TestGateway {
    TestGateway::start(Wishes {
        upstreams: vec![("echo", vec![endpoint], timeout)],
        gateway: &format!("{TOUCHY}{settings}"),
        ..Wishes::default()
    })
    .await
}

/// Posts a body byte by byte and gives the head of the answer.
async fn trickle(address: SocketAddr, length: usize, sent: usize, pause: Duration) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let head = format!("POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    let drip = async move {
        writing.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..sent {
            if writing.write_all(b"x").await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        // Kept open: an end would be another story.
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    let read = tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer);
    tokio::select! {
        outcome = tokio::time::timeout(LIMIT, read) => { outcome.expect("no answer").unwrap(); }
        () = drip => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_trickle_for_longer_than_the_upstream_may_take_succeed_and_hold_up_nobody() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(upstream.address, "timeoutMilliseconds = 2500", "").await;
    let uploads =
        tokio::spawn(join_all((0..6).map(|_| {
            trickle(gateway.address, 40, 40, Duration::from_millis(100))
        })));
    let (client, url) = (client(), gateway.url("/api/echo"));
    let mut others = 0;
    while !uploads.is_finished() {
        assert_eq!(get(&client, &url).await.status, 200);
        others += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(others > 10, "{others}");
    assert_eq!(uploads.await.unwrap(), ["HTTP/1.1 200"; 6]);
    assert!(
        gateway
            .metric("gateway_open_circuits", &upstream.address.to_string())
            .await
            < 0.5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_given_up_are_the_clients_fault() {
    let upstream = Upstream::echo().await;
    let limits = "stallMilliseconds = 3000\nbodyMilliseconds = 6000";
    let gateway = gateway(upstream.address, "timeoutMilliseconds = 2500", limits).await;
    // Half of them never stall but take too long, the others stall.
    let uploads = (0..6).map(|number| {
        let sent = if number % 2 == 0 { 1000 } else { 10 };
        trickle(gateway.address, 2000, sent, Duration::from_millis(30))
    });
    assert_eq!(join_all(uploads).await, ["HTTP/1.1 408"; 6]);
    assert!(upstream.requests() >= 6, "they were on their way");
    assert_eq!(
        get(&client(), &gateway.url("/api/echo")).await.status,
        200,
        "the circuit is closed"
    );
    assert!(
        gateway
            .metric("gateway_open_circuits", &upstream.address.to_string())
            .await
            < 0.5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_slow_after_a_slow_upload_still_opens_its_circuit() {
    let upstream = Upstream::start(async |request: axum::extract::Request| {
        if request.method() == http::Method::POST {
            let _ = axum::body::to_bytes(request.into_body(), 10_000).await;
            std::future::pending::<()>().await;
            unreachable!()
        }
        echo(request).await
    })
    .await;
    let gateway = gateway(upstream.address, "timeoutMilliseconds = 1500", "").await;
    let uploads = (0..2).map(|_| trickle(gateway.address, 20, 20, Duration::from_millis(100)));
    assert_eq!(join_all(uploads).await, ["HTTP/1.1 504"; 2]);
    get(&client(), &gateway.url("/api/echo"))
        .await
        .assert_problem(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_take_the_body_is_late_and_not_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let limits = "maxBodyBytes = 100000000\nstallMilliseconds = 2500\nsilenceMilliseconds = 60000";
    let gateway = gateway(address, "timeoutMilliseconds = 5000", limits).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let started = Instant::now();
    let pouring = tokio::spawn(async move {
        let head = b"POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 90000000\r\n\r\n";
        writing.write_all(head).await.unwrap();
        let piece = vec![b'x'; 65_536];
        while writing.write_all(&piece).await.is_ok() {}
    });
    let mut answer = [0; 12];
    let read = tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer);
    tokio::time::timeout(LIMIT, read).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504", "after {:?}", started.elapsed());
    pouring.abort();
    holding.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_small_body_takes_no_place_at_the_upstream() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![("echo", vec![upstream.address], "maxInFlight = 2")],
        ..Wishes::default()
    })
    .await;
    let mut slow = Vec::new();
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            let head = format!("POST /api/echo HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            slow.push((stream, framing.starts_with("transfer")));
        }
    }
    let client = client();
    for _ in 0..20 {
        assert_eq!(get(&client, &gateway.url("/api/echo")).await.status, 200);
    }
    assert_eq!(upstream.requests(), 20, "no slow body bothered it");
    for (mut stream, chunked) in slow {
        let body: &[u8] = if chunked {
            b"a\r\n0123456789\r\n0\r\n\r\n"
        } else {
            b"0123456789"
        };
        stream.write_all(body).await.unwrap();
        read_until(&mut stream, "\"body\":\"0123456789\"").await;
    }
}
