//! What becomes of orders when something breaks between any two of their steps: locked, sent, committed, heard of,
//! answered, released. The steps are seen and held from outside, so the binary under test is the one that is shipped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use shop_testkit::{Durability, Postgres, Sentinels, eventually};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{
    Answer, Flow, Order, Product, Proxy, SOON, Service, StockGate, World, add_product, ordered,
    shared_redis, stock,
};

/// Long enough to hold a door shut meanwhile.
const PATIENT: &str = "decisionTimeoutMilliseconds = 10000\n";

/// A replica behind a door, a product in a sale, and a customer who wants one.
struct Scene {
    world: World,
    door: Proxy,
    service: Service,
    product: Uuid,
    customer: Uuid,
    token: String,
    order: Order,
}

impl Scene {
    async fn set(redis: &Sentinels, settings: &str) -> Self {
        let world = World::with_redis(redis).await;
        let door = Proxy::start(world.postgres_port).await;
        let service = world
            .start_with(door.port(), &format!("{PATIENT}{settings}"))
            .await;
        let product = add_product(
            &world.pool,
            Product {
                limit: Some(1),
                ..Product::default()
            },
        )
        .await;
        warm_up(&world, &service, product).await;
        let customer = Uuid::now_v7();
        Self {
            token: world.token(customer),
            order: Order::of(product),
            world,
            door,
            service,
            product,
            customer,
        }
    }

    /// Sends the order and does not wait for its answer.
    fn send(&self) -> tokio::task::JoinHandle<reqwest::Result<Answer>> {
        tokio::spawn(self.service.send(&self.token, &self.order))
    }

    async fn until_locked(&self, redis: &Sentinels) -> String {
        let pattern = format!("lock:*:{}:{}", self.product, self.customer);
        let name = until_known(redis, "the lock", &["KEYS", &pattern]).await;
        until_known(redis, "the lock's value", &["GET", &name]).await
    }

    async fn until_unlocked(&self, redis: &Sentinels) {
        let pattern = format!("lock:*:{}:{}", self.product, self.customer);
        until_gone(redis, &pattern).await;
    }

    /// Waits until the customer's order is committed.
    async fn until_committed(&self) {
        until_committed(&self.world.pool, self.customer).await;
    }

    /// The customer tries again with the same key and has one order, wherever the first attempt got to.
    async fn one_order_with_the_same_key(&self) -> Answer {
        let answer = self.service.place(&self.token, &self.order).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let known = self.service.by_key(&self.token, &self.order.key).await;
        assert_eq!((known.status, &known.body), (StatusCode::OK, &answer.body));
        assert_eq!(ordered(&self.world.pool, self.product).await, (2, 2));
        assert_eq!(stock(&self.world.pool, self.product).await, (98, 2));
        answer
    }
}

/// Somebody else's order opens the connections and makes the sale known.
async fn warm_up(world: &World, service: &Service, product: Uuid) {
    let answer = service
        .place(&world.token(Uuid::now_v7()), &Order::of(product))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

async fn until_known(redis: &Sentinels, what: &str, words: &[&str]) -> String {
    let master = redis.master().unwrap();
    eventually(what, SOON, || async { redis.command(master, words) }).await
}

async fn until_gone(redis: &Sentinels, pattern: &str) {
    let master = redis.master().unwrap();
    eventually("the end of the lock", SOON, || async {
        redis
            .command(master, &["KEYS", pattern])
            .map_or(Ok(()), Err)
    })
    .await;
}

async fn until_committed(pool: &PgPool, customer: Uuid) {
    eventually("the order in Postgres", SOON, || async {
        let orders: i64 =
            sqlx::query_scalar("SELECT count(*) FROM orders.orders WHERE customer_id = $1")
                .bind(customer)
                .fetch_one(pool)
                .await
                .unwrap();
        if orders == 1 {
            Ok(())
        } else {
            Err(format!("{orders} orders"))
        }
    })
    .await;
}

#[tokio::test]
async fn killed_with_the_lock_taken_and_nothing_sent_it_leaves_no_order_and_the_key_places_it() {
    let redis = shared_redis();
    let mut scene = Scene::set(redis, "").await;
    scene.door.set(Flow::HoldRequests);
    let sent = scene.send();
    scene.until_locked(redis).await;
    scene.service.signal(Signal::SIGKILL);
    assert!(sent.await.unwrap().is_err());
    scene.door.cut();
    assert_eq!(ordered(&scene.world.pool, scene.product).await, (1, 1));
    scene.service.kill_and_start_again().await;
    // The lock is still there, and it is this key's.
    let answer = scene.one_order_with_the_same_key().await;
    assert!(!answer.replayed);
}

#[tokio::test]
async fn killed_while_postgres_decides_it_leaves_one_order_or_none_and_the_key_tells() {
    let mut scene = Scene::set(shared_redis(), "").await;
    let gate = StockGate::close(&scene.world.pool, scene.product).await;
    let sent = scene.send();
    gate.until_somebody_waits().await;
    scene.service.signal(Signal::SIGKILL);
    assert!(sent.await.unwrap().is_err());
    gate.open().await;
    scene.service.kill_and_start_again().await;
    scene.one_order_with_the_same_key().await;
}

#[tokio::test]
async fn killed_after_the_commit_the_order_stands_and_its_lock_ends_by_itself() {
    let redis = shared_redis();
    let mut scene = Scene::set(redis, "lockMilliseconds = 6000\n").await;
    scene.door.set(Flow::HoldAnswers);
    let sent = scene.send();
    scene.until_committed().await;
    let lock = scene.until_locked(redis).await;
    scene.service.signal(Signal::SIGKILL);
    assert!(sent.await.unwrap().is_err());
    scene.door.cut();
    scene.service.kill_and_start_again().await;
    let answer = scene.one_order_with_the_same_key().await;
    assert!(answer.replayed);
    // The new process is not the holder: nothing but time ends the lock.
    assert_eq!(scene.until_locked(redis).await, lock);
    let other = Order::of(scene.product);
    let held_back = scene.service.place(&scene.token, &other).await;
    assert_eq!(
        (held_back.status, held_back.problem()),
        (StatusCode::TOO_MANY_REQUESTS, "rate-limited")
    );
    scene.until_unlocked(redis).await;
    let refused = scene.service.place(&scene.token, &other).await;
    assert_eq!(refused.problem(), "limit-reached");
}

#[tokio::test]
async fn a_connection_lost_after_the_commit_still_gets_the_order_to_its_client() {
    let scene = Scene::set(shared_redis(), "").await;
    scene.door.set(Flow::HoldAnswers);
    let sent = scene.send();
    scene.until_committed().await;
    scene.door.cut();
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.replayed),
        (StatusCode::CREATED, false)
    );
    assert_eq!(scene.one_order_with_the_same_key().await.body, answer.body);
}

#[tokio::test]
async fn a_connection_lost_while_postgres_decides_waits_for_that_decision() {
    let scene = Scene::set(shared_redis(), "").await;
    let gate = StockGate::close(&scene.world.pool, scene.product).await;
    let sent = scene.send();
    gate.until_somebody_waits().await;
    // The session behind the door lives on and keeps its claim.
    scene.door.cut();
    gate.open().await;
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.replayed),
        (StatusCode::CREATED, false)
    );
    assert_eq!(scene.one_order_with_the_same_key().await.body, answer.body);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_lock_and_its_order_stands_as_postgres_decided() {
    let redis = shared_redis();
    let scene = Scene::set(redis, "").await;
    let gate = StockGate::close(&scene.world.pool, scene.product).await;
    let sent = scene.send();
    gate.until_somebody_waits().await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    gate.open().await;
    scene.until_committed().await;
    scene.until_unlocked(redis).await;
    let answer = scene.one_order_with_the_same_key().await;
    assert!(answer.replayed);
}

#[tokio::test]
async fn a_database_that_hangs_is_a_503_that_stores_nothing_of_ours() {
    let world = World::shared().await;
    let door = Proxy::start(world.postgres_port).await;
    let service = world
        .start_with(door.port(), "decisionTimeoutMilliseconds = 300\n")
        .await;
    let product = add_product(&world.pool, Product::default()).await;
    warm_up(&world, &service, product).await;
    let token = world.token(Uuid::now_v7());
    let order = Order::of(product);
    door.set(Flow::HoldRequests);
    let answer = service.place(&token, &order).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    );
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
    door.cut();
    service.ready().await;
    assert_eq!(
        service.by_key(&token, &order.key).await.status,
        StatusCode::NOT_FOUND
    );
    let again = service.place(&token, &order).await;
    assert_eq!((again.status, again.replayed), (StatusCode::CREATED, false));
}

#[tokio::test]
async fn a_503_for_want_of_an_answer_is_settled_by_the_key() {
    let world = World::shared().await;
    let door = Proxy::start(world.postgres_port).await;
    let service = world
        .start_with(door.port(), "decisionTimeoutMilliseconds = 300\n")
        .await;
    let product = add_product(&world.pool, Product::default()).await;
    warm_up(&world, &service, product).await;
    let customer = Uuid::now_v7();
    let token = world.token(customer);
    let order = Order::of(product);
    door.set(Flow::HoldAnswers);
    let answer = service.place(&token, &order).await;
    assert_eq!(answer.problem(), "unavailable");
    until_committed(&world.pool, customer).await;
    door.cut();
    service.ready().await;
    let known = service.by_key(&token, &order.key).await;
    assert_eq!(known.status, StatusCode::OK);
    let again = service.place(&token, &order).await;
    assert_eq!((again.status, again.replayed), (StatusCode::CREATED, true));
    assert_eq!(again.body, known.body);
}

/// A stopped process comes back after its lock has ended and another replica has taken it: what it sent is decided by
/// Postgres like anything else, and what it releases is not its own any more.
#[tokio::test]
async fn a_stopped_replica_that_comes_back_after_its_lock_has_ended_releases_nothing() {
    let redis = shared_redis();
    let mut stopped = Scene::set(redis, "lockMilliseconds = 1000\n").await;
    let door = Proxy::start(stopped.world.postgres_port).await;
    let other = stopped
        .world
        .start_with(door.port(), &format!("{PATIENT}lockMilliseconds = 20000\n"))
        .await;
    warm_up(&stopped.world, &other, stopped.product).await;

    stopped.door.set(Flow::HoldRequests);
    let first = stopped.send();
    let first_lock = stopped.until_locked(redis).await;
    stopped.service.signal(Signal::SIGSTOP);
    stopped.until_unlocked(redis).await;

    door.set(Flow::HoldAnswers);
    let second = tokio::spawn(other.send(&stopped.token, &Order::of(stopped.product)));
    stopped.until_committed().await;
    let second_lock = stopped.until_locked(redis).await;
    assert_ne!(first_lock, second_lock);

    stopped.door.set(Flow::Open);
    stopped.service.signal(Signal::SIGCONT);
    let late = first.await.unwrap().unwrap();
    assert_eq!(
        (late.status, late.problem()),
        (StatusCode::CONFLICT, "limit-reached")
    );
    let stale = "shop_order_lock_releases_total{outcome=\"stale\"}";
    eventually("the stale release", SOON, || async {
        let releases = stopped.service.metric(stale).await;
        if releases == Some(1.0) {
            Ok(())
        } else {
            Err(format!("{releases:?}"))
        }
    })
    .await;
    assert_eq!(stopped.until_locked(redis).await, second_lock);

    door.set(Flow::Open);
    assert_eq!(second.await.unwrap().unwrap().status, StatusCode::CREATED);
    stopped.until_unlocked(redis).await;
    assert_eq!(ordered(&stopped.world.pool, stopped.product).await, (3, 3));
}

/// Customers who order without a pause until they are told to go, each order with a key of its own, repeated until it
/// is answered for good.
struct Crowd {
    acknowledged: Arc<AtomicUsize>,
    go_home: Arc<AtomicBool>,
    buyers: Vec<tokio::task::JoinHandle<Bought>>,
}

#[derive(Default)]
struct Bought {
    /// Keys and the orders they were acknowledged with.
    orders: HashMap<String, String>,
    /// Answers that were neither an order nor a request to come back.
    surprises: Vec<Answer>,
    /// How often an answer failed to come or asked to come back.
    retries: usize,
}

impl Crowd {
    fn gather(world: &World, replicas: &[Arc<Service>], product: Uuid) -> Self {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let go_home = Arc::new(AtomicBool::new(false));
        let buyers = (0..8)
            .map(|number: usize| {
                let service = Arc::clone(&replicas[number % replicas.len()]);
                let (acknowledged, go_home) = (Arc::clone(&acknowledged), Arc::clone(&go_home));
                // A customer an order, so that no lock of the one before is in the way.
                let tokens: Vec<_> = (0..500).map(|_| world.token(Uuid::now_v7())).collect();
                tokio::spawn(async move {
                    let mut bought = Bought::default();
                    for token in tokens {
                        if go_home.load(Ordering::SeqCst) {
                            break;
                        }
                        buy(&service, &token, &Order::of(product), &mut bought).await;
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                    }
                    bought
                })
            })
            .collect();
        Self {
            acknowledged,
            go_home,
            buyers,
        }
    }

    /// Waits until so many more orders are acknowledged.
    async fn until_more(&self, more: usize) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        eventually("more orders", Duration::from_mins(1), || async {
            let now = self.acknowledged.load(Ordering::SeqCst);
            if now >= before + more {
                Ok(())
            } else {
                Err(format!("{} more", now - before))
            }
        })
        .await;
    }

    async fn disperse(self) -> Bought {
        self.go_home.store(true, Ordering::SeqCst);
        let mut all = Bought::default();
        for buyer in self.buyers {
            let bought = buyer.await.unwrap();
            all.orders.extend(bought.orders);
            all.surprises.extend(bought.surprises);
            all.retries += bought.retries;
        }
        all
    }
}

async fn buy(service: &Service, token: &str, order: &Order, bought: &mut Bought) {
    loop {
        match service.send(token, order).await {
            Ok(answer) if answer.status == StatusCode::CREATED => {
                bought
                    .orders
                    .insert(order.key.clone(), answer.id().to_owned());
                return;
            }
            Ok(answer) if answer.status != StatusCode::SERVICE_UNAVAILABLE => {
                bought.surprises.push(answer);
                return;
            }
            Ok(_) | Err(_) => {
                bought.retries += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Everything that was acknowledged is there as acknowledged, one order a key, and the stock adds up.
async fn accounts_balance(pool: &PgPool, product: Uuid, stocked: i64, bought: &Bought) {
    assert_eq!(bought.surprises, []);
    let kept: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT key, id FROM orders.orders WHERE product_id = $1")
            .bind(product)
            .fetch_all(pool)
            .await
            .unwrap();
    let by_key: HashMap<_, _> = kept
        .iter()
        .map(|(key, id)| (key.clone(), id.to_string()))
        .collect();
    assert_eq!(by_key.len(), kept.len(), "a key has two orders");
    // Nobody went home in the middle of an order, so nothing else is there either.
    assert_eq!(by_key, bought.orders);
    let sold = i64::try_from(kept.len()).unwrap();
    assert_eq!(stock(pool, product).await, (stocked - sold, sold));
}

#[tokio::test]
async fn postgres_killed_and_restarted_under_orders_loses_nothing_that_was_acknowledged() {
    let mut server = Postgres::start(Durability::On);
    let world = World::with_postgres(&server).await;
    let replicas = [Arc::new(world.start().await), Arc::new(world.start().await)];
    let product = add_product(
        &world.pool,
        Product {
            stock: 10_000,
            ..Product::default()
        },
    )
    .await;
    let crowd = Crowd::gather(&world, &replicas, product);
    crowd.until_more(50).await;
    server.kill9();
    server.start_again();
    crowd.until_more(50).await;
    server.restart();
    crowd.until_more(50).await;
    let bought = crowd.disperse().await;
    let pool = eventually("Postgres to take connections", SOON, || async {
        let answered = sqlx::query("SELECT 1").execute(&world.pool).await;
        answered
            .map(|_| &world.pool)
            .map_err(|error| error.to_string())
    })
    .await;
    accounts_balance(pool, product, 10_000, &bought).await;
}

#[tokio::test]
async fn redis_killed_under_a_sale_fails_no_order() {
    let mut redis = Sentinels::start();
    let world = World::with_redis(&redis).await;
    let replicas = [Arc::new(world.start().await), Arc::new(world.start().await)];
    let sale = Product {
        stock: 10_000,
        limit: Some(1),
        ..Product::default()
    };
    let product = add_product(&world.pool, sale).await;
    let crowd = Crowd::gather(&world, &replicas, product);
    crowd.until_more(100).await;
    for server in 0..3 {
        redis.kill9(server);
    }
    crowd.until_more(100).await;
    let bought = crowd.disperse().await;
    assert_eq!(bought.retries, 0);
    accounts_balance(&world.pool, product, 10_000, &bought).await;
    for replica in &replicas {
        let count = async |outcome: &str| {
            let line = format!("shop_order_locks_total{{outcome=\"{outcome}\"}}");
            replica.metric(&line).await.unwrap_or_default()
        };
        assert!(count("held").await > 0.0, "no order was locked before");
        assert!(
            count("unavailable").await > 0.0,
            "no order went on without its lock"
        );
    }
}
