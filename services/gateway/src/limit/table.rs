//! The bounded table of callers and their buckets, shared by this process's workers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::bucket::{Bucket, Rate, Refusal};
use crate::address::counted_address;

const SHARDS: usize = 16;
/// How many callers are looked at to find one that makes room.
const CANDIDATES: usize = 8;
/// The part of a burst that may be spent before the other replicas are told.
const UNTOLD_SHARE: f64 = 1.0 / 16.0;

/// What kind of caller a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A customer's token.
    Customer,
    /// An administrator's token.
    Admin,
    /// No token, from anywhere.
    Anonymous,
    /// No token, from an address that many callers share on purpose.
    Local,
}

impl Class {
    /// The name in headers and in Redis.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
            Self::Anonymous => "anonymous",
            Self::Local => "local",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The rate of each class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates([Rate; 4]);

impl Rates {
    /// Rates by class; each class exactly once, in any order.
    pub(crate) fn new(mut rates: [(Class, Rate); 4]) -> Self {
        rates.sort_by_key(|(class, _)| *class);
        Self(rates.map(|(_, rate)| rate))
    }

    /// The rate of a class.
    pub(crate) fn of(&self, class: Class) -> &Rate {
        &self.0[class.index()]
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The subject of a verified token.
    Subject(Uuid, Class),
    /// An address, IPv6 cut to its /64.
    Address(IpAddr, Class),
}

impl Caller {
    /// The caller behind a verified token.
    pub(crate) fn subject(subject: Uuid, admin: bool) -> Self {
        Self::Subject(subject, if admin { Class::Admin } else { Class::Customer })
    }

    /// The caller behind an address.
    pub(crate) fn address(address: IpAddr, local: bool) -> Self {
        Self::Address(
            counted_address(address),
            if local {
                Class::Local
            } else {
                Class::Anonymous
            },
        )
    }

    /// The class whose rate is meant.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Subject(_, class) | Self::Address(_, class) => *class,
        }
    }

    /// The name in Redis, below the service's prefix.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Subject(subject, class) => format!("{}:{}", class.name(), subject.as_simple()),
            Self::Address(address, class) => format!("{}:{address}", class.name()),
        }
    }
}

/// Spending of a caller that the other replicas do not know yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Untold {
    pub(super) caller: Caller,
    pub(super) spent: u64,
}

#[derive(Debug)]
struct Entry {
    bucket: Bucket,
    used_at: Instant,
    /// Everybody's spending at the last reconciliation.
    known_total: Option<u64>,
    listed: bool,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Caller, Entry>,
    /// Callers with enough untold spending to be worth a reconciliation.
    untold: Vec<Caller>,
}

/// The callers of this process and their buckets.
#[derive(Debug)]
pub(crate) struct Limiter {
    shards: Vec<Mutex<Shard>>,
    rates: Rates,
    shard_capacity: usize,
}

impl Limiter {
    /// An empty table for at most about `capacity` callers.
    pub(crate) fn new(rates: Rates, capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self {
            shards,
            rates,
            shard_capacity: capacity.div_ceil(SHARDS).max(1),
        }
    }

    /// Counts a request of a caller.
    pub(crate) fn check(&self, caller: Caller, now: Instant) -> Result<(), Refusal> {
        let rate = self.rates.of(caller.class());
        let mut shard = self.shard(&caller);
        let Shard { entries, untold } = &mut *shard;
        if !entries.contains_key(&caller) && entries.len() >= self.shard_capacity {
            make_room(entries);
        }
        let entry = entries.entry(caller).or_insert_with(|| Entry {
            bucket: Bucket::full(rate, now),
            used_at: now,
            known_total: None,
            listed: false,
        });
        entry.used_at = now;
        let verdict = entry.bucket.take(rate, now);
        if !entry.listed && entry.bucket.spent() as f64 >= rate.burst() * UNTOLD_SHARE {
            entry.listed = true;
            untold.push(caller);
        }
        verdict
    }

    /// The rates by class.
    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Callers in the table.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).entries.len())
            .sum()
    }

    /// Forgets callers whose buckets are full again: they are as if never seen.
    pub(crate) fn sweep(&self, now: Instant) {
        for shard in &self.shards {
            lock(shard).entries.retain(|caller, entry| {
                entry.listed || !entry.bucket.is_full(self.rates.of(caller.class()), now)
            });
        }
    }

    /// What the others should be told. Counts as told until [`Limiter::take_back`] says otherwise.
    pub(super) fn hand_over(&self) -> Vec<Untold> {
        let mut told = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard { entries, untold } = &mut *shard;
            for caller in untold.drain(..) {
                if let Some(entry) = entries.get_mut(&caller) {
                    entry.listed = false;
                    told.push(Untold {
                        caller,
                        spent: entry.bucket.hand_over(),
                    });
                }
            }
        }
        told
    }

    /// The others could not be told.
    pub(super) fn take_back(&self, told: &[Untold]) {
        for Untold { caller, spent } in told {
            let mut shard = self.shard(caller);
            let Shard { entries, untold } = &mut *shard;
            if let Some(entry) = entries.get_mut(caller) {
                entry.bucket.take_back(*spent);
                if !std::mem::replace(&mut entry.listed, true) {
                    untold.push(*caller);
                }
            }
        }
    }

    /// The others were told; `total` is what all have spent since the caller was first counted.
    pub(super) fn reconcile(&self, told: &Untold, total: u64, now: Instant) {
        let rate = self.rates.of(told.caller.class());
        if let Some(entry) = self.shard(&told.caller).entries.get_mut(&told.caller) {
            // A total that is lower than before was forgotten by Redis and began anew. What was spent before this
            // replica first asked is not known in time, so it is let go.
            let known = entry.known_total.filter(|known| *known <= total);
            let others = known.map_or(0, |known| (total - known).saturating_sub(told.spent));
            entry.known_total = Some(total);
            entry.bucket.absorb(rate, others, now);
        }
    }

    fn shard(&self, caller: &Caller) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard_index(caller)])
    }
}

/// Spreads callers over shards by the low bits of what names them: random for subjects, varied for addresses.
fn shard_index(caller: &Caller) -> usize {
    let bits = match caller {
        Caller::Subject(subject, _) => subject.as_u128(),
        Caller::Address(IpAddr::V4(address), _) => u128::from(address.to_bits()),
        Caller::Address(IpAddr::V6(address), _) => address.to_bits() >> 64,
    };
    (bits % SHARDS as u128) as usize
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic elsewhere cannot leave a bucket half changed, so a poisoned lock is still good.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the longest unused of some entries. A hash map's order is random enough to be a sample.
fn make_room(entries: &mut HashMap<Caller, Entry>) {
    let oldest = entries
        .iter()
        .take(CANDIDATES)
        .min_by_key(|(_, entry)| entry.used_at)
        .map(|(caller, _)| *caller);
    if let Some(caller) = oldest {
        entries.remove(&caller);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter(capacity: usize) -> Limiter {
        let rate = |per_second, burst| Rate::new(per_second, burst).unwrap();
        let rates = Rates::new([
            (Class::Local, rate(1000.0, 1000.0)),
            (Class::Customer, rate(10.0, 4.0)),
            (Class::Anonymous, rate(10.0, 2.0)),
            (Class::Admin, rate(10.0, 8.0)),
        ]);
        Limiter::new(rates, capacity)
    }

    fn passes(limiter: &Limiter, caller: Caller, tries: usize, now: Instant) -> usize {
        (0..tries)
            .filter(|_| limiter.check(caller, now).is_ok())
            .count()
    }

    #[test]
    fn each_class_has_its_own_rate_and_each_caller_its_own_bucket() {
        let limiter = limiter(100);
        let now = Instant::now();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(passes(&limiter, Caller::subject(one, false), 10, now), 4);
        assert_eq!(passes(&limiter, Caller::subject(two, false), 10, now), 4);
        assert_eq!(passes(&limiter, Caller::subject(one, true), 10, now), 8);
        let home = "192.0.2.1".parse().unwrap();
        assert_eq!(passes(&limiter, Caller::address(home, false), 10, now), 2);
        assert_eq!(passes(&limiter, Caller::address(home, true), 10, now), 10);
    }

    #[test]
    fn addresses_of_one_64_share_a_bucket() {
        let limiter = limiter(100);
        let now = Instant::now();
        let caller = |text: &str| Caller::address(text.parse().unwrap(), false);
        assert_eq!(passes(&limiter, caller("2001:db8::1"), 2, now), 2);
        assert_eq!(passes(&limiter, caller("2001:db8::ffff:2"), 1, now), 0);
        assert_eq!(passes(&limiter, caller("2001:db8:0:1::1"), 1, now), 1);
    }

    #[test]
    fn the_table_stays_within_its_bound() {
        let limiter = limiter(64);
        let now = Instant::now();
        for address in 0..10_000_u32 {
            let _ = limiter.check(Caller::address(IpAddr::V4(address.into()), false), now);
        }
        assert!(limiter.len() <= 64, "{} callers", limiter.len());
    }

    #[test]
    fn a_sweep_forgets_the_idle_and_keeps_the_limited() {
        let limiter = limiter(100);
        let start = Instant::now();
        let (idle, busy) = (
            Caller::subject(Uuid::from_u128(1), true),
            Caller::subject(Uuid::from_u128(2), true),
        );
        limiter.check(idle, start).unwrap();
        let _ = limiter.hand_over();
        let later = start + Duration::from_secs(1);
        passes(&limiter, busy, 10, later);
        let _ = limiter.hand_over();
        limiter.sweep(later);
        assert_eq!(limiter.len(), 1);
        assert!(limiter.check(busy, later).is_err());
    }

    #[test]
    fn spending_is_told_once_and_again_when_telling_failed() {
        let limiter = limiter(100);
        let now = Instant::now();
        let caller = Caller::subject(Uuid::from_u128(1), false);
        passes(&limiter, caller, 3, now);
        let told = limiter.hand_over();
        assert_eq!(told, [Untold { caller, spent: 3 }]);
        assert_eq!(limiter.hand_over(), []);
        limiter.take_back(&told);
        assert_eq!(limiter.hand_over(), told);
    }

    #[test]
    fn what_another_replica_spent_counts_here() {
        let limiter = limiter(100);
        let now = Instant::now();
        let caller = Caller::subject(Uuid::from_u128(1), false);
        let spend_and_tell = |total| {
            assert!(limiter.check(caller, now).is_ok());
            for told in limiter.hand_over() {
                limiter.reconcile(&told, total, now);
            }
        };
        spend_and_tell(1);
        // The total grew by three, one of them ours.
        spend_and_tell(4);
        assert!(limiter.check(caller, now).is_err());
    }

    #[test]
    fn a_total_that_redis_forgot_is_not_a_debt() {
        let limiter = limiter(100);
        let now = Instant::now();
        let caller = Caller::subject(Uuid::from_u128(1), false);
        for total in [1000, 1] {
            limiter.check(caller, now).unwrap();
            for told in limiter.hand_over() {
                limiter.reconcile(&told, total, now);
            }
        }
        assert_eq!(passes(&limiter, caller, 10, now), 2);
    }
}
