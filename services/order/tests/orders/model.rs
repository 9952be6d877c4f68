//! Batches of orders against a model that knows nothing of SQL: the same verdicts, the same stock.

use std::collections::HashMap;

use crate::support::{Product, add_product, migrate, ordered, request, stock};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shop_order::batcher::Decide;
use shop_order::order::{OrderRequest, Outcome, RefusalReason};
use shop_order::store::PostgresDecider;
use shop_testkit::{Postgres, Role};
use sqlx::PgPool;
use uuid::Uuid;

const CUSTOMERS: usize = 3;
const TAG: &str = "model";

/// What is for sale in each run; the place after the last stands for a product that does not exist.
const PRODUCTS: [Product<'_>; 3] = [
    Product {
        stock: 5,
        tag: None,
        limit: None,
    },
    Product {
        stock: 6,
        tag: None,
        limit: Some(3),
    },
    Product {
        stock: 4,
        tag: Some(TAG),
        limit: None,
    },
];

#[derive(Debug, Clone)]
struct Ask {
    customer: usize,
    key: u8,
    product: usize,
    quantity: i32,
    tagged: bool,
}

fn ask() -> impl Strategy<Value = Ask> {
    (
        0..CUSTOMERS,
        0..6_u8,
        0..=PRODUCTS.len(),
        1..4_i32,
        proptest::bool::weighted(0.3),
    )
        .prop_map(|(customer, key, product, quantity, tagged)| Ask {
            customer,
            key,
            product,
            quantity,
            tagged,
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Confirmed,
    SoldOut,
    LimitReached,
    NotFound,
    KeyReused,
}

/// The rules of the shop, in as few words as possible.
struct Model {
    free: [i64; PRODUCTS.len()],
    bought: HashMap<usize, i32>,
    keys: HashMap<(usize, u8), (usize, i32, Said)>,
}

impl Model {
    fn new() -> Self {
        Self {
            free: PRODUCTS.map(|product| product.stock),
            bought: HashMap::new(),
            keys: HashMap::new(),
        }
    }

    /// What is said, and whether it was said before.
    fn decide(&mut self, ask: &Ask) -> (Said, bool) {
        if let Some((product, quantity, said)) = self.keys.get(&(ask.customer, ask.key)) {
            let same = (*product, *quantity) == (ask.product, ask.quantity);
            return (if same { *said } else { Said::KeyReused }, true);
        }
        let said = self.sell(ask);
        if said != Said::NotFound {
            self.keys
                .insert((ask.customer, ask.key), (ask.product, ask.quantity, said));
        }
        (said, false)
    }

    fn sell(&mut self, ask: &Ask) -> Said {
        let Some(product) = PRODUCTS.get(ask.product) else {
            return Said::NotFound;
        };
        if product.tag.is_some() != ask.tagged {
            return Said::NotFound;
        }
        if self.free[ask.product] < i64::from(ask.quantity) {
            return Said::SoldOut;
        }
        if let Some(limit) = product.limit {
            let bought = self.bought.entry(ask.customer).or_default();
            if *bought + ask.quantity > limit {
                return Said::LimitReached;
            }
            *bought += ask.quantity;
        }
        self.free[ask.product] -= i64::from(ask.quantity);
        Said::Confirmed
    }
}

struct World {
    pool: PgPool,
    decider: PostgresDecider,
    customers: [Uuid; CUSTOMERS],
    products: Vec<Uuid>,
}

impl World {
    async fn new(pool: PgPool, decider: PostgresDecider) -> Self {
        let mut products = Vec::new();
        for product in PRODUCTS {
            products.push(add_product(&pool, product).await);
        }
        products.push(Uuid::now_v7());
        Self {
            pool,
            decider,
            customers: std::array::from_fn(|_| Uuid::now_v7()),
            products,
        }
    }

    fn request(&self, ask: &Ask) -> OrderRequest {
        let key = format!("key-{}", ask.key);
        OrderRequest {
            quantity: ask.quantity,
            tag: ask.tagged.then(|| TAG.to_owned()),
            ..request(
                self.customers[ask.customer],
                &key,
                self.products[ask.product],
            )
        }
    }

    /// Decides a batch; what is not settled yet is asked again by itself, as a lane does.
    async fn decide(&mut self, batch: &[Ask]) -> Vec<(Said, bool)> {
        let requests: Vec<_> = batch.iter().map(|ask| self.request(ask)).collect();
        let mut said = vec![None; requests.len()];
        while said.contains(&None) {
            let open: Vec<usize> = (0..said.len())
                .filter(|place| said[*place].is_none())
                .collect();
            let asked: Vec<_> = open.iter().map(|place| &requests[*place]).collect();
            let verdicts = self.decider.decide(&asked).await.unwrap();
            for (place, verdict) in open.into_iter().zip(verdicts) {
                said[place] = verdict.map(|decision| {
                    let said = match decision.outcome {
                        Outcome::Confirmed(_) => Said::Confirmed,
                        Outcome::Refused(refusal) => match refusal.reason {
                            RefusalReason::SoldOut => Said::SoldOut,
                            RefusalReason::LimitReached => Said::LimitReached,
                        },
                        Outcome::NotFound => Said::NotFound,
                        Outcome::KeyReused => Said::KeyReused,
                    };
                    (said, decision.replayed)
                });
            }
        }
        said.into_iter().flatten().collect()
    }
}

/// The model's verdicts of a batch. A key that comes twice in a batch and whose first request names nothing is decided
/// after the rest, for it was not free while the batch was claimed.
fn expected(model: &mut Model, batch: &[Ask]) -> Vec<(Said, bool)> {
    let mut said = vec![None; batch.len()];
    let mut open: Vec<usize> = (0..batch.len()).collect();
    while !open.is_empty() {
        let mut later = Vec::new();
        let mut nothing = Vec::new();
        for place in open {
            let ask = &batch[place];
            if nothing.contains(&(ask.customer, ask.key)) {
                later.push(place);
                continue;
            }
            let verdict = model.decide(ask);
            if verdict.0 == Said::NotFound {
                nothing.push((ask.customer, ask.key));
            }
            said[place] = Some(verdict);
        }
        open = later;
    }
    said.into_iter().flatten().collect()
}

#[test]
fn any_sequence_of_batches_is_decided_as_the_model_decides_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(Postgres::shared().database());
    runtime.block_on(migrate(&database));
    let pool = runtime.block_on(database.pool(Role::Superuser, 4));
    let batches = prop::collection::vec(prop::collection::vec(ask(), 1..12), 1..10);
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let held = TestRunner::new(config).run(&batches, |batches| {
        runtime.block_on(async {
            let decider = PostgresDecider::new(database.options(Role::Order));
            let mut world = World::new(pool.clone(), decider).await;
            let mut model = Model::new();
            for batch in &batches {
                let said = world.decide(batch).await;
                prop_assert_eq!(said, expected(&mut model, batch));
            }
            for (place, product) in PRODUCTS.iter().enumerate() {
                let (free, sold) = stock(&world.pool, world.products[place]).await;
                prop_assert_eq!(
                    (free, sold),
                    (model.free[place], product.stock - model.free[place])
                );
                prop_assert_eq!(ordered(&world.pool, world.products[place]).await.1, sold);
            }
            Ok(())
        })
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}
