//! A gateway of the test's own, upstreams that do what the test says, and clients.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use shop_common::server::Shutdown;
use shop_gateway::{Config, Gateway, GatewayError};
use shop_token::{Claims, Issuer, Role, SigningKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Longer than anything here should take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// An upstream in this process. Dropped, it is gone, with all its connections.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Upstream {
    /// One that answers with a function.
    pub(crate) async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    /// The same at an address of the test's choice.
    pub(crate) async fn start_at<F, Fut>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, opened) = (Arc::clone(&requests), Arc::clone(&connections));
        let listener = listener.tap_io(move |stream| {
            stream.set_nodelay(true).unwrap();
            opened.fetch_add(1, Ordering::SeqCst);
        });
        let router = axum::Router::new().fallback(move |request: Request| {
            let probe = request.uri().path() == "/healthz";
            if !probe {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let answer = answer.clone();
            async move {
                if probe {
                    Response::default()
                } else {
                    answer(request).await
                }
            }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            requests,
            connections,
            serving,
        }
    }

    /// One that answers 200 with what it got, as JSON.
    pub(crate) async fn echo() -> Self {
        Self::start(echo).await
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers with the request as JSON: method, path with query, headers (the last of each name) and body.
pub(crate) async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let seen = serde_json::json!({
        "method": parts.method.as_str(),
        "path": parts.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    Response::new(Body::from(seen.to_string()))
}

/// A gateway of the test's own.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) shutdown: Shutdown,
    serving: Option<JoinHandle<Result<(), GatewayError>>>,
    _folder: tempfile::TempDir,
    issuer: Issuer,
}

/// What a test wants to be different.
#[derive(Default)]
pub(crate) struct Wishes<'a> {
    /// `[upstreams.NAME]`: endpoints, and more lines of the section.
    pub(crate) upstreams: Vec<(&'a str, Vec<SocketAddr>, &'a str)>,
    /// More lines of the file, after `[gateway]`.
    pub(crate) gateway: &'a str,
    /// Where to listen; a free port otherwise.
    pub(crate) listen: Option<SocketAddr>,
    /// More sections.
    pub(crate) sections: &'a str,
    /// Where to fetch keys instead of reading them from a file.
    pub(crate) jwks_url: Option<&'a str>,
    /// Worker threads; one otherwise.
    pub(crate) workers: Option<usize>,
}

impl TestGateway {
    /// One that passes everything below `/api/echo` to some endpoints.
    pub(crate) async fn to(endpoints: &[SocketAddr]) -> Self {
        Self::with(endpoints, "").await
    }

    /// The same with settings of the test's choice.
    pub(crate) async fn with(endpoints: &[SocketAddr], gateway: &str) -> Self {
        Self::start(Wishes {
            upstreams: vec![("echo", endpoints.to_vec(), "")],
            gateway,
            ..Wishes::default()
        })
        .await
    }

    /// One as wished.
    pub(crate) async fn start(wishes: Wishes<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::new(&test_key(), "shop-auth", "shop");
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks().to_json()).unwrap();
        let config = parse(&text(&wishes, &jwks));
        let shutdown = Shutdown::new();
        let gateway = Gateway::bind(config, shutdown.clone()).await.unwrap();
        let (address, admin) = (gateway.address(), gateway.admin_address());
        let serving = Some(tokio::spawn(gateway.serve()));
        Self {
            address,
            admin,
            shutdown,
            serving,
            _folder: folder,
            issuer,
        }
    }

    /// A token of a customer.
    pub(crate) fn token(&self, subject: Uuid) -> String {
        self.issuer
            .issue(subject, Role::Customer, Duration::from_mins(15), None)
    }

    /// A token that was good until a minute ago.
    pub(crate) fn ended_token(&self, subject: Uuid) -> String {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        self.issuer.sign(&Claims {
            iss: "shop-auth".to_owned(),
            aud: "shop".to_owned(),
            sub: subject,
            role: Role::Customer,
            iat: now - 960,
            exp: now - 60,
            jti: Uuid::now_v7(),
            test: None,
        })
    }

    /// Asks the gateway to end.
    pub(crate) fn stop(&self) {
        self.shutdown.trigger();
    }

    /// Waits until it has ended, and gives how.
    pub(crate) async fn ended(&mut self) -> Result<(), GatewayError> {
        tokio::time::timeout(LIMIT, self.serving.take().unwrap())
            .await
            .expect("the gateway did not end")
            .unwrap()
    }

    /// A metric's value, summed over its labels that hold a text.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = get(&client(), &format!("http://{}/metrics", self.admin))
            .await
            .text();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// One key for all gateways, so that replicas accept the same tokens.
fn test_key() -> SigningKey {
    static KEY: Mutex<Option<SigningKey>> = Mutex::new(None);
    KEY.lock()
        .unwrap()
        .get_or_insert_with(SigningKey::generate)
        .clone()
}

/// A configuration file's content.
pub(crate) fn text(wishes: &Wishes<'_>, jwks: &Path) -> String {
    use std::fmt::Write as _;
    let listen = wishes
        .listen
        .map_or_else(|| "127.0.0.1:0".to_owned(), |it| it.to_string());
    let mut text = format!(
        "instance = 'gateway-test'\n[http]\nlisten = '{listen}'\nadminListen = '127.0.0.1:0'\nworkers = {}\ndrainSeconds = 5\n\
         [tokens]\n{}\n[gateway]\n{}\n",
        wishes.workers.unwrap_or(1),
        wishes.jwks_url.map_or_else(
            || format!("jwksFile = '{}'", jwks.display()),
            |url| format!("jwksUrls = ['{url}']"),
        ),
        wishes.gateway,
    );
    for (name, endpoints, more) in &wishes.upstreams {
        let endpoints: Vec<String> = endpoints.iter().map(|it| format!("'{it}'")).collect();
        writeln!(
            text,
            "[upstreams.{name}]\nendpoints = [{}]\n{more}",
            endpoints.join(", ")
        )
        .unwrap();
    }
    text + wishes.sections
}

fn parse(text: &str) -> Config {
    shop_common::config::parse(Path::new("gateway.toml"), text).unwrap()
}

pub(crate) type Client = HttpClient<HttpConnector, Full<Bytes>>;

/// A client that keeps its connections.
pub(crate) fn client() -> Client {
    HttpClient::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http()
}

/// An answer that has been read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts a problem document of a kind, complete.
    pub(crate) fn assert_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let document = self.json();
        assert_eq!(
            document["type"],
            format!("https://shopctl.dev/problems/{slug}"),
            "{document}"
        );
        assert_eq!(document["status"], status, "{document}");
        assert_eq!(
            document["requestId"],
            self.headers["x-request-id"].to_str().unwrap(),
            "{document}"
        );
        assert!(
            document["instance"].as_str().unwrap().starts_with('/'),
            "{document}"
        );
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(client: &Client, request: http::Request<Full<Bytes>>) -> Answer {
    try_send(client, request).await.unwrap()
}

/// The same, if it works.
pub(crate) async fn try_send(
    client: &Client,
    request: http::Request<Full<Bytes>>,
) -> Result<Answer, String> {
    tokio::time::timeout(LIMIT, async {
        let response = client
            .request(request)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| format!("{error:?}"))?
            .to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    })
    .await
    .expect("no answer in time")
}

pub(crate) async fn get(client: &Client, url: &str) -> Answer {
    send(client, request(Method::GET, url, &[], "")).await
}

pub(crate) fn request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> http::Request<Full<Bytes>> {
    let builder = http::Request::builder().method(method).uri(url);
    let builder = headers.iter().fold(builder, |builder, (name, value)| {
        builder.header(*name, *value)
    });
    builder
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

/// Sends bytes as they are and reads until the gateway closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The gateway may well close before everything is written.
    let _ = stream.write_all(bytes).await;
    read_all(&mut stream).await
}

/// Reads until the gateway closes.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, async {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
    })
    .await
    .expect("the gateway did not close the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until a text has come.
pub(crate) async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, async {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains(wanted) {
            let count = stream.read(&mut piece).await.unwrap();
            assert!(
                count > 0,
                "closed before {wanted:?}: {:?}",
                String::from_utf8_lossy(&answer)
            );
            answer.extend_from_slice(&piece[..count]);
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{wanted:?} did not come"));
    String::from_utf8_lossy(&answer).into_owned()
}
