//! The real process, `shopd product`: killed in the middle of its work, and ended in an orderly way.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shop_testkit::{Database, Folder, Launch, Process, Role, eventually, free_port};
use shop_token::{Issuer, SigningKey};
use sqlx::PgPool;
use uuid::Uuid;

use crate::service::{INTERNAL_TOKEN, config_text, empty};
use crate::sql::{Stock, new_product, stock};

const PATIENCE: Duration = Duration::from_secs(30);
const HOLDS: usize = 60;

struct Shopd {
    process: Process,
    api: Api,
    _folder: Folder,
}

/// How to reach it, whether or not it is there.
#[derive(Clone)]
struct Api {
    client: Client,
    internal: String,
    admin: String,
}

impl Shopd {
    async fn start(database: &Database<'_>) -> Self {
        let folder = Folder::new();
        let [public, admin, internal] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let issuer = Issuer::new(&SigningKey::generate(), "shop-auth", "shop");
        let text = config_text(database, &folder, &issuer, [&public, &admin, &internal]);
        let file = folder.write("product.toml", &text);
        let log = folder.path().join("log");
        let process = Process::spawn(Launch::shopd("product", "product-0", &file, log));
        let client = Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let api = Api {
            client,
            internal: format!("http://{internal}"),
            admin: format!("http://{admin}"),
        };
        let started = Self {
            process,
            api,
            _folder: folder,
        };
        started.ready().await;
        started
    }

    async fn ready(&self) {
        let url = format!("{}/readyz", self.api.admin);
        eventually("product to be ready", PATIENCE, async || {
            let answer = self.api.client.get(&url).send().await;
            match answer.map_err(|error| error.to_string())?.status() {
                StatusCode::OK => Ok(()),
                status => Err(format!("{status}; {}", self.process.log_tail())),
            }
        })
        .await;
    }
}

impl Api {
    /// The verdict about one key, or nothing if there was no answer.
    async fn tell(&self, path: &str, body: &Value) -> Option<String> {
        let request = self
            .client
            .post(format!("{}{path}", self.internal))
            .json(body);
        let answer = request.bearer_auth(INTERNAL_TOKEN).send().await.ok()?;
        let body: Value = answer.json().await.ok()?;
        body["items"][0]["verdict"].as_str().map(str::to_owned)
    }

    /// Holds and confirms one piece, and asks again until both are answered, as any caller has to. Says how often
    /// there was no answer.
    async fn buy(self, product: Uuid, number: usize) -> usize {
        let key = format!("hold-{number}");
        let item = json!({
            "key": key,
            "productId": product,
            "customerId": Uuid::now_v7(),
            "quantity": 1,
            "ttlSeconds": 3600,
        });
        let mut unanswered = 0;
        for (path, body, good) in [
            ("/internal/holds", json!({"items": [item]}), "held"),
            (
                "/internal/holds/confirm",
                json!({"keys": [key]}),
                "confirmed",
            ),
        ] {
            let deadline = Instant::now() + PATIENCE;
            loop {
                match self.tell(path, &body).await.as_deref() {
                    Some(verdict) if verdict == good => break,
                    Some(other) => panic!("{path} says {other}"),
                    None => unanswered += 1,
                }
                assert!(Instant::now() < deadline, "{path} does not answer");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        unanswered
    }
}

async fn count(pool: &PgPool, status: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM product.holds WHERE status = $1")
        .bind(status)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_service_that_is_killed_again_and_again_sells_each_hold_once() {
    let database = empty().await;
    let mut service = Shopd::start(&database).await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 100, None).await;
    let buyers = (0..HOLDS).map(|number| service.api.clone().buy(mug, number));
    let buyers = tokio::spawn(futures_util::future::join_all(buyers.collect::<Vec<_>>()));
    for share in 0..4 {
        // From before the first to three quarters of the work, wherever each caller stands then.
        let done = i64::try_from(HOLDS * share / 4).unwrap();
        eventually("work to be under way", PATIENCE, async || {
            match count(&pool, "confirmed").await {
                confirmed if confirmed >= done => Ok(()),
                confirmed => Err(format!("{confirmed} confirmed")),
            }
        })
        .await;
        service.process.respawn();
        service.ready().await;
    }
    let unanswered: usize = buyers.await.unwrap().into_iter().sum();
    assert!(unanswered > 0, "nobody noticed that the service was killed");
    assert_eq!(count(&pool, "confirmed").await, 60);
    assert_eq!(count(&pool, "held").await, 0);
    let expected = Stock {
        received: 100,
        free: 40,
        held: 0,
        sold: 60,
    };
    assert_eq!(stock(&pool, mug).await, expected);
}

#[tokio::test]
async fn a_service_that_is_asked_to_end_ends_well() {
    let database = empty().await;
    let mut service = Shopd::start(&database).await;
    let status = service
        .process
        .stop(Signal::SIGTERM, Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{}", service.process.log_tail());
}
