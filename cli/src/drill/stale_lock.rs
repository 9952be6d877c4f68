//! Makes a holder of sale locks hang until its locks have run out and somebody else holds them, lets it go on, and
//! looks what its release does.
//!
//! What is seen is written down and judged elsewhere, from the history alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

use super::history::{FaultKind, LockLook, Micros, Record, StaleLock, StaleLocks};
use super::journal::Journal;
use super::recorder::{FIRST_IN_SALE, Recorder};
use super::stage::{SaleStage, Stage};
use super::strike::Breakage;
use crate::shop::{KeptConnection, RedisAccess, StaleReleases};

/// How often the holder is stopped until it holds a lock.
const TRIES: u32 = 6;
/// Customers who order at the same moment, so that some are in the midst of it when the holder stops.
const BURST: usize = 24;
/// Orders that make every process know that there is a sale: only then it takes locks.
const ANNOUNCE: usize = 16;
/// How long a lock is waited for in a burst.
const UNTIL_LOCKED: Duration = Duration::from_millis(250);
/// Whoever is well has released by then, on a busy machine as well.
const SETTLED: Duration = Duration::from_secs(1);
/// How long all of it takes, apart from the lock's own time.
const BESIDES: Duration = Duration::from_millis(3_500);
/// How long before the holder would be replaced it goes on, whatever was seen.
const RESERVE: Duration = Duration::from_millis(1_500);
/// How long the new holder's lock is looked at after the old holder went on: longer while no release was counted.
const WATCH: Duration = Duration::from_secs(1);
const WATCH_AT_MOST: Duration = Duration::from_secs(8);
/// The new holder's lock outlives the watch.
const NEW_LOCK: Duration = Duration::from_secs(15);
/// How long the new holder tries to get the lock.
const TAKE: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who holds locks and can be made to hang.
pub(super) trait Holder {
    /// Its name.
    fn instance(&self) -> String;
    /// Stops it, and says why it is not stopped.
    async fn stop(&mut self) -> Result<(), String>;
    /// Lets it go on, and says why it does not.
    async fn go_on(&mut self) -> Result<(), String>;
    /// How many locks it has found not to be its own any more.
    async fn stale_releases(&self) -> Option<u64>;
}

/// A process of the order service.
pub(super) struct OrderProcess<'a> {
    pub(super) breakage: &'a mut Breakage,
    pub(super) releases: Option<StaleReleases>,
}

impl Holder for OrderProcess<'_> {
    fn instance(&self) -> String {
        self.breakage.names()
    }

    async fn stop(&mut self) -> Result<(), String> {
        self.breakage.strike(FaultKind::Stop).await
    }

    async fn go_on(&mut self) -> Result<(), String> {
        self.breakage.strike(FaultKind::Continue).await
    }

    async fn stale_releases(&self) -> Option<u64> {
        self.releases.as_ref()?.count().await
    }
}

/// What a stale lock holder is made of.
pub(super) struct Provocation<'a> {
    pub(super) recorder: Arc<Recorder>,
    pub(super) stage: Arc<Stage>,
    pub(super) redis: &'a RedisAccess,
    pub(super) journal: &'a Journal,
    /// How long a lock lives that nobody releases.
    pub(super) lock_lifetime: Duration,
    /// How soon a process that is stopped is replaced, at the earliest.
    pub(super) replaced_after: Duration,
    /// Who is told what happens.
    pub(super) tell: &'a (dyn Fn(&str) + Sync),
}

/// An order that was under way, and its lock.
struct Order {
    number: u64,
    customer: usize,
    key: String,
}

impl Provocation<'_> {
    /// Makes the holder hang. It is stopped when this returns only if that is all that could be done with it; what was
    /// seen, and what could not be, is written down. Stops at nobody's wish: whoever drops it ends it.
    pub(super) async fn run(&self, holder: &mut impl Holder) -> Result<(), String> {
        let mut seen = StaleLocks {
            instance: holder.instance(),
            ..StaleLocks::default()
        };
        let mut orders = JoinSet::new();
        let outcome = match &self.stage.sale {
            Some(sale) => self.provoke(sale, holder, &mut seen, &mut orders).await,
            None => Err("there is no sale".to_owned()),
        };
        if let Err(reason) = &outcome {
            seen.reason.get_or_insert_with(|| reason.clone());
        }
        // Every order has to be in the history before it is judged.
        while orders.join_next().await.is_some() {}
        self.journal.write(Record::StaleLocks(seen));
        outcome
    }

    async fn provoke(
        &self,
        sale: &SaleStage,
        holder: &mut impl Holder,
        seen: &mut StaleLocks,
        orders: &mut JoinSet<()>,
    ) -> Result<(), String> {
        if self.lock_lifetime + BESIDES + RESERVE > self.replaced_after {
            seen.reason = Some(format!(
                "a lock lives for {:.1} s, and a process that hangs is replaced after {:.1} s: it cannot come back to a \
                 lock that is somebody else's",
                self.lock_lifetime.as_secs_f64(),
                self.replaced_after.as_secs_f64()
            ));
            return holder.stop().await;
        }
        let Some(master) = self.redis.master().await else {
            seen.reason = Some("no Redis says that it is the only master".to_owned());
            return holder.stop().await;
        };
        let mut kept = KeptConnection::default();
        self.announce(sale).await;
        let mut stopped_at = Instant::now();
        for tries in 1..=TRIES {
            seen.tries = tries;
            seen.stale_before = holder.stale_releases().await;
            let burst = self.burst(sale, tries, orders);
            self.until_locked(&master, &burst, &mut kept).await;
            stopped_at = Instant::now();
            holder.stop().await?;
            // Not so long that those of the one that hangs have run out as well.
            sleep(SETTLED.min(self.lock_lifetime / 2)).await;
            seen.locks = self.caught(sale, &master, &burst, &mut kept).await;
            if !seen.locks.is_empty() {
                break;
            }
            if tries < TRIES {
                holder.go_on().await?;
            }
        }
        if seen.locks.is_empty() {
            seen.reason = Some(format!(
                "{} held no lock when it was stopped, in {TRIES} tries",
                seen.instance
            ));
            return Ok(());
        }
        (self.tell)("the lock of an order that hangs to run out");
        let until = stopped_at + self.replaced_after - RESERVE;
        self.until_expired(&master, seen, until, &mut kept).await;
        self.order_again(sale, seen, orders, until).await;
        self.take(&master, seen, &mut kept).await;
        holder.go_on().await?;
        (self.tell)("the old holder's release");
        self.watch(&master, holder, seen, &mut kept).await;
        for lock in &seen.locks {
            if let Some(token) = &lock.new_token {
                let key = &lock.key;
                self.redis
                    .release_lock(&master, key, token, &mut kept)
                    .await;
            }
        }
        Ok(())
    }

    /// Orders that no lock is looked for of.
    async fn announce(&self, sale: &SaleStage) {
        let mut orders = JoinSet::new();
        for customer in 0..ANNOUNCE {
            self.order(&mut orders, customer, FIRST_IN_SALE + customer as u64);
        }
        while orders.join_next().await.is_some() {}
        debug_assert!(sale.customers.len() > ANNOUNCE);
    }

    fn order(&self, orders: &mut JoinSet<()>, customer: usize, number: u64) {
        let (recorder, stage) = (Arc::clone(&self.recorder), Arc::clone(&self.stage));
        orders.spawn(async move {
            if let Some(sale) = &stage.sale
                && let Some(customer) = sale.customers.get(customer)
            {
                recorder.order_in_sale(number, sale, customer).await;
            }
        });
    }

    /// Customers who have not ordered yet order at the same moment.
    fn burst(&self, sale: &SaleStage, tries: u32, orders: &mut JoinSet<()>) -> Vec<Order> {
        let first = ANNOUNCE + BURST * (tries as usize - 1);
        let burst = first..(first + BURST).min(sale.customers.len());
        burst
            .map(|customer| {
                let number = FIRST_IN_SALE + customer as u64;
                self.order(orders, customer, number);
                Order {
                    number,
                    customer,
                    key: format!(
                        "lock:{}:{}:{}",
                        sale.sale, sale.product, sale.customers[customer].id
                    ),
                }
            })
            .collect()
    }

    /// Waits until an order of the burst is being decided, or all have been.
    async fn until_locked(&self, master: &str, burst: &[Order], kept: &mut KeptConnection) {
        let keys: Vec<String> = burst.iter().map(|order| order.key.clone()).collect();
        let deadline = Instant::now() + UNTIL_LOCKED;
        while Instant::now() < deadline {
            let locks = self.redis.locks(master, &keys, kept).await;
            if locks.is_some_and(|locks| locks.iter().any(Option::is_some)) {
                return;
            }
        }
    }

    /// The locks that are still there.
    async fn caught(
        &self,
        sale: &SaleStage,
        master: &str,
        burst: &[Order],
        kept: &mut KeptConnection,
    ) -> Vec<StaleLock> {
        let keys: Vec<String> = burst.iter().map(|order| order.key.clone()).collect();
        let locks = self.redis.locks(master, &keys, kept).await;
        let mut caught = Vec::new();
        for (order, token) in burst.iter().zip(locks.unwrap_or_default()) {
            let Some(stale_token) = token else { continue };
            let Some(left) = self.redis.lock_left(master, &order.key, kept).await else {
                continue;
            };
            caught.push(StaleLock {
                key: order.key.clone(),
                customer: sale.customers[order.customer].id,
                operation: order.number,
                stale_token,
                seen_at: self.journal.now(),
                left_micros: micros(left),
                expired_at: None,
                next_operation: None,
                taken_at: None,
                new_token: None,
                looks: Vec::new(),
                watched_until: None,
            });
        }
        caught
    }

    async fn until_expired(
        &self,
        master: &str,
        seen: &mut StaleLocks,
        until: Instant,
        kept: &mut KeptConnection,
    ) {
        let keys: Vec<String> = seen.locks.iter().map(|lock| lock.key.clone()).collect();
        while Instant::now() < until && seen.locks.iter().any(|lock| lock.expired_at.is_none()) {
            sleep(LOOK_EVERY).await;
            let Some(tokens) = self.redis.locks(master, &keys, kept).await else {
                continue;
            };
            let at = self.journal.now();
            for (lock, token) in seen.locks.iter_mut().zip(tokens) {
                if token.is_none() {
                    lock.expired_at.get_or_insert(at);
                }
            }
        }
    }

    /// The same customers order again, each under another key.
    async fn order_again(
        &self,
        sale: &SaleStage,
        seen: &mut StaleLocks,
        orders: &mut JoinSet<()>,
        until: Instant,
    ) {
        let mut again = JoinSet::new();
        let after_all = FIRST_IN_SALE + sale.customers.len() as u64;
        for (number, lock) in (after_all..).zip(&mut seen.locks) {
            let customer = sale
                .customers
                .iter()
                .position(|customer| customer.id == lock.customer);
            if let (Some(customer), Some(_)) = (customer, lock.expired_at) {
                self.order(&mut again, customer, number);
                lock.next_operation = Some(number);
            }
        }
        let all = async { while again.join_next().await.is_some() {} };
        if timeout_at(until, all).await.is_err() {
            // They go on, and are waited for at the end.
            orders.spawn(async move { while again.join_next().await.is_some() {} });
        }
    }

    /// A new holder takes the locks.
    async fn take(&self, master: &str, seen: &mut StaleLocks, kept: &mut KeptConnection) {
        let deadline = Instant::now() + TAKE;
        for lock in &mut seen.locks {
            if lock.expired_at.is_none() {
                continue;
            }
            let token = format!("{}:drill", Uuid::new_v4().simple());
            loop {
                let is_ours = self
                    .redis
                    .take_lock(master, &lock.key, &token, NEW_LOCK, kept)
                    .await;
                if is_ours {
                    lock.taken_at = Some(self.journal.now());
                    lock.new_token = Some(token);
                    break;
                }
                if Instant::now() >= deadline {
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Looks at the new holder's locks until the old holder has released, and for some time in any case.
    async fn watch(
        &self,
        master: &str,
        holder: &impl Holder,
        seen: &mut StaleLocks,
        kept: &mut KeptConnection,
    ) {
        let began = Instant::now();
        let keys: Vec<String> = seen.locks.iter().map(|lock| lock.key.clone()).collect();
        let mut next_count = began;
        loop {
            if let Some(tokens) = self.redis.locks(master, &keys, kept).await {
                let at = self.journal.now();
                for (lock, token) in seen.locks.iter_mut().zip(tokens) {
                    look(lock, at, token);
                }
            }
            if Instant::now() >= next_count {
                seen.stale_after = holder.stale_releases().await;
                next_count = Instant::now() + WATCH / 4;
            }
            let counted = seen
                .stale_before
                .zip(seen.stale_after)
                .is_some_and(|(before, after)| after >= before + seen.locks.len() as u64);
            if began.elapsed() >= WATCH_AT_MOST || (counted && began.elapsed() >= WATCH) {
                return;
            }
            sleep_until(Instant::now() + LOOK_EVERY).await;
        }
    }
}

fn look(lock: &mut StaleLock, at: Micros, token: Option<String>) {
    lock.watched_until = Some(at);
    if lock.looks.last().is_none_or(|last| last.token != token) {
        lock.looks.push(LockLook { at, token });
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
