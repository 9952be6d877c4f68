//! The service under test: in this process, on ports of its own, on a database of the test's own.

#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use shop_auth::Config;
use shop_common::server::Shutdown;
use shop_testkit::{Database, Role, eventually};
use shop_token::{Issuer, SigningKey};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Hashes that cost next to nothing, and nobody limited: for tests that are about something else.
pub(crate) const CHEAP: &str =
    "[auth]\nhashMemoryKib = 64\nhashIterations = 1\nattemptsBurst = 1000\n";

/// A running service.
pub(crate) struct Auth {
    pub(crate) key: SigningKey,
    pub(crate) folder: TempDir,
    pub(crate) client: Client,
    base: String,
    admin_base: String,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

/// An answer with its body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Auth {
    /// Starts a service with cheap hashes and waits until it is ready.
    pub(crate) async fn start(database: &Database<'_>) -> Self {
        Self::start_with(database, CHEAP).await
    }

    /// Starts a service with these sections, and waits until it is ready.
    pub(crate) async fn start_with(database: &Database<'_>, sections: &str) -> Self {
        let auth = Self::start_unready(database, sections, &SigningKey::generate()).await;
        auth.ready().await;
        auth
    }

    /// Starts a service, ready or not.
    pub(crate) async fn start_unready(
        database: &Database<'_>,
        sections: &str,
        key: &SigningKey,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = config_text(database, sections, key, folder.path());
        Self::start_from(&text, folder, key).await
    }

    /// Starts a service from a configuration file's text, ready or not.
    pub(crate) async fn start_from(text: &str, folder: TempDir, key: &SigningKey) -> Self {
        let config: Config = shop_common::config::parse(Path::new("auth.toml"), text).unwrap();
        let shutdown = Shutdown::new();
        let server = shop_auth::start(&config, &shutdown).await.unwrap();
        let base = format!("http://{}", server.addresses().unwrap()[0]);
        let admin_base = format!("http://{}", server.admin_address().unwrap());
        let serving = tokio::spawn(server.serve(shutdown.clone()));
        Self {
            key: key.clone(),
            folder,
            // A test that waits for ever says nothing.
            client: Client::builder()
                .timeout(Duration::from_mins(1))
                .build()
                .unwrap(),
            base,
            admin_base,
            shutdown,
            serving,
        }
    }

    /// Ends the service as SIGTERM does, and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.serving.await.unwrap();
    }

    pub(crate) async fn readiness(&self) -> Answer {
        let url = format!("{}/readyz", self.admin_base);
        Answer::of(self.client.get(url).send().await.unwrap()).await
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

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.admin_base);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, None, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(Method::GET, path, token, None).await
    }

    pub(crate) async fn register(&self, email: &str) -> Answer {
        let body = json!({"email": email, "password": PASSWORD});
        self.post("/api/auth/register", &body).await
    }

    pub(crate) async fn login(&self, email: &str) -> Answer {
        let body = json!({"email": email, "password": PASSWORD});
        self.post("/api/auth/login", &body).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/auth/refresh", &json!({"refreshToken": token}))
            .await
    }

    pub(crate) async fn logout(&self, token: &str) -> Answer {
        self.post("/api/auth/logout", &json!({"refreshToken": token}))
            .await
    }

    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.get("/api/auth/me", Some(token)).await
    }

    /// Registers a new customer, logs in, and gives the session's refresh token.
    pub(crate) async fn session(&self) -> String {
        let email = format!("{}@example.org", Uuid::now_v7());
        assert_eq!(self.register(&email).await.status, StatusCode::CREATED);
        self.login(&email).await.ok().text("refreshToken")
    }

    /// A token that this service's key has signed, for whomever.
    pub(crate) fn mint(&self, role: shop_token::Role, test: Option<&str>) -> String {
        let issuer = Issuer::new(&self.key, "shop-auth", "shop");
        issuer.issue(Uuid::now_v7(), role, Duration::from_mins(1), test)
    }
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Self {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// Itself, if it is a 200.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self
    }

    pub(crate) fn text(&self, member: &str) -> String {
        let text = self.body[member].as_str();
        text.unwrap_or_else(|| panic!("no `{member}` in {}", self.body))
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is a problem document of this kind.
    pub(crate) fn assert_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(
            self.body["type"],
            format!("https://shopctl.dev/problems/{slug}")
        );
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["requestId"], self.header("x-request-id"));
    }
}

/// A configuration file: what every test needs, and the sections of this one. Keys are written to the folder.
pub(crate) fn config_text(
    database: &Database<'_>,
    sections: &str,
    key: &SigningKey,
    folder: &Path,
) -> String {
    let key_file = folder.join("signing-key");
    std::fs::write(&key_file, key.to_pem().unwrap()).unwrap();
    let postgres = database.config_section(Role::Auth, 8);
    // A test that has something to say about keys says all of it.
    let signing = if sections.contains("[signing]") {
        String::new()
    } else {
        format!("[signing]\nkeyFile = \"{}\"\n", key_file.display())
    };
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nadminListen = \"127.0.0.1:0\"\n{postgres}{signing}{sections}"
    )
}
