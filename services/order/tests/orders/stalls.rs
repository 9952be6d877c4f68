//! A decision that stands still inside of Postgres: who waits for it is answered in time, everybody else is served, and
//! nothing is acknowledged that is not there.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use shop_testkit::{Durability, Postgres, eventually};
use uuid::Uuid;

use crate::support::{
    Answer, Order, Product, SOON, Service, StockGate, World, add_product, deciders, ordered, stock,
};

/// One lane, so that whatever holds it holds everybody; and callers that do not wait for long.
const ONE_HASTY_LANE: &str = "lanes = 1\ndecisionTimeoutMilliseconds = 1000\n";

/// Everybody's product, one in a sale, and a customer who has bought it once.
struct Scene {
    world: World,
    service: Service,
    on_sale: Uuid,
    other: Uuid,
    customer: Uuid,
    token: String,
}

impl Scene {
    async fn set(world: World) -> Self {
        let service = world.start_with(world.postgres_port, ONE_HASTY_LANE).await;
        let sale = Product {
            limit: Some(5),
            ..Product::default()
        };
        let on_sale = add_product(&world.pool, sale).await;
        let other = add_product(&world.pool, Product::default()).await;
        let customer = Uuid::now_v7();
        let scene = Self {
            token: world.token(customer),
            world,
            service,
            on_sale,
            other,
            customer,
        };
        scene.placed(&scene.token, &Order::of(on_sale)).await;
        scene
    }

    /// The token of somebody who has bought nothing yet.
    fn stranger(&self) -> String {
        self.world.token(Uuid::now_v7())
    }

    async fn placed(&self, token: &str, order: &Order) -> Answer {
        let answer = self.service.place(token, order).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer
    }

    /// An order that gets no decision in time.
    async fn undecided(&self, token: &str, order: &Order) {
        let answer = self.service.place(token, order).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            "{answer:?}"
        );
        assert_eq!(answer.retry_after.as_deref(), Some("1"));
    }

    /// What a client does that was left without a decision: the same key gets an order, and always the same.
    async fn settled(&self, order: &Order) {
        let answer = eventually("the key's order", SOON, async || {
            let answer = self.service.place(&self.token, order).await;
            match answer.status {
                StatusCode::CREATED => Ok(answer),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    Err(answer.body.to_string())
                }
                _ => panic!("{answer:?}"),
            }
        })
        .await;
        let again = self.placed(&self.token, order).await;
        assert_eq!((again.replayed, again.id()), (true, answer.id()));
    }

    /// As many orders are there as were acknowledged, and the stock is what they leave.
    async fn sold(&self, orders: i64) {
        let pool = &self.world.pool;
        assert_eq!(ordered(pool, self.on_sale).await, (orders, orders));
        assert_eq!(stock(pool, self.on_sale).await, (100 - orders, orders));
    }

    /// Waits for the end of every decision.
    async fn until_nobody_decides(&self) {
        eventually("the end of all decisions", SOON, async || {
            match deciders(&self.world.pool, "").await.len() {
                0 => Ok(()),
                left => Err(format!("{left} go on")),
            }
        })
        .await;
    }
}

/// A session that is stopped, and goes on when this is dropped, whatever becomes of the test.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: i32) -> Self {
        let pid = Pid::from_raw(pid);
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone = kill(self.0, Signal::SIGCONT);
    }
}

#[tokio::test]
async fn a_session_that_is_stopped_with_stock_in_its_hands_holds_up_its_product_and_nobody_else() {
    let server = Postgres::start(Durability::On);
    let scene = Scene::set(World::with_postgres(&server).await).await;
    let first = Order::of(scene.on_sale);
    let gate = StockGate::close_counter(&scene.world.pool, scene.customer).await;
    let sent = tokio::spawn(scene.service.send(&scene.token, &first));
    gate.until_somebody_waits().await;
    let [decider] = gate.waiting_deciders().await[..] else {
        panic!("one session decides");
    };
    // It has claimed the key and taken the stock, and nobody can make it give them back.
    let stopped = Stopped::stop(decider);
    gate.open().await;
    assert_eq!(sent.await.unwrap().unwrap().problem(), "unavailable");

    // The lane goes on, and goes on again after each order that nobody could decide.
    let strangers = [Order::of(scene.on_sale), Order::of(scene.on_sale)];
    for order in &strangers {
        scene
            .placed(&scene.stranger(), &Order::of(scene.other))
            .await;
        scene.undecided(&scene.stranger(), order).await;
    }
    let known = scene.service.by_key(&scene.token, &first.key).await;
    assert_eq!(known.status, StatusCode::NOT_FOUND);
    scene.sold(1).await;

    drop(stopped);
    scene.until_nobody_decides().await;
    // Nobody heard of these orders, so each of them may stand or not; stock and orders agree all the same.
    let (orders, _) = ordered(&scene.world.pool, scene.on_sale).await;
    assert!((1..=4).contains(&orders), "{orders} orders");
    scene.sold(orders).await;
    let known = scene.service.by_key(&scene.token, &first.key).await;
    scene.settled(&first).await;
    scene
        .sold(orders + i64::from(known.status == StatusCode::NOT_FOUND))
        .await;
}

#[tokio::test]
async fn a_decision_that_nobody_waits_for_any_more_is_taken_back_though_its_lock_is_held_for_ever()
{
    let scene = Scene::set(World::shared().await).await;
    let order = Order::of(scene.on_sale);
    let gate = StockGate::close_counter(&scene.world.pool, scene.customer).await;
    scene.undecided(&scene.token, &order).await;
    // Its stock is free for others before whoever stands in its way has gone.
    scene.until_nobody_decides().await;
    scene
        .placed(&scene.stranger(), &Order::of(scene.on_sale))
        .await;
    gate.open().await;
    scene.sold(2).await;
    scene.settled(&order).await;
    scene.sold(3).await;
}
