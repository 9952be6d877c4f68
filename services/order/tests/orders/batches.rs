//! Batches as callers meet them: one that cannot be decided as a whole, and a queue that is full.

use std::time::Instant;

use reqwest::StatusCode;
use uuid::Uuid;

use crate::support::{
    Order, Product, SOON, Service, StockGate, World, add_product, ordered, stock,
};

/// One piece and two and three, and between them so many that their total is more than clients can tell.
const QUANTITIES: [u32; 4] = [1, 1_000_000, 2, 3];

/// Sends orders of these quantities while a batch is being decided, and says in how many attempts they were decided.
async fn decided_together(world: &World, service: &Service, gated: Uuid, product: Uuid) -> f64 {
    let attempts = async || {
        let count = service.metric("shop_order_batch_size_count").await;
        count.unwrap_or_default()
    };
    let gate = StockGate::close(&world.pool, gated).await;
    let first = tokio::spawn(service.send(&world.token(Uuid::now_v7()), &Order::of(gated)));
    gate.until_somebody_waits().await;
    let before = attempts().await;
    let sent = QUANTITIES.map(|quantity| {
        let order = Order {
            quantity,
            ..Order::of(product)
        };
        tokio::spawn(service.send(&world.token(Uuid::now_v7()), &order))
    });
    // Time for them to arrive, in answers to other questions.
    for _ in 0..20 {
        assert!(attempts().await - before < 0.5, "it was not held up");
    }
    gate.open().await;
    assert_eq!(first.await.unwrap().unwrap().status, StatusCode::CREATED);
    for (quantity, answer) in QUANTITIES.into_iter().zip(sent) {
        let answer = answer.await.unwrap().unwrap();
        let expected = if quantity == QUANTITIES[1] { 500 } else { 201 };
        assert_eq!(answer.status.as_u16(), expected, "{quantity}: {answer:?}");
    }
    attempts().await - before
}

#[tokio::test]
async fn an_order_that_postgres_refuses_harms_none_of_its_batch() {
    let world = World::shared().await;
    let settings = "lanes = 1\ndecisionTimeoutMilliseconds = 20000\nmaximumQuantity = 1000000\n";
    let service = world.start_with(world.postgres_port, settings).await;
    let gated = add_product(&world.pool, Product::default()).await;
    let many = Product {
        stock: 10_000_000,
        ..Product::default()
    };
    let product = add_product(&world.pool, many).await;
    sqlx::query("UPDATE product.products SET price_minor = 1000000000000 WHERE id = $1")
        .bind(product)
        .execute(&world.pool)
        .await
        .unwrap();
    let began = Instant::now();
    for round in 1.. {
        let attempts = decided_together(&world, &service, gated, product).await;
        assert_eq!(ordered(&world.pool, product).await, (3 * round, 6 * round));
        assert_eq!(
            stock(&world.pool, product).await,
            (10_000_000 - 6 * round, 6 * round)
        );
        // All four, then both halves, then each of the half that could not be decided either. On a busy machine they
        // may not have come in time to be one batch.
        if (attempts - 5.0).abs() < 0.5 {
            return;
        }
        assert!(began.elapsed() < SOON, "{attempts} attempts");
    }
}

#[tokio::test]
async fn an_order_that_finds_the_queue_full_is_sent_away_and_nothing_of_it_is_stored() {
    let world = World::shared().await;
    let settings = "lanes = 1\nqueueSize = 1\ndecisionTimeoutMilliseconds = 20000\n";
    let service = world.start_with(world.postgres_port, settings).await;
    let product = add_product(&world.pool, Product::default()).await;
    let gate = StockGate::close(&world.pool, product).await;
    let decided = tokio::spawn(service.send(&world.token(Uuid::now_v7()), &Order::of(product)));
    gate.until_somebody_waits().await;

    // Of two more one finds a place in the queue; the other is not kept waiting.
    let two = [(); 2].map(|()| (world.token(Uuid::now_v7()), Order::of(product)));
    let [mut one, mut other] = two
        .each_ref()
        .map(|(token, order)| tokio::spawn(service.send(token, order)));
    let (busy, waits, (token, order)) = tokio::select! {
        busy = &mut one => (busy, other, &two[0]),
        busy = &mut other => (busy, one, &two[1]),
    };
    let busy = busy.unwrap().unwrap();
    assert_eq!(
        (busy.status, busy.problem(), busy.retry_after.as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, "busy", Some("1"))
    );
    let known = service.by_key(token, &order.key).await;
    assert_eq!(known.status, StatusCode::NOT_FOUND);

    gate.open().await;
    for sent in [decided, waits] {
        assert_eq!(sent.await.unwrap().unwrap().status, StatusCode::CREATED);
    }
    let again = service.place(token, order).await;
    assert_eq!((again.status, again.replayed), (StatusCode::CREATED, false));
    assert_eq!(ordered(&world.pool, product).await, (3, 3));
}
