//! Negative controls: shops that are wrong on purpose, on a real Postgres and a real Redis. What the checks do not find
//! in them they would not find in ours either.
//!
//! Each takes one shortcut that real shops take. The same customers, the same faults, the same checks as in a drill.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use shop_testkit::{Durability, Postgres, Redis, RedisUser, Role};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use super::check::{Check, check};
use super::history::{
    BookedOrder, Books, Ending, Fault, FaultKind, HISTORY_VERSION, OrderSeen, Phase, Plan,
    ProductBooks, ProductStock, Record,
};
use super::journal::Journal;
use super::recorder::Recorder;
use super::stage::{Customer, Stage};
use crate::report::Verdict;
use crate::shop::Shop;

/// Pieces of the product that runs out.
const SCARCE: i64 = 20;
const PLENTY: i64 = 100_000;
const RATE: u32 = 200;
const PART: Duration = Duration::from_millis(1_500);

/// What is wrong with a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Nothing.
    Nothing,
    /// A counter in Redis decides who gets a piece.
    StockInRedis,
    /// "Thank you for your order" comes before the commit.
    AckBeforeCommit,
    /// A repeated request is a new one.
    NoIdempotency,
}

#[derive(Clone)]
struct Service {
    wrong: Wrong,
    pool: PgPool,
    redis: redis::Client,
    /// Cuts some connections after the work is done and before the answer is out.
    cuts: Arc<AtomicBool>,
    requests: Arc<AtomicU32>,
}

impl Service {
    async fn order(&self, customer: Uuid, key: &str, product: Uuid) -> Result<Response, String> {
        let id = Uuid::now_v7();
        if self.wrong == Wrong::AckBeforeCommit {
            let (service, key) = (self.clone(), key.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let _ = service.decide(id, customer, &key, product).await;
            });
            return Ok((StatusCode::CREATED, Json(document(id, product))).into_response());
        }
        if self.wrong == Wrong::StockInRedis && !self.counted_down(product).await? {
            return Ok(sold_out());
        }
        Ok(match self.decide(id, customer, key, product).await? {
            Some(id) => (StatusCode::CREATED, Json(document(id, product))).into_response(),
            None => sold_out(),
        })
    }

    /// Whether Redis has a piece left. A counter that is not there is filled from the catalogue.
    async fn counted_down(&self, product: Uuid) -> Result<bool, String> {
        let (pieces,): (i64,) =
            sqlx::query_as("SELECT received FROM orders.stock WHERE product = $1")
                .bind(product)
                .fetch_one(&self.pool)
                .await
                .map_err(|error| error.to_string())?;
        let mut connection = self
            .redis
            .get_multiplexed_async_connection()
            .await
            .map_err(|error| error.to_string())?;
        let key = format!("stock:{product}");
        let (left,): (i64,) = redis::pipe()
            .cmd("SET")
            .arg(&key)
            .arg(pieces)
            .arg("NX")
            .ignore()
            .cmd("DECR")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        Ok(left >= 0)
    }

    /// Takes the stock and writes the order in one transaction. None: sold out.
    async fn decide(
        &self,
        id: Uuid,
        customer: Uuid,
        key: &str,
        product: Uuid,
    ) -> Result<Option<Uuid>, String> {
        let decided = async {
            let mut transaction = self.pool.begin().await?;
            if self.wrong != Wrong::NoIdempotency {
                let claimed = sqlx::query(
                    "INSERT INTO orders.keys VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                )
                .bind(customer)
                .bind(key)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
                if claimed.rows_affected() == 0 {
                    return find(&self.pool, customer, key).await;
                }
            }
            let enough = if self.wrong == Wrong::StockInRedis {
                ""
            } else {
                " AND free > 0"
            };
            let taken = sqlx::query(sqlx::AssertSqlSafe(format!(
                "UPDATE orders.stock SET free = free - 1, sold = sold + 1 WHERE product = $1{enough}"
            )))
            .bind(product)
            .execute(&mut *transaction)
            .await?;
            if taken.rows_affected() == 1 {
                sqlx::query("INSERT INTO orders.placed VALUES ($1, $2, $3, $4)")
                    .bind(id)
                    .bind(customer)
                    .bind(key)
                    .bind(product)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok::<_, sqlx::Error>((taken.rows_affected() == 1).then_some(id))
        };
        decided.await.map_err(|error| error.to_string())
    }
}

async fn find(pool: &PgPool, customer: Uuid, key: &str) -> Result<Option<Uuid>, sqlx::Error> {
    let found: Option<(Uuid,)> =
        sqlx::query_as("SELECT id FROM orders.placed WHERE customer = $1 AND key = $2 LIMIT 1")
            .bind(customer)
            .bind(key)
            .fetch_optional(pool)
            .await?;
    Ok(found.map(|(id,)| id))
}

fn document(id: Uuid, product: Uuid) -> Value {
    json!({
        "id": id, "productId": product, "quantity": 1,
        "unitPrice": {"amountMinor": 100, "currency": "EUR"},
    })
}

fn sold_out() -> Response {
    let problem = json!({"type": "https://shopctl.dev/problems/sold-out"});
    (StatusCode::CONFLICT, Json(problem)).into_response()
}

/// The customer: tokens here are their names.
fn customer(headers: &HeaderMap) -> Uuid {
    let token = headers["authorization"].to_str().unwrap();
    token.trim_start_matches("Bearer ").parse().unwrap()
}

fn unavailable(reason: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

async fn place(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap();
    let product = body["productId"].as_str().unwrap().parse().unwrap();
    let number = service.requests.fetch_add(1, Ordering::Relaxed);
    let answer = service.order(customer(&headers), key, product).await;
    if service.cuts.load(Ordering::Relaxed) && number.is_multiple_of(5) {
        let cut = futures_util::stream::iter([Err::<&[u8], _>(std::io::Error::other("cut"))]);
        return (StatusCode::CREATED, Body::from_stream(cut)).into_response();
    }
    answer.unwrap_or_else(unavailable)
}

async fn read(State(service): State<Service>, Path(id): Path<Uuid>) -> Response {
    let found: Result<Option<(Uuid,)>, _> =
        sqlx::query_as("SELECT product FROM orders.placed WHERE id = $1")
            .bind(id)
            .fetch_optional(&service.pool)
            .await;
    match found {
        Ok(Some((product,))) => Json(document(id, product)).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unavailable(error.to_string()),
    }
}

async fn by_key(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(key): Path<String>,
) -> Response {
    let customer = customer(&headers);
    match find(&service.pool, customer, &key).await {
        Ok(Some(id)) => read(State(service), Path(id)).await,
        Ok(None) => {
            let claimed: Result<Option<(Uuid,)>, _> =
                sqlx::query_as("SELECT id FROM orders.keys WHERE customer = $1 AND key = $2")
                    .bind(customer)
                    .bind(&key)
                    .fetch_optional(&service.pool)
                    .await;
            match claimed {
                Ok(Some(_)) => sold_out(),
                Ok(None) => StatusCode::NOT_FOUND.into_response(),
                Err(error) => unavailable(error.to_string()),
            }
        }
        Err(error) => unavailable(error.to_string()),
    }
}

async fn tables(pool: &PgPool, stage: &Stage) {
    for statement in [
        "CREATE TABLE orders.stock (product uuid PRIMARY KEY, received bigint, free bigint, sold bigint)",
        "CREATE TABLE orders.keys (customer uuid, key text, id uuid, PRIMARY KEY (customer, key))",
        "CREATE TABLE orders.placed (id uuid, customer uuid, key text, product uuid)",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    for (product, pieces) in [(stage.plenty, PLENTY), (stage.scarce, SCARCE)] {
        sqlx::query("INSERT INTO orders.stock VALUES ($1, $2, $2, 0)")
            .bind(product)
            .bind(pieces)
            .execute(pool)
            .await
            .unwrap();
    }
}

async fn account(pool: &PgPool, journal: &Journal) {
    let stock: Vec<(Uuid, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT product, received, free, sold,
                (SELECT count(*) FROM orders.placed AS o WHERE o.product = s.product)
         FROM orders.stock AS s",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let at = journal.phase(Phase::Accounting);
    let products = stock
        .into_iter()
        .map(|(product, received, free, sold, ordered)| ProductBooks {
            product,
            received,
            free,
            held: 0,
            sold,
            ordered,
        });
    journal.write(Record::Books(Books {
        at,
        products: products.collect(),
        overdue_micros: 0,
    }));
    let orders: Vec<(Uuid, Uuid, String, Uuid)> =
        sqlx::query_as("SELECT id, customer, key, product FROM orders.placed")
            .fetch_all(pool)
            .await
            .unwrap();
    for (id, customer, key, product) in orders {
        let order = OrderSeen {
            id,
            product,
            quantity: 1,
            unit_price_minor: 100,
            currency: "EUR".to_owned(),
        };
        journal.write(Record::Order(BookedOrder {
            customer,
            key,
            order,
        }));
    }
}

fn pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(options.clone())
}

/// Drills a shop: Postgres is killed, Redis loses what it knew, and some connections are cut.
async fn drill(wrong: Wrong) -> Vec<Check> {
    let mut postgres = Postgres::start(Durability::Off);
    let redis = Redis::start();
    let options = {
        let database = postgres.database().await;
        let options = database.options(Role::Order);
        // Its end is the server's.
        std::mem::forget(database);
        options
    };
    let stage = Arc::new(Stage {
        tag: String::new(),
        customers: (0..10)
            .map(|_| Uuid::now_v7())
            .map(|id| Customer {
                id,
                token: id.to_string(),
            })
            .collect(),
        accounts: Vec::new(),
        plenty: Uuid::now_v7(),
        scarce: Uuid::now_v7(),
        sale: None,
    });
    let service = Service {
        wrong,
        pool: pool(&options),
        redis: redis::Client::open(redis.url(RedisUser::Admin)).unwrap(),
        cuts: Arc::default(),
        requests: Arc::default(),
    };
    tables(&service.pool, &stage).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/api/orders", post(place))
        .route("/api/orders/{id}", get(read))
        .route("/api/orders/by-key/{key}", get(by_key))
        .with_state(service.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let file: File = tempfile::tempfile().unwrap();
    let journal = Arc::new(Journal::new(file));
    journal.write(Record::Plan(plan(&stage)));
    let recorder = Recorder::new(Shop::at(url), Arc::clone(&journal), Arc::clone(&stage));
    journal.phase(Phase::Steady);
    recorder
        .record(RATE, async {
            tokio::time::sleep(PART).await;
            journal.phase(Phase::Faulty);
            service.cuts.store(true, Ordering::Relaxed);
            redis.command(&["FLUSHALL"]).unwrap();
            journal.write(Record::Fault(Fault {
                at: journal.now(),
                kind: FaultKind::Kill,
                instance: "postgres-0".to_owned(),
                process: "1@1".to_owned(),
                others: Vec::new(),
                evidence: None,
                confirmed: true,
            }));
            tokio::task::block_in_place(|| {
                postgres.kill9();
                postgres.start_again();
            });
            tokio::time::sleep(PART).await;
            service.cuts.store(false, Ordering::Relaxed);
            journal.phase(Phase::Draining);
        })
        .await;
    let operations = journal.history().unwrap().operations;
    recorder.settle(&operations).await;
    account(&service.pool, &journal).await;
    journal.write(Record::Ending(Ending {
        redis_masters: vec!["a".to_owned()],
        ..Ending::default()
    }));
    check(&journal.history().unwrap())
}

fn plan(stage: &Stage) -> Plan {
    Plan {
        version: HISTORY_VERSION,
        scenario: "postgres".to_owned(),
        hypothesis: "a shop that takes shortcuts is found out".to_owned(),
        run: 1,
        seed: 1,
        number: 0,
        of: 0,
        users: 0,
        environment: "controls".to_owned(),
        operations_per_second: RATE,
        hold_grace_micros: 0,
        products: vec![
            ProductStock {
                product: stage.plenty,
                pieces: PLENTY,
            },
            ProductStock {
                product: stage.scarce,
                pieces: SCARCE,
            },
        ],
        objectives: Vec::new(),
        expected: Vec::new(),
        sale: None,
    }
}

#[track_caller]
fn violated(checks: &[Check]) -> Vec<&str> {
    checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .map(|check| check.claim.as_str())
        .collect()
}

#[track_caller]
fn assert_violates(checks: &[Check], claim: &str) {
    assert!(
        violated(checks)
            .iter()
            .any(|violated| violated.starts_with(claim)),
        "{claim} was not noticed: {checks:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_shortcuts_holds() {
    let checks = drill(Wrong::Nothing).await;
    assert_eq!(violated(&checks), [""; 0], "{checks:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_redis_decides_is_found_out() {
    let checks = drill(Wrong::StockInRedis).await;
    assert_violates(&checks, "nothing was sold twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_commit_is_found_out() {
    let checks = drill(Wrong::AckBeforeCommit).await;
    assert_violates(&checks, "every acknowledged order is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_buys_again_is_found_out() {
    let checks = drill(Wrong::NoIdempotency).await;
    assert_violates(&checks, "a key has one order");
}
