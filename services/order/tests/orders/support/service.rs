//! The real `shopd order` as a process, and a client of it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shop_testkit::{
    Database, Folder, Launch, Postgres, Process, RedisUser, Role as Owner, Sentinels, eventually,
    free_port,
};
use shop_token::{Issuer, Role, SigningKey};
use sqlx::PgPool;
use uuid::Uuid;

use super::tables::migrate;

/// How long anything may take that is not being measured.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A shop without its other services: a database with their tables, keys, and a folder for files.
pub(crate) struct World {
    /// Sees and may everything.
    pub(crate) pool: PgPool,
    /// Where Postgres listens.
    pub(crate) postgres_port: u16,
    database_name: String,
    order_password: PathBuf,
    redis_section: String,
    issuer: Issuer,
    folder: Folder,
    /// Dropped with the world; absent on a server of the test's own, which takes it along.
    _database: Option<Database<'static>>,
}

impl World {
    /// A world on the servers that all tests share.
    pub(crate) async fn shared() -> Self {
        Self::with_redis(shared_redis()).await
    }

    /// A world on the Postgres that all tests share, and a Redis of the test's own.
    pub(crate) async fn with_redis(redis: &Sentinels) -> Self {
        let database = Postgres::shared().database().await;
        let world = Self::of(&database, redis).await;
        Self {
            _database: Some(database),
            ..world
        }
    }

    /// A world on a Postgres of the test's own, which stays free to be broken.
    pub(crate) async fn with_postgres(server: &Postgres) -> Self {
        let database = server.database().await;
        let world = Self::of(&database, shared_redis()).await;
        // Dropping it would drop the database at once; it ends with its server.
        std::mem::forget(database);
        world
    }

    async fn of(database: &Database<'_>, redis: &Sentinels) -> Self {
        migrate(database).await;
        Self {
            pool: database.pool(Owner::Superuser, 4).await,
            postgres_port: database.port(),
            database_name: database.name().to_owned(),
            order_password: database.password_file(Owner::Order).to_owned(),
            redis_section: redis.config_section(RedisUser::Order),
            issuer: Issuer::new(&SigningKey::generate(), "shop-auth", "shop"),
            folder: Folder::new(),
            _database: None,
        }
    }

    /// A customer's token.
    pub(crate) fn token(&self, customer: Uuid) -> String {
        self.issuer
            .issue(customer, Role::Customer, Duration::from_mins(15), None)
    }

    /// The token of a customer of a test.
    pub(crate) fn tagged_token(&self, customer: Uuid, tag: &str) -> String {
        self.issuer
            .issue(customer, Role::Customer, Duration::from_mins(15), Some(tag))
    }

    /// An administrator's token.
    pub(crate) fn admin_token(&self) -> String {
        self.issuer
            .issue(Uuid::now_v7(), Role::Admin, Duration::from_mins(15), None)
    }

    /// Starts a replica on the database itself, and waits until it is ready.
    pub(crate) async fn start(&self) -> Service {
        self.start_with(self.postgres_port, "").await
    }

    /// Starts a replica that reaches Postgres by a port of this machine, with settings for `[order]`.
    pub(crate) async fn start_with(&self, postgres_port: u16, settings: &str) -> Service {
        let service = self.spawn(postgres_port, settings);
        service.ready().await;
        service
    }

    /// Starts a replica and does not wait.
    pub(crate) fn spawn(&self, postgres_port: u16, settings: &str) -> Service {
        let name = format!("order-{}", Uuid::new_v4().simple());
        let jwks = self
            .folder
            .write("jwks.json", &self.issuer.jwks().to_json());
        let (port, admin_port) = (free_port(), free_port());
        let config = format!(
            "instance = \"{name}\"\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\nadminListen = \"127.0.0.1:{admin_port}\"\ndrainSeconds = 5\n\
             [tokens]\njwksFile = \"{}\"\n\
             [postgres]\nhost = \"127.0.0.1\"\nport = {postgres_port}\ndatabase = \"{}\"\nuser = \"shop_order\"\n\
             passwordFile = \"{}\"\n\
             # Longer than any test waits: whatever ends a decision, it is not this.\n\
             statementTimeoutMilliseconds = 60000\n{}[order]\n{settings}\n",
            jwks.display(),
            self.database_name,
            self.order_password.display(),
            self.redis_section,
        );
        let file = self.folder.write(&format!("{name}.toml"), &config);
        let log = self.folder.path().join(format!("{name}.log"));
        let process = Process::spawn(Launch::shopd("order", &name, &file, log));
        Service {
            process,
            name,
            client: Client::builder().timeout(SOON).build().unwrap(),
            address: format!("http://127.0.0.1:{port}"),
            admin_address: format!("http://127.0.0.1:{admin_port}"),
        }
    }
}

/// Redis under Sentinels for all tests that do not break it.
pub(crate) fn shared_redis() -> &'static Sentinels {
    static SHARED: OnceLock<Sentinels> = OnceLock::new();
    SHARED.get_or_init(Sentinels::start)
}

/// An order as a client sends it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) key: String,
    pub(crate) product: Uuid,
    pub(crate) quantity: u32,
}

impl Order {
    /// One piece, with a new key.
    pub(crate) fn of(product: Uuid) -> Self {
        Self {
            key: Uuid::new_v4().to_string(),
            product,
            quantity: 1,
        }
    }
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) replayed: bool,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    /// The slug of a problem.
    pub(crate) fn problem(&self) -> &str {
        let slug = self.body["type"].as_str().unwrap_or_default();
        slug.rsplit('/').next().unwrap_or_default()
    }

    /// The id of an order.
    pub(crate) fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_default()
    }

    /// The document without what belongs to the one request.
    pub(crate) fn meaning(&self) -> Value {
        let mut meaning = self.body.clone();
        if let Some(members) = meaning.as_object_mut() {
            members.remove("requestId");
            members.remove("instance");
        }
        meaning
    }
}

/// A running replica.
pub(crate) struct Service {
    process: Process,
    name: String,
    client: Client,
    address: String,
    admin_address: String,
}

impl Service {
    /// Waits until it is ready, with Redis, so that locks are taken from the first order on.
    pub(crate) async fn ready(&self) {
        self.until_report(|report| {
            let names = report["dependencies"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            report["ready"] == true && names.iter().all(|dependency| dependency["ready"] == true)
        })
        .await;
    }

    /// Waits for a report of `/readyz`.
    pub(crate) async fn until_report(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let check = || async {
            let url = format!("{}/readyz", self.admin_address);
            let answer = self
                .client
                .get(url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            let report: Value = answer.json().await.map_err(|error| error.to_string())?;
            if wanted(&report) {
                Ok(report)
            } else {
                Err(report.to_string())
            }
        };
        eventually(&format!("the readiness of {}", self.name), SOON, check).await
    }

    /// A request to the public API.
    pub(crate) fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.address))
            .bearer_auth(token)
    }

    /// Sends an order; an error is a connection that gave no answer. The process may be signalled meanwhile.
    pub(crate) fn send(
        &self,
        token: &str,
        order: &Order,
    ) -> impl Future<Output = reqwest::Result<Answer>> + Send + use<> {
        let request = self
            .request(Method::POST, "/api/orders", token)
            .header("idempotency-key", &order.key)
            .json(&json!({"productId": order.product, "quantity": order.quantity}));
        async move { hear(request.send().await?).await }
    }

    /// Places an order and expects an answer.
    pub(crate) async fn place(&self, token: &str, order: &Order) -> Answer {
        self.send(token, order).await.unwrap()
    }

    /// Reads something.
    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        hear(self.request(Method::GET, path, token).send().await.unwrap())
            .await
            .unwrap()
    }

    /// Asks what became of a key.
    pub(crate) async fn by_key(&self, token: &str, key: &str) -> Answer {
        self.get(token, &format!("/api/orders/by-key/{key}")).await
    }

    /// The value of a metric with these labels.
    pub(crate) async fn metric(&self, line_begins: &str) -> Option<f64> {
        let url = format!("{}/metrics", self.admin_address);
        let text = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = text.lines().find(|line| line.starts_with(line_begins))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills the process with SIGKILL, starts it anew and waits until it is ready.
    pub(crate) async fn kill_and_start_again(&mut self) {
        self.process.respawn();
        self.ready().await;
    }

    /// Waits for the end of the process, and says whether it was a good one.
    pub(crate) fn ended_well(&mut self) -> bool {
        self.process.wait(SOON).success()
    }
}

/// Reads an answer.
pub(crate) async fn hear(response: reqwest::Response) -> reqwest::Result<Answer> {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (replayed, location, retry_after) = (
        header("idempotent-replayed").is_some_and(|value| value == "true"),
        header("location"),
        header("retry-after"),
    );
    let status = response.status();
    let bytes = response.bytes().await?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Ok(Answer {
        status,
        replayed,
        location,
        retry_after,
        body,
    })
}
