//! Random histories of takes, holds, deliveries, sales and passing time, each step checked against a model that is
//! nothing but arithmetic.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shop_testkit::Role;
use sqlx::PgPool;
use uuid::Uuid;

use crate::sql::{
    Hold, Stock, Take, confirm, counters, end_sale, expire, hold_stock, migrated, new_product,
    new_sale, receive, release, run_out, stock, take_verdicts,
};

const CASES: u32 = 96;
const PRODUCTS: usize = 3;
const CUSTOMERS: usize = 3;
const KEYS: usize = 6;
/// The last product belongs to this test run.
const TAG: &str = "run-1";

#[derive(Debug, Clone)]
struct Request {
    /// One more than there are: the last index names a product that does not exist.
    product: usize,
    customer: usize,
    quantity: i32,
    tagged: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Take(Vec<Request>),
    Hold(Vec<(usize, Request)>),
    Confirm(Vec<usize>),
    Release(Vec<usize>),
    RunOut(Vec<usize>),
    Sweep(i32),
    Deliver {
        product: usize,
        added: i64,
        reference: usize,
    },
    BeginSale {
        product: usize,
        limit: i32,
    },
    EndSale {
        product: usize,
    },
}

fn request() -> impl Strategy<Value = Request> {
    let product = prop_oneof![8 => 0..PRODUCTS, 1 => Just(PRODUCTS)];
    (product, 0..CUSTOMERS, 1..4, prop::bool::weighted(0.3)).prop_map(
        |(product, customer, quantity, tagged)| Request {
            product,
            customer,
            quantity,
            tagged,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec(0..KEYS, 0..4);
    prop_oneof![
        4 => prop::collection::vec(request(), 0..6).prop_map(Step::Take),
        5 => prop::collection::vec((0..KEYS, request()), 0..5).prop_map(Step::Hold),
        2 => keys().prop_map(Step::Confirm),
        2 => keys().prop_map(Step::Release),
        2 => keys().prop_map(Step::RunOut),
        2 => (0..4).prop_map(Step::Sweep),
        2 => (0..PRODUCTS, 1..6_i64, 0..3_usize)
            .prop_map(|(product, added, reference)| Step::Deliver { product, added, reference }),
        2 => (0..PRODUCTS, 1..5).prop_map(|(product, limit)| Step::BeginSale { product, limit }),
        1 => (0..PRODUCTS).prop_map(|product| Step::EndSale { product }),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct ModelHold {
    request: (usize, usize, i32, bool),
    sale: Option<usize>,
    status: &'static str,
    ran_out: bool,
}

/// What the database should say.
#[derive(Debug, Default)]
struct Model {
    stock: [Stock; PRODUCTS],
    receipts: HashMap<(usize, usize), i64>,
    /// Limits of all sales there were, and the running one of each product.
    limits: Vec<i32>,
    running: [Option<usize>; PRODUCTS],
    bought: BTreeMap<(usize, usize), i32>,
    holds: BTreeMap<usize, ModelHold>,
}

impl Model {
    /// Decides one request, and moves what it grants out of the free stock.
    fn reserve(&mut self, request: &Request) -> (&'static str, Option<usize>) {
        let tagged_product = request.product == PRODUCTS - 1;
        if request.product >= PRODUCTS || request.tagged != tagged_product {
            return ("not_found", None);
        }
        let quantity = i64::from(request.quantity);
        let sale = self.running[request.product];
        if self.stock[request.product].free < quantity {
            return ("sold_out", sale);
        }
        if let Some(sale) = sale {
            let bought = self.bought.entry((sale, request.customer)).or_default();
            if *bought + request.quantity > self.limits[sale] {
                return ("limit_reached", Some(sale));
            }
            *bought += request.quantity;
        }
        self.stock[request.product].free -= quantity;
        ("taken", sale)
    }

    fn take(&mut self, request: &Request) -> &'static str {
        let (verdict, _) = self.reserve(request);
        if verdict == "taken" {
            self.stock[request.product].sold += i64::from(request.quantity);
        }
        verdict
    }

    /// Requests of a batch are decided in order; a key that is refused stays refused within its batch.
    fn hold(&mut self, requests: &[(usize, Request)]) -> Vec<&'static str> {
        let mut refused = HashMap::new();
        for (key, request) in requests {
            if self.holds.contains_key(key) || refused.contains_key(key) {
                continue;
            }
            let (verdict, sale) = self.reserve(request);
            if verdict == "taken" {
                self.stock[request.product].held += i64::from(request.quantity);
                let request = (
                    request.product,
                    request.customer,
                    request.quantity,
                    request.tagged,
                );
                let held = ModelHold {
                    request,
                    sale,
                    status: "held",
                    ran_out: false,
                };
                self.holds.insert(*key, held);
            } else {
                refused.insert(*key, verdict);
            }
        }
        let verdict = |(key, request): &(usize, Request)| match self.holds.get(key) {
            None => refused[key],
            Some(hold) => {
                let same = hold.request
                    == (
                        request.product,
                        request.customer,
                        request.quantity,
                        request.tagged,
                    );
                match (same, hold.status, hold.ran_out) {
                    (false, ..) => "conflict",
                    (true, "held", true) => "expired",
                    (true, status, _) => status,
                }
            }
        };
        requests.iter().map(verdict).collect()
    }

    fn decide(&mut self, key: usize, outcome: &'static str) -> &'static str {
        let Some(hold) = self.holds.get_mut(&key) else {
            return "not_found";
        };
        if hold.status != "held" {
            return hold.status;
        }
        if outcome == "confirmed" && hold.ran_out {
            return "expired";
        }
        hold.status = outcome;
        let (product, customer, quantity, _) = hold.request;
        let stock = &mut self.stock[product];
        stock.held -= i64::from(quantity);
        if outcome == "confirmed" {
            stock.sold += i64::from(quantity);
        } else {
            stock.free += i64::from(quantity);
            if let Some(sale) = hold.sale {
                *self.bought.get_mut(&(sale, customer)).unwrap() -= quantity;
            }
        }
        outcome
    }
}

/// The real thing beside the model.
struct Real<'a> {
    pool: &'a PgPool,
    products: Vec<Uuid>,
    customers: Vec<Uuid>,
    sales: Vec<Uuid>,
    /// Keys are global, cases share the database.
    case: Uuid,
}

impl Real<'_> {
    fn take(&self, request: &Request) -> Take {
        Take {
            product: self.products[request.product],
            customer: self.customers[request.customer],
            quantity: request.quantity,
            tag: request.tagged.then(|| TAG.to_owned()),
        }
    }

    fn keys(&self, keys: &[usize]) -> Vec<String> {
        keys.iter()
            .map(|key| format!("{}-{key}", self.case))
            .collect()
    }
}

#[test]
fn every_history_leaves_stock_limits_and_verdicts_as_arithmetic_says() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let database = runtime.block_on(migrated());
    let pool = runtime.block_on(database.pool(Role::Product, 1));
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let histories = (
        prop::array::uniform3(0..8_i64),
        prop::collection::vec(step(), 1..30),
    );
    runner
        .run(&histories, |(initial, steps)| {
            runtime.block_on(history(&pool, initial, &steps))
        })
        .unwrap();
}

async fn history(
    pool: &PgPool,
    initial: [i64; PRODUCTS],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut products = Vec::new();
    let mut model = Model::default();
    for (index, stock) in initial.into_iter().enumerate() {
        let tag = (index == PRODUCTS - 1).then_some(TAG);
        products.push(new_product(pool, stock, tag).await);
        model.stock[index] = Stock {
            received: stock,
            free: stock,
            held: 0,
            sold: 0,
        };
    }
    products.push(Uuid::now_v7());
    let customers = (0..CUSTOMERS).map(|_| Uuid::now_v7()).collect();
    let mut real = Real {
        pool,
        products,
        customers,
        sales: Vec::new(),
        case: Uuid::now_v7(),
    };
    for step in steps {
        apply(&mut real, &mut model, step).await?;
        compare(&real, &model).await?;
    }
    // What is held at the end must not be swept into another case.
    release(pool, &real.keys(&(0..KEYS).collect::<Vec<_>>()))
        .await
        .unwrap();
    Ok(())
}

async fn apply(real: &mut Real<'_>, model: &mut Model, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Take(requests) => {
            let takes: Vec<Take> = requests.iter().map(|request| real.take(request)).collect();
            let verdicts = take_verdicts(real.pool, &takes).await.unwrap();
            let expected: Vec<_> = requests.iter().map(|request| model.take(request)).collect();
            prop_assert_eq!(verdicts, expected);
        }
        Step::Hold(requests) => {
            let hold = |(key, request): &(usize, Request)| Hold {
                key: real.keys(&[*key]).remove(0),
                take: real.take(request),
                ttl_seconds: 3600,
            };
            let holds: Vec<Hold> = requests.iter().map(hold).collect();
            let verdicts = hold_stock(real.pool, &holds).await.unwrap();
            prop_assert_eq!(verdicts, model.hold(requests));
        }
        Step::Confirm(keys) => {
            let verdicts = confirm(real.pool, &real.keys(keys)).await.unwrap();
            let expected: Vec<_> = keys
                .iter()
                .map(|key| model.decide(*key, "confirmed"))
                .collect();
            prop_assert_eq!(verdicts, expected);
        }
        Step::Release(keys) => {
            let verdicts = release(real.pool, &real.keys(keys)).await.unwrap();
            let expected: Vec<_> = keys
                .iter()
                .map(|key| model.decide(*key, "released"))
                .collect();
            prop_assert_eq!(verdicts, expected);
        }
        Step::RunOut(keys) => {
            run_out(real.pool, &real.keys(keys)).await;
            for key in keys {
                if let Some(hold) = model.holds.get_mut(key) {
                    hold.ran_out |= hold.status == "held";
                }
            }
        }
        Step::Sweep(max) => sweep(real, model, *max).await?,
        Step::Deliver {
            product,
            added,
            reference,
        } => {
            let id = real.products[*product];
            let verdict = receive(real.pool, id, *added, &reference.to_string()).await;
            let known = model.receipts.get(&(*product, *reference)).copied();
            let expected = match known {
                Some(known) if known == *added => "repeated",
                Some(_) => "conflict",
                None => {
                    model.receipts.insert((*product, *reference), *added);
                    model.stock[*product].received += added;
                    model.stock[*product].free += added;
                    "received"
                }
            };
            prop_assert_eq!(verdict, expected);
        }
        Step::BeginSale { product, limit } => {
            if let Some(sale) = model.running[*product] {
                end_sale(real.pool, real.sales[sale]).await;
            }
            model.running[*product] = Some(real.sales.len());
            model.limits.push(*limit);
            real.sales
                .push(new_sale(real.pool, real.products[*product], *limit, None).await);
        }
        Step::EndSale { product } => {
            if let Some(sale) = model.running[*product].take() {
                end_sale(real.pool, real.sales[sale]).await;
            }
        }
    }
    Ok(())
}

/// The database picks which holds it returns first; the model follows what it picked.
async fn sweep(real: &Real<'_>, model: &mut Model, max: i32) -> Result<(), TestCaseError> {
    let due: Vec<usize> = model
        .holds
        .iter()
        .filter(|(_, hold)| hold.status == "held" && hold.ran_out)
        .map(|(key, _)| *key)
        .collect();
    let swept = expire(real.pool, max).await.unwrap();
    prop_assert_eq!(swept, max.min(i32::try_from(due.len()).unwrap()));
    let expired: Vec<String> = sqlx::query_scalar(
        "SELECT key FROM product.holds WHERE key = ANY ($1) AND status = 'expired'",
    )
    .bind(real.keys(&due))
    .fetch_all(real.pool)
    .await
    .unwrap();
    prop_assert_eq!(expired.len(), usize::try_from(swept).unwrap());
    for key in due {
        if expired.contains(&real.keys(&[key])[0]) {
            model.decide(key, "expired");
        }
    }
    Ok(())
}

async fn compare(real: &Real<'_>, model: &Model) -> Result<(), TestCaseError> {
    for (product, expected) in real.products.iter().zip(&model.stock) {
        prop_assert_eq!(stock(real.pool, *product).await, *expected);
    }
    for (index, sale) in real.sales.iter().enumerate() {
        let found = counters(real.pool, *sale).await;
        let expected: BTreeMap<Uuid, i32> = model
            .bought
            .iter()
            .filter(|((sale, _), bought)| *sale == index && **bought > 0)
            .map(|((_, customer), bought)| (real.customers[*customer], *bought))
            .collect();
        prop_assert_eq!(found, expected);
    }
    Ok(())
}
