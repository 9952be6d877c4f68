//! Customers who note everything: operations begin at a constant rate, however long the answers take.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use super::answer::Heard;
use super::history::{Action, Operation, Outcome, Record, Settlement, Told};
use super::journal::Journal;
use super::stage::{Customer, SaleStage, Stage};
use crate::shop::test_data::Account;
use crate::shop::{Request, Shop};

/// How long a customer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a customer waits before the one repeat.
const BEFORE_REPEAT: Duration = Duration::from_millis(100);
/// Every so many operations one is a login: each costs a hash of a password.
const LOGIN_EVERY: u64 = 50;
/// Every so many orders one is for the product that runs out.
const SCARCE_EVERY: u64 = 10;
/// How many of the latest acknowledged orders are read again.
const REMEMBERED: usize = 500;
/// How often and how patiently a key is settled when operations have ended.
const SETTLE_TRIES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// How many keys are asked about at the same time: no customer is allowed much more than his share of this.
const SETTLED_AT_ONCE: usize = 8;
/// Orders in the sale are numbered from here on, so that they never share a number with the others.
pub(super) const FIRST_IN_SALE: u64 = 1 << 32;
/// How many keys of each kind that are not open are asked about too.
const SAMPLE: usize = 100;

/// The recorder.
pub(super) struct Recorder {
    shop: Shop,
    journal: Arc<Journal>,
    stage: Arc<Stage>,
    /// Acknowledged orders that can be read: whose, which, by which key.
    known: Mutex<VecDeque<(usize, Uuid, String)>>,
    /// Drawn once, so that two runs never share a key.
    run: Uuid,
}

impl Recorder {
    pub(super) fn new(shop: Shop, journal: Arc<Journal>, stage: Arc<Stage>) -> Arc<Self> {
        Arc::new(Self {
            shop,
            journal,
            stage,
            known: Mutex::default(),
            run: Uuid::now_v7(),
        })
    }

    /// Begins operations at a constant rate until the future is dropped or `until` ends; then waits for those that
    /// are under way.
    pub(super) async fn record(self: &Arc<Self>, rate: u32, until: impl Future<Output = ()>) {
        let mut running = JoinSet::new();
        let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
        // Late ones are begun at once: the rate is offered, whatever this machine is busy with.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut until = std::pin::pin!(until);
        let mut number = 0;
        loop {
            tokio::select! {
                () = &mut until => break,
                _ = ticks.tick() => {
                    let recorder = Arc::clone(self);
                    running.spawn(async move { recorder.operate(number).await });
                    number += 1;
                }
            }
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
    }

    /// One operation of the constant load.
    async fn operate(&self, number: u64) {
        let (place, action) = self.choose(number);
        let told = self.carry_out(number, place, self.customer(place), action.clone());
        if let (Action::Order { key, .. }, Some(Told::Confirmed(order))) = (action, told.await) {
            self.remember(place, order.id, key);
        }
    }

    /// An order in the sale by one of its customers, under a key of its own.
    pub(super) async fn order_in_sale(&self, number: u64, sale: &SaleStage, customer: &Customer) {
        let action = Action::Order {
            key: format!("drill-{}-{number}", self.run.simple()),
            product: sale.product,
            quantity: 1,
        };
        self.carry_out(number, 0, customer, action).await;
    }

    /// One operation with its one repeat, written down when it has ended.
    async fn carry_out(
        &self,
        number: u64,
        place: usize,
        customer: &Customer,
        action: Action,
    ) -> Option<Told> {
        let under_way = self.journal.begin();
        let mut attempts = 1;
        let mut heard = self.attempt(place, customer, &action).await;
        if heard.is_broken() {
            sleep(BEFORE_REPEAT).await;
            attempts += 1;
            let again = self.attempt(place, customer, &action).await;
            // "Not done" is about the repeat: what became of the first try is not known.
            let still_open = heard.outcome == Outcome::Unknown && again.outcome == Outcome::Fail;
            heard = Heard {
                outcome: if still_open {
                    Outcome::Unknown
                } else {
                    again.outcome
                },
                ..again
            };
        }
        let told = heard.told.clone();
        self.journal.write(Record::Operation(Operation {
            number,
            customer: customer.id,
            action,
            began: under_way.began,
            ended: self.journal.now(),
            attempts,
            outcome: heard.outcome,
            status: heard.status,
            reason: heard.reason,
            told: heard.told,
        }));
        told
    }

    /// Whose turn it is, and for what. Every other operation is an order, now and then one is a login, the rest read what was ordered.
    fn choose(&self, number: u64) -> (usize, Action) {
        let place = usize::try_from(number).unwrap_or(0);
        let customer = place % self.stage.customers.len().max(1);
        if number % LOGIN_EVERY == LOGIN_EVERY - 1 && !self.stage.accounts.is_empty() {
            // Logins take turns of their own: an account may not be tried too often.
            let turn = usize::try_from(number / LOGIN_EVERY).unwrap_or(0);
            return (turn, Action::Login);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if number % 2 == 1
            && let Some((whose, order, key)) = known.get(place % known.len().max(1))
        {
            let (order, key) = (*order, key.clone());
            return (*whose, Action::Read { order, key });
        }
        let product = if number.is_multiple_of(2 * SCARCE_EVERY) {
            self.stage.scarce
        } else {
            self.stage.plenty
        };
        let key = format!("drill-{}-{number}", self.run.simple());
        (
            customer,
            Action::Order {
                key,
                product,
                quantity: 1,
            },
        )
    }

    fn customer(&self, place: usize) -> &Customer {
        &self.stage.customers[place % self.stage.customers.len()]
    }

    fn remember(&self, customer: usize, order: Uuid, key: String) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back((customer, order, key));
    }

    async fn attempt(&self, place: usize, customer: &Customer, action: &Action) -> Heard {
        let attempt = async {
            match action {
                Action::Order {
                    key,
                    product,
                    quantity,
                } => self.order(customer, key, *product, *quantity).await,
                Action::Read { order, .. } => {
                    let path = format!("/api/orders/{order}");
                    let request = Request::get(&path).token(&customer.token);
                    Heard::of_read(self.shop.ask(&request).await)
                }
                Action::Login => {
                    let Account { email, password } =
                        &self.stage.accounts[place % self.stage.accounts.len()];
                    let body = json!({"email": email, "password": password});
                    let request = Request::post("/api/auth/login", body);
                    Heard::of_login(self.shop.ask(&request).await)
                }
            }
        };
        timeout(PATIENCE, attempt).await.unwrap_or_else(|_| {
            Heard::nothing(format!("no answer within {} s", PATIENCE.as_secs()))
        })
    }

    async fn order(&self, customer: &Customer, key: &str, product: Uuid, quantity: i32) -> Heard {
        let body = json!({"productId": product, "quantity": quantity});
        let request = Request::post("/api/orders", body)
            .token(&customer.token)
            .key(key);
        Heard::of_order(self.shop.ask(&request).await)
    }

    /// Asks what became of every open key, and of some that were answered, and repeats their requests.
    pub(super) async fn settle(&self, operations: &[Operation]) {
        let mut answered = [0_usize; 2];
        let asked = operations.iter().filter(|operation| {
            if !matches!(operation.action, Action::Order { .. }) {
                return false;
            }
            let kind = match (operation.outcome, &operation.told) {
                (Outcome::Unknown, _) => None,
                (Outcome::Ok, Some(Told::Confirmed(_))) => Some(0),
                (Outcome::Ok, Some(Told::Refused { .. })) => Some(1),
                _ => return false,
            };
            let in_sale = operation.number >= FIRST_IN_SALE;
            if let Some(kind) = kind.filter(|_| !in_sale) {
                answered[kind] += 1;
                return answered[kind] <= SAMPLE;
            }
            true
        });
        // After an outage there are thousands.
        futures_util::stream::iter(asked)
            .for_each_concurrent(SETTLED_AT_ONCE, |operation| self.settle_one(operation))
            .await;
    }

    async fn settle_one(&self, operation: &Operation) {
        let Action::Order {
            key,
            product,
            quantity,
        } = &operation.action
        else {
            return;
        };
        let Some(customer) = self.stage.customer(operation.customer) else {
            return;
        };
        let by_key = self
            .until_told(async || {
                let path = format!("/api/orders/by-key/{key}");
                let request = Request::new(Method::GET, &path).token(&customer.token);
                Heard::of_order(self.shop.ask(&request).await)
            })
            .await;
        let replay = self
            .until_told(async || self.order(customer, key, *product, *quantity).await)
            .await;
        self.journal.write(Record::Settlement(Settlement {
            operation: operation.number,
            by_key,
            replay,
        }));
    }

    /// Asks again and again until there is an answer that tells something.
    async fn until_told(&self, ask: impl AsyncFn() -> Heard) -> Option<Told> {
        for _ in 0..SETTLE_TRIES {
            if let Ok(Heard {
                told: Some(told), ..
            }) = timeout(PATIENCE, ask()).await
            {
                return Some(told);
            }
            sleep(SETTLE_PAUSE).await;
        }
        None
    }
}
