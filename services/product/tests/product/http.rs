//! The public API: the catalogue and its administration.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::{Caller, Service, empty, new_product};

#[tokio::test]
async fn a_product_is_made_found_changed_and_listed() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let made = service
        .post(Caller::Admin, "/api/products", new_product("MUG-1", 5))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("/api/products/{id}"));
    let expected = json!({
        "id": id,
        "sku": "MUG-1",
        "name": "Mug",
        "description": "Holds coffee",
        "price": {"amountMinor": 1250, "currency": "EUR"},
        "available": true,
    });
    assert_eq!(made.body, expected);
    for path in [
        format!("/api/products/{id}"),
        "/api/products/by-sku/MUG-1".to_owned(),
    ] {
        assert_eq!(service.get(Caller::Admin, &path).await.body, expected);
    }
    assert_eq!(
        service
            .get(Caller::Nobody, &format!("/api/products/{id}"))
            .await
            .body,
        expected
    );
    let list = service.get(Caller::Nobody, "/api/products").await;
    assert_eq!(list.body, json!({"items": [expected]}));

    let path = format!("/api/products/{id}");
    let change = json!({"name": "Cup", "price": {"amountMinor": 1300, "currency": "EUR"}});
    let changed = service
        .call(Caller::Admin, Method::PUT, &path, Some(change))
        .await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.body["name"], "Cup");
    assert_eq!(changed.body["price"]["amountMinor"], 1300);
    let change = json!({"name": "Cup", "price": {"amountMinor": 1300, "currency": "USD"}});
    let refused = service
        .call(Caller::Admin, Method::PUT, &path, Some(change.clone()))
        .await;
    assert!(refused.problem(409, "conflict").contains("currency"));
    let nowhere = format!("/api/products/{}", Uuid::now_v7());
    service
        .call(Caller::Admin, Method::PUT, &nowhere, Some(change))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_or_repetitions_while_products_are_added() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(service.product(&format!("MUG-{number}"), 1).await);
    }
    let mut found = Vec::new();
    let mut path = "/api/products?limit=3".to_owned();
    loop {
        let page = service.get(Caller::Nobody, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        found.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match page.body.get("nextCursor") {
            None => break,
            Some(cursor) => {
                assert_eq!(items.len(), 3);
                path = format!("/api/products?limit=3&cursor={}", cursor.as_str().unwrap());
                made.push(service.product(&format!("LATE-{}", found.len()), 1).await);
            }
        }
    }
    assert_eq!(found, made);
    assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
}

#[tokio::test]
async fn a_wrong_page_is_refused_with_what_is_wrong() {
    let database = empty().await;
    let service = Service::start(&database).await;
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("offset=3", "offset"),
    ] {
        let answer = service
            .get(Caller::Nobody, &format!("/api/products?{query}"))
            .await;
        let detail = answer.problem(400, "validation");
        assert!(detail.contains(named), "{query}: {detail}");
    }
}

#[tokio::test]
async fn only_administrators_administer() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let id = service.product("MUG-1", 5).await;
    let sale = json!({"startsAt": "2026-01-01T00:00:00Z", "endsAt": "2036-01-01T00:00:00Z", "limitPerCustomer": 1});
    let calls = [
        (
            Method::POST,
            "/api/products".to_owned(),
            Some(new_product("MUG-2", 1)),
        ),
        (
            Method::PUT,
            format!("/api/products/{id}"),
            Some(json!({"name": "Cup", "price": {"amountMinor": 1, "currency": "EUR"}})),
        ),
        (Method::GET, "/api/products/by-sku/MUG-1".to_owned(), None),
        (Method::GET, format!("/api/products/{id}/stock"), None),
        (
            Method::POST,
            format!("/api/products/{id}/stock"),
            Some(json!({"add": 1, "reference": "a"})),
        ),
        (Method::GET, format!("/api/products/{id}/sales"), None),
        (
            Method::POST,
            format!("/api/products/{id}/sales"),
            Some(sale),
        ),
        (
            Method::DELETE,
            "/api/products/test-data/run-1".to_owned(),
            None,
        ),
    ];
    for (method, path, body) in calls {
        let nobody = service
            .call(Caller::Nobody, method.clone(), &path, body.clone())
            .await;
        nobody.problem(401, "unauthorized");
        let customer = service
            .call(Caller::Customer, method.clone(), &path, body.clone())
            .await;
        customer.problem(403, "forbidden");
        // The services' own token opens nothing here.
        let internal = service
            .call(Caller::Internal, method.clone(), &path, body.clone())
            .await;
        internal.problem(401, "unauthorized");
        let admin = service
            .call(Caller::Admin, method.clone(), &path, body)
            .await;
        assert!(admin.status.is_success(), "{method} {path}: {}", admin.body);
    }
}

#[tokio::test]
async fn stock_comes_in_once_by_reference() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let id = service.product("MUG-1", 5).await;
    let path = format!("/api/products/{id}/stock");
    for _ in 0..2 {
        let answer = service
            .post(
                Caller::Admin,
                &path,
                json!({"add": 3, "reference": "truck"}),
            )
            .await;
        assert_eq!(
            answer.body,
            json!({"received": 8, "free": 8, "held": 0, "sold": 0})
        );
    }
    let other = service
        .post(
            Caller::Admin,
            &path,
            json!({"add": 4, "reference": "truck"}),
        )
        .await;
    other.problem(409, "conflict");
    for wrong in [
        json!({"add": 0, "reference": "x"}),
        json!({"add": 1, "reference": ""}),
    ] {
        service
            .post(Caller::Admin, &path, wrong)
            .await
            .problem(400, "validation");
    }
    let nowhere = format!("/api/products/{}/stock", Uuid::now_v7());
    service
        .get(Caller::Admin, &nowhere)
        .await
        .problem(404, "not-found");
    let answer = service
        .post(Caller::Admin, &nowhere, json!({"add": 1, "reference": "x"}))
        .await;
    answer.problem(404, "not-found");
}

#[tokio::test]
async fn a_sale_shows_in_the_catalogue_and_two_cannot_overlap() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let id = service.product("MUG-1", 5).await;
    let path = format!("/api/products/{id}/sales");
    let sale = json!({
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2036-01-01T00:00:00Z",
        "limitPerCustomer": 2,
        "price": {"amountMinor": 900, "currency": "EUR"},
    });
    let made = service.post(Caller::Admin, &path, sale.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let mut shown = made.body.clone();
    shown.as_object_mut().unwrap().remove("id");
    assert_eq!(shown, sale);
    let product = service
        .get(Caller::Nobody, &format!("/api/products/{id}"))
        .await;
    assert_eq!(product.body["sale"], made.body);
    assert_eq!(
        service.get(Caller::Admin, &path).await.body,
        json!({"items": [made.body]})
    );

    let detail = service
        .post(Caller::Admin, &path, sale.clone())
        .await
        .problem(409, "conflict");
    assert!(detail.contains("another sale"), "{detail}");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = sale.clone();
        changed["startsAt"] = json!("2037-01-01T00:00:00Z");
        changed["endsAt"] = json!("2038-01-01T00:00:00Z");
        change(&mut changed);
        changed
    };
    let dollars = with(&|sale| sale["price"]["currency"] = json!("USD"));
    service
        .post(Caller::Admin, &path, dollars)
        .await
        .problem(409, "conflict");
    let backwards = with(&|sale| sale["endsAt"] = json!("2036-06-01T00:00:00Z"));
    service
        .post(Caller::Admin, &path, backwards)
        .await
        .problem(400, "validation");
    let nobody = with(&|sale| sale["limitPerCustomer"] = json!(0));
    service
        .post(Caller::Admin, &path, nobody)
        .await
        .problem(400, "validation");
    let nowhere = format!("/api/products/{}/sales", Uuid::now_v7());
    service
        .post(Caller::Admin, &nowhere, with(&|_| ()))
        .await
        .problem(404, "not-found");
    let next = service.post(Caller::Admin, &path, with(&|_| ())).await;
    assert_eq!(next.status, StatusCode::CREATED, "{}", next.body);
}

#[tokio::test]
async fn what_is_wrong_with_a_product_is_told_all_at_once_and_a_taken_sku_is_a_conflict() {
    let database = empty().await;
    let service = Service::start(&database).await;
    service.product("MUG-1", 5).await;
    let taken = service
        .post(Caller::Admin, "/api/products", new_product("MUG-1", 5))
        .await;
    assert!(taken.problem(409, "conflict").contains("sku"));
    let mut wrong = new_product("", -1);
    wrong["price"]["currency"] = json!("euro");
    let detail = service
        .post(Caller::Admin, "/api/products", wrong)
        .await
        .problem(400, "validation");
    for field in ["sku", "stock", "currency"] {
        assert!(detail.contains(field), "{field} is missing in: {detail}");
    }
    let mut unknown = new_product("MUG-2", 1);
    unknown["colour"] = json!("red");
    let detail = service
        .post(Caller::Admin, "/api/products", unknown)
        .await
        .problem(400, "validation");
    assert!(detail.contains("colour"), "{detail}");
    let mut long = new_product("MUG-2", 1);
    long["description"] = json!("x".repeat(70_000));
    service
        .post(Caller::Admin, "/api/products", long)
        .await
        .problem(413, "too-large");
}

#[tokio::test]
async fn a_tests_products_are_hidden_from_everybody_else_and_removed_together() {
    let database = empty().await;
    let service = Service::start(&database).await;
    let public = service.product("MUG-1", 5).await;
    let made = service
        .post(
            Caller::TestAdmin("run-1"),
            "/api/products",
            new_product("T-1", 5),
        )
        .await;
    assert_eq!(made.body["tag"], "run-1", "{}", made.body);
    let path = format!("/api/products/{}", made.body["id"].as_str().unwrap());
    for caller in [Caller::Nobody, Caller::Customer, Caller::Test("run-2")] {
        service.get(caller, &path).await.problem(404, "not-found");
    }
    for caller in [Caller::Test("run-1"), Caller::Admin] {
        assert_eq!(service.get(caller, &path).await.status, StatusCode::OK);
    }
    let list = service
        .get(Caller::TestAdmin("run-1"), "/api/products")
        .await;
    let listed: Vec<&Value> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["id"])
        .collect();
    assert_eq!(listed, [&json!(public)]);
    for expected in [1, 0] {
        let removed = service
            .call(
                Caller::Admin,
                Method::DELETE,
                "/api/products/test-data/run-1",
                None,
            )
            .await;
        assert_eq!(removed.body, json!({"products": expected}));
    }
    service
        .get(Caller::Admin, &path)
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn unknown_paths_methods_and_ids_are_problems_and_the_document_names_every_route() {
    let database = empty().await;
    let service = Service::start(&database).await;
    service
        .get(Caller::Nobody, "/api/product")
        .await
        .problem(404, "not-found");
    service
        .get(Caller::Nobody, "/api/products/not-an-id")
        .await
        .problem(404, "not-found");
    let method = service
        .call(Caller::Nobody, Method::PATCH, "/api/products", None)
        .await;
    method.problem(405, "method-not-allowed");
    // The internal API is not here.
    let holds = service
        .post(Caller::Internal, "/internal/holds", json!({"items": []}))
        .await;
    holds.problem(404, "not-found");
    let document = service.get(Caller::Nobody, "/openapi.json").await;
    let paths: HashSet<&str> = document.body["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "/api/products",
        "/api/products/{id}",
        "/api/products/{id}/stock",
        "/api/products/{id}/sales",
        "/api/products/by-sku/{sku}",
        "/api/products/test-data/{tag}",
    ];
    assert_eq!(paths, HashSet::from(expected));
}

#[tokio::test]
async fn a_service_whose_postgres_is_away_says_so_and_comes_back_with_it() {
    let mut server = shop_testkit::Postgres::start(shop_testkit::Durability::Off);
    // The database is not borrowed while the server is stopped and started.
    let service = {
        let database = server.database().await;
        let service = Service::start(&database).await;
        service.product("MUG-1", 5).await;
        std::mem::forget(database);
        service
    };
    server.stop();
    let answer = service.get(Caller::Nobody, "/api/products").await;
    answer.problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    shop_testkit::eventually(
        "readiness to notice",
        std::time::Duration::from_secs(10),
        async || {
            let readiness = service.readiness().await;
            let postgres = &readiness.body["dependencies"][0];
            match readiness.status {
                StatusCode::SERVICE_UNAVAILABLE if postgres["name"] == "postgres" => Ok(()),
                _ => Err(readiness.body.to_string()),
            }
        },
    )
    .await;
    server.start_again();
    service.ready().await;
    let list = service.get(Caller::Nobody, "/api/products").await;
    assert_eq!(list.body["items"][0]["sku"], "MUG-1");
    service.stop().await;
}
