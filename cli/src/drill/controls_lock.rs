//! A negative control of sale locks: a service that releases whatever lock is there, and one that trusts its lock to
//! keep a customer to the limit. What is found in them is written down and judged as in a drill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use shop_testkit::{Redis, RedisUser};
use tokio::sync::Notify;
use uuid::Uuid;

use super::check::{Check, check};
use super::history::{
    BookedOrder, Fault, FaultKind, HISTORY_VERSION, OrderSeen, Phase, Plan, Record, SaleTerms,
};
use super::journal::Journal;
use super::recorder::Recorder;
use super::stage::{Customer, SaleStage, Stage};
use super::stale_lock::{Holder, Provocation};
use crate::report::Verdict;
use crate::shop::{RedisAccess, Shop};

const LOCK: Duration = Duration::from_millis(800);
/// How long a decision takes: long enough to be stopped in the midst of it.
const DECISION: Duration = Duration::from_millis(50);
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// What is wrong with a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Nothing.
    Nothing,
    /// A lock is deleted, whoever has it.
    ReleaseWithoutCompare,
    /// Who has the lock is believed to be the only one who orders: the limit is read before and written after.
    LimitByLock,
}

/// Two processes of a service behind one door, the first of which can hang.
#[derive(Clone)]
struct Service {
    wrong: Wrong,
    redis: redis::Client,
    sale: Uuid,
    requests: Arc<AtomicU64>,
    stale: Arc<AtomicU64>,
    hangs: Arc<AtomicBool>,
    goes_on: Arc<Notify>,
    /// The books: whose, by which key, which order.
    placed: Arc<std::sync::Mutex<Vec<(Uuid, String, Uuid)>>>,
}

impl Service {
    async fn order(&self, customer: Uuid, key: &str, product: Uuid) -> Option<Response> {
        // A door that knows that the first hangs sends nobody there.
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let first = number.is_multiple_of(2) && !self.hangs.load(Ordering::SeqCst);
        let lock = format!("lock:{}:{product}:{customer}", self.sale);
        let token = Uuid::new_v4().to_string();
        let mut connection = self.redis.get_multiplexed_async_connection().await.ok()?;
        let mut take = redis::cmd("SET");
        take.arg(&lock).arg(&token).arg("NX").arg("PX");
        take.arg(u64::try_from(LOCK.as_millis()).unwrap());
        let is_ours: Option<String> = take.query_async(&mut connection).await.ok()?;
        if is_ours.is_none() {
            return Some(StatusCode::TOO_MANY_REQUESTS.into_response());
        }
        let allowed = self.is_allowed(customer);
        tokio::time::sleep(DECISION).await;
        let answer = if self.wrong == Wrong::LimitByLock {
            self.hang(first).await;
            self.decide(customer, key, product, allowed)
        } else {
            let answer = self.decide(customer, key, product, self.is_allowed(customer));
            self.hang(first).await;
            answer
        };
        let release = if self.wrong == Wrong::ReleaseWithoutCompare {
            let mut delete = redis::cmd("DEL");
            delete.arg(&lock);
            delete
        } else {
            let mut compare = redis::cmd("EVAL");
            compare.arg(RELEASE).arg(1).arg(&lock).arg(&token);
            compare
        };
        let released: i64 = release.query_async(&mut connection).await.ok()?;
        self.stale
            .fetch_add(u64::from(released == 0), Ordering::SeqCst);
        Some(answer)
    }

    async fn hang(&self, first: bool) {
        while first && self.hangs.load(Ordering::SeqCst) {
            let _ = tokio::time::timeout(DECISION, self.goes_on.notified()).await;
        }
    }

    fn is_allowed(&self, customer: Uuid) -> bool {
        let placed = self.placed.lock().unwrap();
        placed.iter().all(|(whose, ..)| *whose != customer)
    }

    fn decide(&self, customer: Uuid, key: &str, product: Uuid, allowed: bool) -> Response {
        let mut placed = self.placed.lock().unwrap();
        let known = placed
            .iter()
            .find(|(whose, by, _)| *whose == customer && by == key)
            .map(|(.., id)| *id);
        let id = match known {
            Some(id) => id,
            None if allowed => {
                let id = Uuid::now_v7();
                placed.push((customer, key.to_owned(), id));
                id
            }
            None => {
                let problem = json!({"type": "https://shopctl.dev/problems/limit-reached"});
                return (StatusCode::CONFLICT, Json(problem)).into_response();
            }
        };
        let order = json!({
            "id": id, "productId": product, "quantity": 1,
            "unitPrice": {"amountMinor": 100, "currency": "EUR"},
        });
        (StatusCode::CREATED, Json(order)).into_response()
    }

    /// What a key has become.
    fn by_key(&self, customer: Uuid, key: &str, product: Uuid) -> Response {
        self.decide(customer, key, product, false)
    }
}

/// The customer: tokens here are their names.
fn customer(headers: &HeaderMap) -> Uuid {
    let token = headers["authorization"].to_str().unwrap();
    token.trim_start_matches("Bearer ").parse().unwrap()
}

async fn place(
    State((service, _)): State<(Service, Uuid)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let product = body["productId"].as_str().unwrap().parse().unwrap();
    // Whoever hangs up stops nothing.
    let work = tokio::spawn(async move { service.order(customer(&headers), &key, product).await });
    work.await
        .unwrap()
        .unwrap_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

async fn by_key(
    State((service, product)): State<(Service, Uuid)>,
    headers: HeaderMap,
    axum::extract::Path(key): axum::extract::Path<String>,
) -> Response {
    service.by_key(customer(&headers), &key, product)
}

/// The first process, as the provocation sees it.
struct First<'a> {
    service: &'a Service,
    journal: &'a Journal,
}

impl First<'_> {
    fn note(&self, kind: FaultKind) {
        self.journal.write(Record::Fault(Fault {
            at: self.journal.now(),
            kind,
            instance: self.instance(),
            process: "1@1".to_owned(),
            others: Vec::new(),
            evidence: None,
            confirmed: true,
        }));
    }
}

impl Holder for First<'_> {
    fn instance(&self) -> String {
        "order-0".to_owned()
    }

    async fn stop(&mut self) -> Result<(), String> {
        self.service.hangs.store(true, Ordering::SeqCst);
        self.note(FaultKind::Stop);
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), String> {
        self.note(FaultKind::Continue);
        self.service.hangs.store(false, Ordering::SeqCst);
        self.service.goes_on.notify_waiters();
        Ok(())
    }

    async fn stale_releases(&self) -> Option<u64> {
        Some(self.service.stale.load(Ordering::SeqCst))
    }
}

fn stage() -> Stage {
    let customers = |number| {
        (0..number)
            .map(|_| Uuid::now_v7())
            .map(|id| Customer {
                id,
                token: id.to_string(),
            })
            .collect()
    };
    Stage {
        tag: String::new(),
        customers: customers(1),
        accounts: Vec::new(),
        plenty: Uuid::now_v7(),
        scarce: Uuid::now_v7(),
        sale: Some(SaleStage {
            sale: Uuid::now_v7(),
            product: Uuid::now_v7(),
            pieces: 1000,
            limit: 1,
            customers: customers(160),
        }),
    }
}

/// Makes the lock holder of a shop hang until others have its locks, and judges what is seen.
async fn drill(wrong: Wrong) -> Vec<Check> {
    let redis = Redis::start();
    let stage = Arc::new(stage());
    let sale = stage.sale.as_ref().unwrap();
    let url = redis.url(RedisUser::Admin);
    let service = Service {
        wrong,
        redis: redis::Client::open(url.clone()).unwrap(),
        sale: sale.sale,
        requests: Arc::default(),
        stale: Arc::default(),
        hangs: Arc::default(),
        goes_on: Arc::default(),
        placed: Arc::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/api/orders", post(place))
        .route("/api/orders/by-key/{key}", get(by_key))
        .with_state((service.clone(), sale.product));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let journal = Arc::new(Journal::new(tempfile::tempfile().unwrap()));
    journal.write(Record::Plan(Plan {
        version: HISTORY_VERSION,
        scenario: "order-hang".to_owned(),
        hypothesis: "a lock that is released by whoever comes is found out".to_owned(),
        run: 1,
        seed: 1,
        number: 0,
        of: 0,
        users: 0,
        environment: "controls".to_owned(),
        operations_per_second: 1,
        hold_grace_micros: 0,
        products: stage.products(),
        objectives: Vec::new(),
        expected: Vec::new(),
        sale: Some(SaleTerms {
            product: sale.product,
            limit_per_customer: 1,
            lock_micros: u64::try_from(LOCK.as_micros()).unwrap(),
        }),
    }));
    let access = RedisAccess::at(&url);
    let recorder = Recorder::new(Shop::at(address), Arc::clone(&journal), Arc::clone(&stage));
    let provocation = Provocation {
        recorder: Arc::clone(&recorder),
        stage: Arc::clone(&stage),
        redis: &access,
        journal: &journal,
        lock_lifetime: LOCK,
        replaced_after: Duration::from_secs(14),
        tell: &|_| {},
    };
    let mut first = First {
        service: &service,
        journal: &journal,
    };
    provocation.run(&mut first).await.unwrap();
    recorder
        .settle(&journal.history().unwrap().operations)
        .await;
    journal.phase(Phase::Accounting);
    for (customer, key, id) in service.placed.lock().unwrap().iter() {
        journal.write(Record::Order(BookedOrder {
            customer: *customer,
            key: key.clone(),
            order: OrderSeen {
                id: *id,
                product: sale.product,
                quantity: 1,
                unit_price_minor: 100,
                currency: "EUR".to_owned(),
            },
        }));
    }
    check(&journal.history().unwrap())
}

#[track_caller]
fn assert_verdict(checks: &[Check], claim: &str, wanted: Verdict) {
    let found = checks.iter().find(|check| check.claim.contains(claim));
    let found = found.unwrap_or_else(|| panic!("nobody looked whether {claim}"));
    assert_eq!(found.verdict, wanted, "{found:#?}");
}

const DOES_NOTHING: &str = "stale lock holder's release";
const DECIDED: &str = "is Postgres's decision";

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_releases_only_its_own_lock_holds() {
    let checks = drill(Wrong::Nothing).await;
    assert_verdict(&checks, DOES_NOTHING, Verdict::Pass);
    assert_verdict(&checks, DECIDED, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_not_compare_is_found_out() {
    let checks = drill(Wrong::ReleaseWithoutCompare).await;
    assert_verdict(&checks, DOES_NOTHING, Verdict::Fail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_only_the_lock_keeps_is_found_out() {
    let checks = drill(Wrong::LimitByLock).await;
    assert_verdict(&checks, DECIDED, Verdict::Fail);
}
