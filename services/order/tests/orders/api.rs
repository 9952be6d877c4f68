//! The public API of the real `shopd order`.

use std::collections::HashSet;
use std::pin::pin;

use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shop_testkit::{Durability, Postgres, eventually};
use uuid::Uuid;

use crate::support::{
    Answer, Order, PRICE_MINOR, Product, SOON, Service, StockGate, World, add_product, hear,
    ordered, stock,
};

#[tokio::test]
async fn an_order_is_answered_with_what_was_committed() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(&world.pool, Product::default()).await;
    let order = Order {
        quantity: 3,
        ..Order::of(product)
    };

    let answer = service.place(&token, &order).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert!(!answer.replayed);
    let location = answer.location.clone().unwrap();
    assert_eq!(location, format!("/api/orders/{}", answer.id()));
    let created_at = answer.body["createdAt"].as_str().unwrap();
    assert!(
        created_at.ends_with('Z') && created_at.contains('T'),
        "{created_at}"
    );
    assert_eq!(
        answer.body,
        json!({
            "id": answer.id(),
            "productId": product,
            "quantity": 3,
            "unitPrice": {"amountMinor": PRICE_MINOR, "currency": "EUR"},
            "total": {"amountMinor": 3 * PRICE_MINOR, "currency": "EUR"},
            "status": "confirmed",
            "idempotencyKey": order.key,
            "createdAt": created_at,
        })
    );
    for read in [
        service.get(&token, &location).await,
        service.by_key(&token, &order.key).await,
    ] {
        assert_eq!((read.status, &read.body), (StatusCode::OK, &answer.body));
    }
    assert_eq!(stock(&world.pool, product).await, (97, 3));
}

#[tokio::test]
async fn a_key_gets_its_answer_again_and_another_body_does_not() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(
        &world.pool,
        Product {
            stock: 1,
            ..Product::default()
        },
    )
    .await;
    let (bought, refused) = (Order::of(product), Order::of(product));

    let first = service.place(&token, &bought).await;
    let again = service.place(&token, &bought).await;
    assert_eq!((again.status, again.replayed), (StatusCode::CREATED, true));
    assert_eq!(
        (&again.body, &again.location),
        (&first.body, &first.location)
    );

    let no = service.place(&token, &refused).await;
    assert_eq!(
        (no.status, no.problem(), no.replayed),
        (StatusCode::CONFLICT, "sold-out", false)
    );
    // What is decided stays decided, whatever comes in later.
    sqlx::query(
        "UPDATE product.stock SET received = received + 5, free = free + 5 WHERE product_id = $1",
    )
    .bind(product)
    .execute(&world.pool)
    .await
    .unwrap();
    let still_no = service.place(&token, &refused).await;
    assert_eq!(
        (still_no.status, still_no.replayed),
        (StatusCode::CONFLICT, true)
    );
    assert_eq!(still_no.meaning(), no.meaning());
    let read = service.by_key(&token, &refused.key).await;
    assert_eq!(
        (read.status, read.meaning()),
        (StatusCode::CONFLICT, no.meaning())
    );

    let other = service
        .place(
            &token,
            &Order {
                quantity: 2,
                ..bought.clone()
            },
        )
        .await;
    assert_eq!(
        (other.status, other.problem()),
        (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused")
    );
    // Keys are per customer.
    let somebody = service.place(&world.token(Uuid::now_v7()), &bought).await;
    assert_eq!(
        (somebody.status, somebody.replayed),
        (StatusCode::CREATED, false)
    );
    assert_eq!(ordered(&world.pool, product).await, (2, 2));
}

#[tokio::test]
async fn a_customer_gets_no_more_than_the_sale_allows() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(
        &world.pool,
        Product {
            limit: Some(2),
            ..Product::default()
        },
    )
    .await;
    let two = Order {
        quantity: 2,
        ..Order::of(product)
    };
    assert_eq!(
        service.place(&token, &two).await.status,
        StatusCode::CREATED
    );
    let third = Order::of(product);
    let no = eventually_unlocked(&service, &token, &third).await;
    assert_eq!(
        (no.status, no.problem()),
        (StatusCode::CONFLICT, "limit-reached")
    );
    let again = eventually_unlocked(&service, &token, &third).await;
    assert_eq!((again.replayed, again.meaning()), (true, no.meaning()));
}

/// The lock of the customer's last order is released in the background: until then the next one is told to come back.
async fn eventually_unlocked(service: &Service, token: &str, order: &Order) -> Answer {
    let place = || async {
        let answer = service.place(token, order).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(answer.body.to_string());
        }
        Ok(answer)
    };
    eventually("the lock's release", SOON, place).await
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_what_is_wrong() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(&world.pool, Product::default()).await;
    let good = json!({"productId": product, "quantity": 1});
    let send = async |key: Option<&str>, body: &Value| {
        let mut request = service
            .request(Method::POST, "/api/orders", &token)
            .json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        hear(request.send().await.unwrap()).await.unwrap()
    };
    let missing = send(None, &good).await;
    assert_eq!(
        (missing.status, missing.problem()),
        (StatusCode::BAD_REQUEST, "idempotency-key-missing")
    );
    for key in ["", "a b", &"k".repeat(129)] {
        let answer = send(Some(key), &good).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::BAD_REQUEST, "validation"),
            "{key:?}"
        );
    }
    for body in [
        json!({"productId": product, "quantity": 0}),
        json!({"productId": product, "quantity": 101}),
        json!({"productId": product, "quantity": -1}),
        json!({"productId": product, "quantity": 1.5}),
        json!({"productId": product}),
        json!({"productId": "lamp", "quantity": 1}),
        json!({"productId": product, "quantity": 1, "price": 1}),
        json!([]),
    ] {
        let answer = send(Some("key"), &body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::BAD_REQUEST, "validation"),
            "{body}"
        );
        assert!(answer.body["detail"].is_string() && answer.body["requestId"].is_string());
    }
    // Nothing of all that has used the key up.
    assert_eq!(send(Some("key"), &good).await.status, StatusCode::CREATED);
    let unknown = json!({"productId": Uuid::now_v7(), "quantity": 1});
    let answer = send(Some("unknown"), &unknown).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::NOT_FOUND, "not-found")
    );
    assert_eq!(
        send(Some("unknown"), &good).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn nobody_orders_or_reads_without_a_token_and_nobody_reads_anothers_order() {
    let world = World::shared().await;
    let service = world.start().await;
    let product = add_product(&world.pool, Product::default()).await;
    let (mine, stranger) = (world.token(Uuid::now_v7()), world.token(Uuid::now_v7()));
    let order = Order::of(product);
    let placed = service.place(&mine, &order).await;
    let path = placed.location.clone().unwrap();

    let forged = World::shared().await.token(Uuid::now_v7());
    for token in ["", "nonsense", &forged] {
        assert_eq!(
            service.place(token, &order).await.status,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            service.get(token, &path).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    for path in [
        &path,
        &format!("/api/orders/by-key/{}", order.key),
        "/api/orders/lamp",
    ] {
        let answer = service.get(&stranger, path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::NOT_FOUND, "not-found"),
            "{path}"
        );
    }
    assert_eq!(
        service.get(&stranger, "/api/orders").await.body["items"],
        json!([])
    );
}

#[tokio::test]
async fn any_well_formed_key_can_be_asked_for() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(&world.pool, Product::default()).await;
    let order = Order {
        key: "a:b?c%20#\"&=+~".to_owned(),
        ..Order::of(product)
    };
    let placed = service.place(&token, &order).await;
    assert_eq!(placed.body["idempotencyKey"], order.key);
    let encoded = "a:b%3Fc%2520%23%22%26%3D%2B~";
    assert_eq!(service.by_key(&token, encoded).await.body, placed.body);
}

#[tokio::test]
async fn the_list_is_read_page_by_page() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(&world.pool, Product::default()).await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.insert(0, service.place(&token, &Order::of(product)).await.body);
    }
    let (mut path, mut read) = ("/api/orders?limit=2".to_owned(), Vec::new());
    loop {
        let page = service.get(&token, &path).await.body;
        read.extend(page["items"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/orders?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(read, placed);
    for query in ["limit=0", "limit=101", "limit=x", "cursor=!", "page=2"] {
        let answer = service.get(&token, &format!("/api/orders?{query}")).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::BAD_REQUEST, "validation"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn test_products_are_for_their_test_only_and_what_it_leaves_is_removed_by_an_administrator() {
    let world = World::shared().await;
    let service = world.start().await;
    let customer = Uuid::now_v7();
    let (tester, other_tester, buyer) = (
        world.tagged_token(customer, "smoke-1"),
        world.tagged_token(customer, "smoke-2"),
        world.token(customer),
    );
    let tagged = add_product(
        &world.pool,
        Product {
            tag: Some("smoke-1"),
            ..Product::default()
        },
    )
    .await;
    let listed = add_product(&world.pool, Product::default()).await;
    for (token, product) in [(&buyer, tagged), (&other_tester, tagged), (&tester, listed)] {
        let answer = service.place(token, &Order::of(product)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::NOT_FOUND, "not-found")
        );
    }
    let order = Order::of(tagged);
    assert_eq!(
        service.place(&tester, &order).await.status,
        StatusCode::CREATED
    );

    let path = "/api/orders/test-data/smoke-1";
    let remove = async |token: &str| {
        hear(
            service
                .request(Method::DELETE, path, token)
                .send()
                .await
                .unwrap(),
        )
        .await
        .unwrap()
    };
    assert_eq!(remove(&tester).await.status, StatusCode::FORBIDDEN);
    let removed = remove(&world.admin_token()).await;
    assert_eq!(
        (removed.status, &removed.body),
        (StatusCode::OK, &json!({"orders": 1, "keys": 1}))
    );
    assert_eq!(
        service.by_key(&tester, &order.key).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        remove(&world.admin_token()).await.body,
        json!({"orders": 0, "keys": 0})
    );
}

#[tokio::test]
async fn the_description_names_every_route_and_metrics_count_verdicts() {
    let world = World::shared().await;
    let service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let description = service.get(&token, "/openapi.json").await.body;
    let paths: HashSet<_> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        paths,
        HashSet::from([
            "/api/orders",
            "/api/orders/{id}",
            "/api/orders/by-key/{key}",
            "/api/orders/test-data/{tag}",
        ])
    );
    let product = add_product(
        &world.pool,
        Product {
            stock: 1,
            ..Product::default()
        },
    )
    .await;
    let order = Order::of(product);
    service.place(&token, &order).await;
    service.place(&token, &order).await;
    service.place(&token, &Order::of(product)).await;
    for verdict in ["confirmed", "replayed", "sold_out"] {
        let line = format!("shop_orders_total{{verdict=\"{verdict}\"}}");
        assert_eq!(service.metric(&line).await, Some(1.0), "{verdict}");
    }
    assert_eq!(
        service.metric("shop_order_batch_size_count").await,
        Some(3.0)
    );
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_comes_back_with_it() {
    let mut server = Postgres::start(Durability::Off);
    let world = World::with_postgres(&server).await;
    let service = world.start().await;
    let ready = |report: &Value, name: &str| {
        let dependencies = report["dependencies"].as_array().unwrap();
        dependencies
            .iter()
            .find(|dependency| dependency["name"] == name)
            .unwrap()["ready"]
            == true
    };
    server.kill9();
    let report = service
        .until_report(|report| !ready(report, "postgres") && !ready(report, "product-contract"))
        .await;
    assert_eq!(report["ready"], false);
    assert!(ready(&report, "keys") && ready(&report, "redis"));
    server.start_again();
    service.ready().await;

    let revoke = "REVOKE EXECUTE ON FUNCTION product.take_stock(uuid[], uuid[], integer[], text[]) FROM shop_order";
    eventually("Postgres to take statements", SOON, || async {
        sqlx::query(revoke)
            .execute(&world.pool)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let report = service
        .until_report(|report| report["ready"] == false)
        .await;
    assert!(ready(&report, "postgres") && !ready(&report, "product-contract"));
    assert!(
        report.to_string().contains("product.take_stock"),
        "{report}"
    );
}

#[tokio::test]
async fn a_service_that_is_told_to_end_answers_what_it_has_and_ends_well() {
    let world = World::shared().await;
    let mut service = world.start().await;
    let token = world.token(Uuid::now_v7());
    let product = add_product(&world.pool, Product::default()).await;
    let gate = StockGate::close(&world.pool, product).await;
    let mut request = pin!(service.send(&token, &Order::of(product)));
    tokio::select! {
        answer = &mut request => panic!("answered with the gate closed: {answer:?}"),
        () = gate.until_somebody_waits() => {}
    }
    service.signal(Signal::SIGTERM);
    gate.open().await;
    assert_eq!(request.await.unwrap().status, StatusCode::CREATED);
    assert!(service.ended_well());
}
