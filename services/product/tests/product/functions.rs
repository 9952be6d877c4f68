//! Single calls of the functions: what they decide and what they say.

use shop_testkit::Role;
use uuid::Uuid;

use crate::sql::{
    Stock, Take, Taken, confirm, counters, end_sale, hold, hold_stock, migrated, new_product,
    new_sale, receive, release, stock, take, take_stock, take_verdicts,
};

#[tokio::test]
async fn requests_are_decided_in_their_order_and_a_smaller_later_one_may_still_be_taken() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 5, None).await;
    let requests: Vec<Take> = [3, 3, 2, 1]
        .into_iter()
        .map(|quantity| take(mug, Uuid::now_v7(), quantity))
        .collect();
    let taken = take_stock(&pool, &requests).await.unwrap();
    let row = |verdict: &str, free| Taken {
        verdict: verdict.to_owned(),
        unit_price_minor: Some(1000),
        currency: Some("EUR".to_owned()),
        sale: None,
        free: Some(free),
    };
    assert_eq!(
        taken,
        [
            row("taken", 2),
            row("sold_out", 2),
            row("taken", 0),
            row("sold_out", 0)
        ]
    );
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 5,
            free: 0,
            held: 0,
            sold: 5
        }
    );
}

#[tokio::test]
async fn a_sale_sets_price_and_limit_as_long_as_it_lasts() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 100, None).await;
    let sale = new_sale(&pool, mug, 2, Some(700)).await;
    let customer = Uuid::now_v7();
    let requests = [1, 2, 1, 1].map(|quantity| take(mug, customer, quantity));
    let taken = take_stock(&pool, &requests).await.unwrap();
    let verdicts: Vec<&str> = taken.iter().map(|taken| taken.verdict.as_str()).collect();
    assert_eq!(
        verdicts,
        ["taken", "limit_reached", "taken", "limit_reached"]
    );
    assert!(
        taken
            .iter()
            .all(|taken| taken.sale == Some(sale) && taken.unit_price_minor == Some(700))
    );
    assert_eq!(counters(&pool, sale).await.get(&customer), Some(&2));
    end_sale(&pool, sale).await;
    let taken = take_stock(&pool, &[take(mug, customer, 50)]).await.unwrap();
    assert_eq!(taken[0].verdict, "taken");
    assert_eq!(
        (taken[0].unit_price_minor, taken[0].sale),
        (Some(1000), None)
    );
}

#[tokio::test]
async fn one_batch_decides_many_products_each_by_its_own_rules() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let plenty = new_product(&pool, 100, None).await;
    let scarce = new_product(&pool, 1, None).await;
    let limited = new_product(&pool, 100, None).await;
    new_sale(&pool, limited, 1, None).await;
    let (ann, bob) = (Uuid::now_v7(), Uuid::now_v7());
    let requests = [
        take(limited, ann, 1),
        take(scarce, bob, 1),
        take(plenty, ann, 60),
        take(limited, bob, 1),
        take(scarce, ann, 1),
        take(Uuid::now_v7(), ann, 1),
        take(limited, ann, 1),
        take(plenty, bob, 60),
    ];
    assert_eq!(
        take_verdicts(&pool, &requests).await.unwrap(),
        [
            "taken",
            "taken",
            "taken",
            "taken",
            "sold_out",
            "not_found",
            "limit_reached",
            "sold_out"
        ]
    );
    assert_eq!(stock(&pool, plenty).await.sold, 60);
    assert_eq!(stock(&pool, scarce).await.sold, 1);
    assert_eq!(stock(&pool, limited).await.sold, 2);
}

#[tokio::test]
async fn a_tests_product_is_there_for_the_same_test_only_and_a_test_sees_nothing_else() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let public = new_product(&pool, 10, None).await;
    let tagged = new_product(&pool, 10, Some("run-1")).await;
    let of = |product, tag: Option<&str>| Take {
        tag: tag.map(str::to_owned),
        ..take(product, Uuid::now_v7(), 1)
    };
    let requests = [
        of(public, None),
        of(public, Some("run-1")),
        of(tagged, None),
        of(tagged, Some("run-2")),
        of(tagged, Some("run-1")),
    ];
    assert_eq!(
        take_verdicts(&pool, &requests).await.unwrap(),
        ["taken", "not_found", "not_found", "not_found", "taken"]
    );
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_as_a_whole() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    for quantity in [0, -1] {
        let error = take_stock(&pool, &[take(mug, mug, 1), take(mug, mug, quantity)])
            .await
            .unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "22023");
    }
    let unequal =
        sqlx::query("SELECT * FROM product.take_stock(ARRAY[$1], ARRAY[$1], '{}', ARRAY[NULL])")
            .bind(mug)
            .execute(&pool)
            .await
            .unwrap_err();
    assert_eq!(
        unequal.as_database_error().unwrap().code().unwrap(),
        "22023"
    );
    assert_eq!(
        take_verdicts(&pool, &[]).await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(stock(&pool, mug).await.free, 10);
}

#[tokio::test]
async fn a_transaction_that_rolls_back_gives_stock_and_limits_back() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 2).await;
    let mug = new_product(&pool, 10, None).await;
    let sale = new_sale(&pool, mug, 2, None).await;
    let mut transaction = pool.begin().await.unwrap();
    let taken = take_verdicts(&mut *transaction, &[take(mug, Uuid::now_v7(), 2)])
        .await
        .unwrap();
    assert_eq!(taken, ["taken"]);
    transaction.rollback().await.unwrap();
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 10,
            free: 10,
            held: 0,
            sold: 0
        }
    );
    assert!(counters(&pool, sale).await.is_empty());
}

#[tokio::test]
async fn a_hold_told_twice_holds_once_and_another_request_with_its_key_is_a_conflict() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    let ann = Uuid::now_v7();
    let first = hold("a", mug, ann, 2);
    // Twice in one batch, and again in the next.
    let verdicts = hold_stock(&pool, &[first.clone(), first.clone()])
        .await
        .unwrap();
    assert_eq!(verdicts, ["held", "held"]);
    assert_eq!(
        hold_stock(&pool, std::slice::from_ref(&first))
            .await
            .unwrap(),
        ["held"]
    );
    let mut others = vec![first.clone(); 5];
    others[0].take.quantity = 3;
    others[1].take.customer = Uuid::now_v7();
    others[2].take.product = Uuid::now_v7();
    others[3].ttl_seconds = 7;
    others[4].take.tag = Some("run-1".to_owned());
    for other in others {
        assert_eq!(hold_stock(&pool, &[other]).await.unwrap(), ["conflict"]);
    }
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 10,
            free: 8,
            held: 2,
            sold: 0
        }
    );
}

#[tokio::test]
async fn a_refused_hold_leaves_nothing_and_may_be_tried_again() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 1, None).await;
    let request = hold("a", mug, Uuid::now_v7(), 2);
    assert_eq!(
        hold_stock(&pool, std::slice::from_ref(&request))
            .await
            .unwrap(),
        ["sold_out"]
    );
    assert_eq!(
        confirm(&pool, &["a".to_owned()]).await.unwrap(),
        ["not_found"]
    );
    receive(&pool, mug, 1, "second").await;
    assert_eq!(hold_stock(&pool, &[request]).await.unwrap(), ["held"]);
}

#[tokio::test]
async fn holds_count_towards_the_limit_until_they_are_given_back() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 100, None).await;
    let sale = new_sale(&pool, mug, 3, None).await;
    let ann = Uuid::now_v7();
    assert_eq!(
        hold_stock(&pool, &[hold("a", mug, ann, 2)]).await.unwrap(),
        ["held"]
    );
    assert_eq!(
        take_verdicts(&pool, &[take(mug, ann, 2)]).await.unwrap(),
        ["limit_reached"]
    );
    assert_eq!(
        hold_stock(&pool, &[hold("b", mug, ann, 2)]).await.unwrap(),
        ["limit_reached"]
    );
    assert_eq!(
        release(&pool, &["a".to_owned()]).await.unwrap(),
        ["released"]
    );
    assert_eq!(
        hold_stock(&pool, &[hold("b", mug, ann, 2)]).await.unwrap(),
        ["held"]
    );
    assert_eq!(
        confirm(&pool, &["b".to_owned()]).await.unwrap(),
        ["confirmed"]
    );
    assert_eq!(counters(&pool, sale).await.get(&ann), Some(&2));
    assert_eq!(
        take_verdicts(&pool, &[take(mug, ann, 2)]).await.unwrap(),
        ["limit_reached"]
    );
}

#[tokio::test]
async fn confirming_and_releasing_are_idempotent_and_neither_undoes_the_other() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    let ann = Uuid::now_v7();
    hold_stock(&pool, &[hold("a", mug, ann, 1), hold("b", mug, ann, 2)])
        .await
        .unwrap();
    let keys = ["a", "nobody", "a"].map(str::to_owned);
    for _ in 0..2 {
        assert_eq!(
            confirm(&pool, &keys).await.unwrap(),
            ["confirmed", "not_found", "confirmed"]
        );
    }
    for _ in 0..2 {
        assert_eq!(
            release(&pool, &["b".to_owned()]).await.unwrap(),
            ["released"]
        );
    }
    assert_eq!(
        confirm(&pool, &["b".to_owned()]).await.unwrap(),
        ["released"]
    );
    assert_eq!(
        release(&pool, &["a".to_owned()]).await.unwrap(),
        ["confirmed"]
    );
    assert_eq!(
        hold_stock(&pool, &[hold("a", mug, ann, 1)]).await.unwrap(),
        ["confirmed"]
    );
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 10,
            free: 9,
            held: 0,
            sold: 1
        }
    );
}

#[tokio::test]
async fn a_delivery_counts_once_by_its_reference() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 0, None).await;
    assert_eq!(receive(&pool, mug, 5, "a").await, "received");
    assert_eq!(receive(&pool, mug, 5, "a").await, "repeated");
    assert_eq!(receive(&pool, mug, 6, "a").await, "conflict");
    assert_eq!(receive(&pool, mug, 6, "b").await, "received");
    assert_eq!(receive(&pool, Uuid::now_v7(), 6, "b").await, "not_found");
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 11,
            free: 11,
            held: 0,
            sold: 0
        }
    );
}

#[tokio::test]
async fn only_products_in_a_sale_at_this_moment_are_named_by_flash_sale() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let running = new_product(&pool, 1, None).await;
    let over = new_product(&pool, 1, None).await;
    let coming = new_product(&pool, 1, None).await;
    let sale = new_sale(&pool, running, 1, None).await;
    end_sale(&pool, new_sale(&pool, over, 1, None).await).await;
    sqlx::query(
        "INSERT INTO product.sales (id, product_id, starts_at, ends_at, limit_per_customer)
         VALUES (gen_random_uuid(), $1, now() + interval '1 hour', now() + interval '2 hours', 1)",
    )
    .bind(coming)
    .execute(&pool)
    .await
    .unwrap();
    let order = database.pool(Role::Order, 1).await;
    let found: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT product_id, sale_id FROM product.flash_sale($1)")
            .bind([running, over, coming])
            .fetch_all(&order)
            .await
            .unwrap();
    assert_eq!(found, [(running, sale)]);
}

#[tokio::test]
async fn forgotten_are_only_holds_that_were_decided_long_ago() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let mug = new_product(&pool, 10, None).await;
    let ann = Uuid::now_v7();
    let keys = ["old", "new", "held"];
    let holds = keys.map(|key| hold(key, mug, ann, 1));
    hold_stock(&pool, &holds).await.unwrap();
    confirm(&pool, &["old".to_owned(), "new".to_owned()])
        .await
        .unwrap();
    sqlx::query(
        "UPDATE product.holds SET decided_at = decided_at - interval '25 hours' WHERE key = 'old'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let forgotten: i32 = sqlx::query_scalar("SELECT product.forget_holds('24 hours', 100)")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(forgotten, 1);
    let left: Vec<String> = sqlx::query_scalar("SELECT key FROM product.holds ORDER BY key")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(left, ["held", "new"]);
    assert_eq!(
        stock(&pool, mug).await,
        Stock {
            received: 10,
            free: 7,
            held: 1,
            sold: 2
        }
    );
}

#[tokio::test]
async fn removing_a_tests_data_removes_all_of_it_and_nothing_else() {
    let database = migrated().await;
    let pool = database.pool(Role::Product, 1).await;
    let public = new_product(&pool, 10, None).await;
    let tagged = new_product(&pool, 10, Some("run-1")).await;
    let other = new_product(&pool, 10, Some("run-2")).await;
    new_sale(&pool, tagged, 5, None).await;
    let of_run = |mut request: crate::sql::Hold| {
        request.take.tag = Some("run-1".to_owned());
        request
    };
    let held = [
        of_run(hold("t", tagged, Uuid::now_v7(), 1)),
        hold("p", public, Uuid::now_v7(), 1),
    ];
    assert_eq!(hold_stock(&pool, &held).await.unwrap(), ["held", "held"]);
    let removed: i32 = sqlx::query_scalar("SELECT product.remove_test_data('run-1')")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(removed, 1);
    let left: Vec<Uuid> =
        sqlx::query_scalar("SELECT product_id FROM product.stock ORDER BY product_id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(left, [public, other]);
    let counts: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM product.sales), (SELECT count(*) FROM product.sale_counters),
            (SELECT count(*) FROM product.holds), (SELECT count(*) FROM product.products)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(counts, (0, 0, 1, 2));
}
