//! Many customers, the same keys, several replicas, all at once.

use std::collections::HashSet;

use reqwest::StatusCode;
use shop_testkit::eventually;
use uuid::Uuid;

use crate::support::{
    Answer, Order, Product, SOON, World, add_product, ordered, start_sale, stock,
};

/// Sends all of it at once and gives the answers in the order of the requests.
async fn all(
    requests: impl IntoIterator<Item = impl Future<Output = reqwest::Result<Answer>> + Send + 'static>,
) -> Vec<Answer> {
    let sent: Vec<_> = requests.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap().unwrap());
    }
    answers
}

fn count(answers: &[Answer], status: StatusCode) -> usize {
    answers
        .iter()
        .filter(|answer| answer.status == status)
        .count()
}

#[tokio::test]
async fn a_hundred_pieces_go_to_exactly_a_hundred_of_three_hundred_customers() {
    let world = World::shared().await;
    let replicas = [world.start().await, world.start().await];
    for limit in [None, Some(1)] {
        let product = add_product(
            &world.pool,
            Product {
                stock: 100,
                limit,
                ..Product::default()
            },
        )
        .await;
        let answers = all((0..300).map(|customer| {
            replicas[customer % 2].send(&world.token(Uuid::now_v7()), &Order::of(product))
        }))
        .await;
        assert_eq!(count(&answers, StatusCode::CREATED), 100);
        let sold_out = answers
            .iter()
            .filter(|answer| answer.problem() == "sold-out")
            .count();
        assert_eq!(sold_out, 200);
        let ids: HashSet<_> = answers
            .iter()
            .map(Answer::id)
            .filter(|id| !id.is_empty())
            .collect();
        assert_eq!(ids.len(), 100);
        assert_eq!(stock(&world.pool, product).await, (0, 100));
        assert_eq!(ordered(&world.pool, product).await, (100, 100));
    }
}

#[tokio::test]
async fn one_key_fifty_times_at_once_over_two_replicas_is_one_order() {
    let world = World::shared().await;
    let replicas = [world.start().await, world.start().await];
    for limit in [None, Some(1)] {
        let product = add_product(
            &world.pool,
            Product {
                limit,
                ..Product::default()
            },
        )
        .await;
        let token = world.token(Uuid::now_v7());
        let order = Order::of(product);
        let answers = all((0..50).map(|number| replicas[number % 2].send(&token, &order))).await;
        assert_eq!(count(&answers, StatusCode::CREATED), 50, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        let bodies: HashSet<_> = answers
            .iter()
            .map(|answer| answer.body.to_string())
            .collect();
        assert_eq!(bodies.len(), 1);
        assert_eq!(ordered(&world.pool, product).await, (1, 1));
    }
}

#[tokio::test]
async fn one_key_with_many_bodies_at_once_is_decided_for_one_of_them() {
    let world = World::shared().await;
    let replicas = [world.start().await, world.start().await];
    let product = add_product(&world.pool, Product::default()).await;
    let token = world.token(Uuid::now_v7());
    let first = Order::of(product);
    let answers = all((0..40_u32).map(|number| {
        let order = Order {
            quantity: 1 + number % 4,
            ..first.clone()
        };
        replicas[number as usize % 2].send(&token, &order)
    }))
    .await;
    let quantities: HashSet<_> = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::CREATED)
        .map(|answer| answer.body["quantity"].as_i64().unwrap())
        .collect();
    assert_eq!(quantities.len(), 1);
    assert_eq!(count(&answers, StatusCode::CREATED), 10);
    let reused = answers
        .iter()
        .filter(|answer| answer.problem() == "idempotency-key-reused");
    assert_eq!(reused.count(), 30);
    let pieces = quantities.into_iter().next().unwrap();
    assert_eq!(ordered(&world.pool, product).await, (1, pieces));
}

/// In a sale a customer's own storm is held back: whoever is told to come back finds the truth with the same key.
#[tokio::test]
async fn one_customers_many_orders_in_a_sale_stay_within_its_limit() {
    let world = World::shared().await;
    let replicas = [world.start().await, world.start().await];
    let product = add_product(
        &world.pool,
        Product {
            limit: Some(3),
            ..Product::default()
        },
    )
    .await;
    let token = world.token(Uuid::now_v7());
    let mut open: Vec<Order> = (0..20).map(|_| Order::of(product)).collect();
    let (mut confirmed, mut refused, mut held_back) = (0, 0, 0);
    while !open.is_empty() {
        let mut later = Vec::new();
        let requests = open.iter().enumerate();
        let answers =
            all(requests.map(|(number, order)| replicas[number % 2].send(&token, order))).await;
        for (order, answer) in open.into_iter().zip(answers) {
            match (answer.status, answer.problem()) {
                (StatusCode::CREATED, _) => confirmed += 1,
                (StatusCode::CONFLICT, "limit-reached") => refused += 1,
                (StatusCode::TOO_MANY_REQUESTS, "rate-limited") => {
                    assert_eq!(answer.retry_after.as_deref(), Some("1"));
                    held_back += 1;
                    later.push(order);
                }
                _ => panic!("{answer:?}"),
            }
        }
        open = later;
    }
    assert_eq!((confirmed, refused), (3, 17));
    assert!(held_back > 0, "the lock held nobody back");
    assert_eq!(ordered(&world.pool, product).await, (3, 3));
}

#[tokio::test]
async fn a_sale_that_begins_is_noticed_without_a_restart() {
    let world = World::shared().await;
    let service = world.start().await;
    let product = add_product(&world.pool, Product::default()).await;
    let held = "shop_order_locks_total{outcome=\"held\"}";
    service
        .place(&world.token(Uuid::now_v7()), &Order::of(product))
        .await;
    assert_eq!(service.metric(held).await, None);
    start_sale(&world.pool, product, 1).await;
    eventually("the first lock", SOON, || async {
        let answer = service
            .place(&world.token(Uuid::now_v7()), &Order::of(product))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let locks = service.metric(held).await;
        locks.ok_or_else(|| "no lock yet".to_owned())
    })
    .await;
}
