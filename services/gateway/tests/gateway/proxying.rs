//! What a request and its answer look like on the other side.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::harness::{
    Answer, TestGateway, Upstream, Wishes, client, echo, get, raw, read_until, request, send,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_arrives_as_it_was_sent_and_so_does_the_answer() {
    let upstream = Upstream::start(async |request| {
        let mut response = echo(request).await;
        *response.status_mut() = http::StatusCode::CREATED;
        response
            .headers_mut()
            .insert("location", "/api/echo/1".parse().unwrap());
        response
            .headers_mut()
            .append("set-cookie", "a=1".parse().unwrap());
        response
            .headers_mut()
            .append("set-cookie", "b=2".parse().unwrap());
        response
    })
    .await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let wanted = request(
        Method::POST,
        &gateway.url("/api/echo/a%20b?c=d&e"),
        &[("x-custom", "kept")],
        "{\"a\":1}",
    );
    let answer = send(&client(), wanted).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["location"], "/api/echo/1");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    let seen = answer.json();
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/api/echo/a%20b?c=d&e");
    assert_eq!(seen["body"], "{\"a\":1}");
    assert_eq!(seen["headers"]["x-custom"], "kept");
    assert_eq!(seen["headers"]["content-length"], "7");
    assert_eq!(seen["headers"]["host"], gateway.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_and_trace_headers_are_set_and_a_strangers_are_not_believed() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let forged = [
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-customer-id", "1"),
        ("x-role", "admin"),
        ("x-forwarded-user", "root"),
        ("x-shop-internal", "1"),
        ("connection", "x-dropped"),
        ("x-dropped", "1"),
        ("te", "trailers"),
        ("x-request-id", "mine-1"),
        ("traceparent", trace),
    ];
    let answer = send(
        &client(),
        request(Method::GET, &gateway.url("/api/echo"), &forged, ""),
    )
    .await;
    assert_eq!(answer.headers["x-request-id"], "mine-1");
    let seen = answer.json();
    let headers = &seen["headers"];
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-request-id"], "mine-1");
    assert_eq!(headers["via"], "1.1 shop-gateway");
    let sent = headers["traceparent"].as_str().unwrap();
    assert_eq!(sent[..36], trace[..36]);
    assert_ne!(sent, trace, "each hop has a span of its own");
    for gone in [
        "forwarded",
        "x-customer-id",
        "x-role",
        "x-forwarded-user",
        "x-shop-internal",
        "x-dropped",
        "te",
        "connection",
    ] {
        assert_eq!(headers[gone], Value::Null, "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_forwarding_headers_are_continued() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::with(&[upstream.address], "trustedProxies = ['127.0.0.1']").await;
    let forwarded = [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
    ];
    let answer = send(
        &client(),
        request(Method::GET, &gateway.url("/api/echo"), &forwarded, ""),
    )
    .await;
    assert_eq!(
        answer.json()["headers"]["x-forwarded-for"],
        "192.0.2.7, 127.0.0.1"
    );
    assert_eq!(answer.json()["headers"]["x-forwarded-proto"], "https");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_made_when_the_callers_is_not_sane() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let wanted = request(
        Method::GET,
        &gateway.url("/api/echo"),
        &[("x-request-id", "a b<script>")],
        "",
    );
    let answer = send(&client(), wanted).await;
    let made = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(Uuid::parse_str(made).unwrap().get_version_num(), 7);
    assert_eq!(answer.json()["headers"]["x-request-id"], made);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_service_whose_prefix_they_have_and_nowhere_else() {
    let named = |name: &'static str| {
        Upstream::start(move |_| async move { Response::new(Body::from(name)) })
    };
    let (auth, echo, order, product) = tokio::join!(
        named("auth"),
        named("echo"),
        named("order"),
        named("product")
    );
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![
            ("auth", vec![auth.address], ""),
            ("echo", vec![echo.address], ""),
            ("order", vec![order.address], ""),
            ("product", vec![product.address], ""),
        ],
        ..Wishes::default()
    })
    .await;
    let client = client();
    for (path, name) in [
        ("/api/auth/login", "auth"),
        ("/api/echo", "echo"),
        ("/api/orders/by-key/k", "order"),
        ("/api/products?limit=1", "product"),
        ("/openapi/order.json", "order"),
    ] {
        assert_eq!(
            get(&client, &gateway.url(path)).await.text(),
            name,
            "{path}"
        );
    }
    for path in [
        "/api/ordersx",
        "/internal/holds",
        "/healthz",
        "/metrics",
        "/openapi/none.json",
        "/api",
    ] {
        get(&client, &gateway.url(path))
            .await
            .assert_problem(404, "not-found");
    }
    for path in [
        "/api/echo/../auth",
        "/api/echo/%2e%2e/auth",
        "/api/echo%2fx",
        "/api//echo",
    ] {
        let sent = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(gateway.address, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_describes_itself_and_where_its_services_are_described() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let client = client();
    let index = get(&client, &gateway.url("/")).await.json();
    assert_eq!(index["instance"], "gateway-test");
    assert_eq!(index["routes"][0]["prefix"], "/api/echo");
    assert_eq!(index["routes"][0]["openapi"], "/openapi/echo.json");
    let described = get(&client, &gateway.url("/openapi/echo.json"))
        .await
        .json();
    assert_eq!(described["path"], "/openapi.json");
    let own = get(&client, &gateway.url("/openapi.json")).await.json();
    assert!(own["paths"]["/openapi/{service}.json"].is_object(), "{own}");
    send(&client, request(Method::POST, &gateway.url("/"), &[], ""))
        .await
        .assert_problem(405, "method-not-allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_an_upstream_are_used_again() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    // Clients that come and go: what is kept is the gateway's.
    for _ in 0..50 {
        let answer = send(
            &client(),
            request(Method::POST, &gateway.url("/api/echo"), &[], "body"),
        )
        .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(upstream.requests(), 50);
    assert!(
        upstream.connections() <= 2,
        "{} connections",
        upstream.connections()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_end_where_they_should() {
    let upstream = Upstream::start(async |request| {
        let code: u16 = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        Response::builder()
            .status(code)
            .header("etag", "\"1\"")
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    // One connection, one after the other: an answer that ends wrongly spoils the next.
    let client = client();
    for _ in 0..3 {
        for code in ["204", "304", "200"] {
            let answer = get(&client, &gateway.url(&format!("/api/echo/{code}"))).await;
            assert_eq!((answer.status.as_str(), answer.body.len()), (code, 0));
            assert_eq!(answer.headers["etag"], "\"1\"");
        }
    }
    assert!(upstream.connections() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_length_and_no_body() {
    let upstream = Upstream::start(async |_| Response::new(Body::from("twelve bytes"))).await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let client = client();
    for _ in 0..3 {
        let answer = send(
            &client,
            request(Method::HEAD, &gateway.url("/api/echo"), &[], ""),
        )
        .await;
        assert_eq!(answer.headers["content-length"], "12");
        assert!(answer.body.is_empty());
        assert_eq!(
            get(&client, &gateway.url("/api/echo")).await.text(),
            "twelve bytes"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_streams_through() {
    // 64 MiB that exist in pieces only.
    let upstream = Upstream::start(async |_| {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = futures_util::stream::iter(0..1024)
            .map(move |_| Ok::<_, std::io::Error>(piece.clone()));
        Response::new(Body::from_stream(pieces))
    })
    .await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let response = client()
        .request(request(Method::GET, &gateway.url("/api/echo"), &[], ""))
        .await
        .unwrap();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(length, 64 * 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_body_reaches_the_upstream_before_it_has_ended() {
    let upstream = Upstream::start(async |request| {
        let mut body = request.into_body();
        // The answer comes after the first piece: the client has not sent the second then.
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        Response::new(Body::from(first))
    })
    .await;
    let gateway = TestGateway::with(&[upstream.address], "bufferBytes = 4").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head =
        "POST /api/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "first").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_arrives_whole_whatever_the_method() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    for method in ["POST", "GET", "DELETE"] {
        let sent = format!(
            "{method} /api/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\n"
        );
        let answer = raw(gateway.address, sent.as_bytes()).await;
        assert!(
            answer.contains("\"body\":\"abcdefg\""),
            "{method}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_continue_gets_it_once_the_body_is_wanted() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head =
        "POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"body").await.unwrap();
    let answer = read_until(&mut stream, "\"body\":\"body\"").await;
    assert!(!answer.contains("\"expect\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_works_on_both_sides() {
    let upstream = Upstream::start_at("[::1]:0".parse().unwrap(), echo).await;
    let gateway = TestGateway::start(Wishes {
        upstreams: vec![("echo", vec![upstream.address], "")],
        listen: Some("[::1]:0".parse().unwrap()),
        ..Wishes::default()
    })
    .await;
    let answer: Answer = get(&client(), &gateway.url("/api/echo")).await;
    assert_eq!(answer.json()["headers"]["x-forwarded-for"], "::1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_problem_is_passed_on_as_it_is() {
    let upstream = Upstream::start(async |_| {
        let document =
            r#"{"type":"https://shopctl.dev/problems/sold-out","status":409,"requestId":"theirs"}"#;
        Response::builder()
            .status(409)
            .header("content-type", "application/problem+json")
            .body(Body::from(document))
            .unwrap()
    })
    .await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let answer = get(&client(), &gateway.url("/api/echo")).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["requestId"], "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_address_is_forwarded_as_a_path() {
    let upstream = Upstream::echo().await;
    let gateway = TestGateway::to(&[upstream.address]).await;
    let sent = "GET http://shop.example/api/echo?a=1 HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    let answer = raw(gateway.address, sent.as_bytes()).await;
    assert!(answer.contains("\"path\":\"/api/echo?a=1\""), "{answer}");
}
