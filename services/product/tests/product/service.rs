//! The service under test: in this process, on ports of its own, on a database of the test's own.

use std::path::Path;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use shop_common::server::Shutdown;
use shop_product::Config;
use shop_testkit::{Database, Folder, Postgres, Role, eventually};
use shop_token::{Issuer, SigningKey};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const INTERNAL_TOKEN: &str = "between services";

/// A running service.
pub(crate) struct Service {
    client: Client,
    issuer: Issuer,
    public: String,
    internal: String,
    admin: String,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    _folder: Folder,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller {
    Nobody,
    Customer,
    Admin,
    /// A customer of a test run.
    Test(&'static str),
    /// An administrator of a test run.
    TestAdmin(&'static str),
    /// A service with the internal token.
    Internal,
}

/// An answer with its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Service {
    /// On a database of its own in the shared server, ready. The database is kept by the caller.
    pub(crate) async fn start(database: &Database<'_>) -> Self {
        let service = Self::start_unready(database).await;
        service.ready().await;
        service
    }

    pub(crate) async fn start_unready(database: &Database<'_>) -> Self {
        let folder = Folder::new();
        let issuer = Issuer::new(&SigningKey::generate(), "shop-auth", "shop");
        let text = config_text(database, &folder, &issuer, ["127.0.0.1:0"; 3]);
        let config: Config = shop_common::config::parse(Path::new("product.toml"), &text).unwrap();
        let shutdown = Shutdown::new();
        let server = shop_product::start(&config, &shutdown).await.unwrap();
        let addresses = server.addresses().unwrap();
        Self {
            client: Client::new(),
            issuer,
            public: format!("http://{}", addresses[0]),
            internal: format!("http://{}", addresses[1]),
            admin: format!("http://{}", server.admin_address().unwrap()),
            serving: tokio::spawn(server.serve(shutdown.clone())),
            shutdown,
            _folder: folder,
        }
    }

    pub(crate) async fn ready(&self) {
        eventually(
            "the service to be ready",
            Duration::from_secs(30),
            async || {
                let readiness = self.readiness().await;
                match readiness.status {
                    StatusCode::OK => Ok(()),
                    _ => Err(readiness.body.to_string()),
                }
            },
        )
        .await;
    }

    pub(crate) async fn readiness(&self) -> Answer {
        let url = format!("{}/readyz", self.admin);
        Answer::of(self.client.get(url).send().await.unwrap()).await
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.admin);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// A call to the public API.
    pub(crate) async fn call(
        &self,
        caller: Caller,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.send(&self.public, caller, method, path, body).await
    }

    pub(crate) async fn get(&self, caller: Caller, path: &str) -> Answer {
        self.call(caller, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, caller: Caller, path: &str, body: Value) -> Answer {
        self.call(caller, Method::POST, path, Some(body)).await
    }

    /// A call to the internal API.
    pub(crate) async fn internal(&self, caller: Caller, path: &str, body: Value) -> Answer {
        self.send(&self.internal, caller, Method::POST, path, Some(body))
            .await
    }

    pub(crate) async fn internal_document(&self, caller: Caller) -> Answer {
        self.send(&self.internal, caller, Method::GET, "/openapi.json", None)
            .await
    }

    /// Makes a product as an administrator and gives back its id.
    pub(crate) async fn product(&self, sku: &str, stock: i64) -> String {
        let answer = self
            .post(Caller::Admin, "/api/products", new_product(sku, stock))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Ends the service as SIGTERM does, and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.serving.await.unwrap();
    }

    async fn send(
        &self,
        base: &str,
        caller: Caller,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{base}{path}"));
        if let Some(token) = self.token(caller) {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    fn token(&self, caller: Caller) -> Option<String> {
        let (role, test) = match caller {
            Caller::Nobody => return None,
            Caller::Internal => return Some(INTERNAL_TOKEN.to_owned()),
            Caller::Customer => (shop_token::Role::Customer, None),
            Caller::Admin => (shop_token::Role::Admin, None),
            Caller::Test(tag) => (shop_token::Role::Customer, Some(tag)),
            Caller::TestAdmin(tag) => (shop_token::Role::Admin, Some(tag)),
        };
        Some(
            self.issuer
                .issue(Uuid::now_v7(), role, Duration::from_mins(15), test),
        )
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self {
            status,
            headers,
            body,
        }
    }

    /// Asserts that it is a problem document of a kind, and gives back its detail.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(
            self.body["type"],
            format!("https://shopctl.dev/problems/{slug}")
        );
        assert!(self.body["requestId"].is_string());
        self.body["detail"].as_str().unwrap_or_default().to_owned()
    }
}

/// The service's file, with its public, admin and internal address.
pub(crate) fn config_text(
    database: &Database<'_>,
    folder: &Folder,
    issuer: &Issuer,
    [public, admin, internal]: [&str; 3],
) -> String {
    let keys = folder.write("jwks.json", &issuer.jwks().to_json());
    let token = folder.write("internal-token", INTERNAL_TOKEN);
    format!(
        "instance = \"product-0\"\n[http]\nlisten = \"{public}\"\nadminListen = \"{admin}\"\n\
         [internal]\nlisten = \"{internal}\"\ntokenFile = \"{}\"\n[tokens]\njwksFile = \"{}\"\n\
         [product]\nsweepMilliseconds = 100\n{}",
        token.display(),
        keys.display(),
        database.config_section(Role::Product, 4),
    )
}

/// The body that makes a product.
pub(crate) fn new_product(sku: &str, stock: i64) -> Value {
    json!({
        "sku": sku,
        "name": "Mug",
        "description": "Holds coffee",
        "price": {"amountMinor": 1250, "currency": "EUR"},
        "stock": stock,
    })
}

/// An empty database in the shared server: the service migrates it.
pub(crate) async fn empty() -> Database<'static> {
    Postgres::shared().database().await
}
