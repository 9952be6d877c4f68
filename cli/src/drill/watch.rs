//! Watches the shop while it is broken, and writes down what changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::ground::Ground;
use super::history::{Books, ProductBooks, Seen};
use super::journal::Journal;
use crate::shop::{Auditor, KeptConnection, Ledger, PostgresSeen, RedisAccess, SentinelView};

/// How often processes and Sentinels are looked at: the timeline is to be finer than 100 ms.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often Redis is written to.
const WRITE_EVERY: Duration = Duration::from_millis(25);
/// How often the books are read.
const BOOKS_EVERY: Duration = Duration::from_millis(200);

/// Writes down how the instances are whenever that changes.
pub(super) async fn instances(ground: &dyn Ground, journal: &Journal) {
    let mut known: BTreeMap<String, Seen> = BTreeMap::new();
    let mut ticks = every(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let Ok(instances) = ground.instances().await else {
            continue;
        };
        for instance in instances {
            if known.get(&instance.instance) != Some(&instance.seen) {
                known.insert(instance.instance, instance.seen.clone());
                journal.see(instance.seen);
            }
        }
    }
}

/// Writes down what the Sentinels agree on whenever that changes. Each is asked for itself: one that hangs holds up nobody.
pub(super) async fn sentinels(
    redis: &RedisAccess,
    named: &watch::Sender<Option<String>>,
    journal: &Journal,
) {
    let all = redis.sentinels();
    let heard: Mutex<(Vec<Option<SentinelView>>, Option<Seen>)> =
        Mutex::new((vec![None; all.len()], None));
    let asking = all.iter().enumerate().map(async |(place, sentinel)| {
        let mut kept = KeptConnection::default();
        let mut ticks = every(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let view = redis.view(sentinel, &mut kept).await;
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.0[place] = view;
            let answering: Vec<SentinelView> = heard.0.iter().flatten().cloned().collect();
            let seen = agreement(&answering, all.len());
            if heard.1.as_ref() != Some(&seen) {
                heard.1 = Some(seen.clone());
                if let Seen::Redis { master, .. } = &seen {
                    named.send_replace(master.clone());
                }
                journal.see(seen);
            }
        }
    });
    let _: Vec<()> = futures_util::future::join_all(asking).await;
}

/// What a majority of all Sentinels says, those that do not answer included.
fn agreement(views: &[SentinelView], sentinels: usize) -> Seen {
    let majority = sentinels / 2 + 1;
    let master = views
        .iter()
        .map(|view| &view.master)
        .find(|master| views.iter().filter(|view| view.master == **master).count() >= majority)
        .cloned();
    let of_master = || {
        views
            .iter()
            .filter(|view| Some(&view.master) == master.as_ref())
    };
    Seen::Redis {
        epoch: of_master().map(|view| view.epoch).max().unwrap_or(0),
        down: of_master().filter(|view| view.down).count() >= majority,
        sentinels: u32::try_from(views.len()).unwrap_or(u32::MAX),
        master,
    }
}

/// Writes to whom the Sentinels call master, as a service would, and writes down when that begins or ceases to work. A
/// write to one that is master no more is given up: how long a dead one keeps its clients waiting is nobody's measure.
pub(super) async fn redis_writes(
    redis: &RedisAccess,
    mut master: watch::Receiver<Option<String>>,
    journal: &Journal,
) {
    let mut servers: BTreeMap<&String, KeptConnection> = BTreeMap::new();
    for server in redis.servers() {
        let mut kept = KeptConnection::default();
        // To connect takes its time where the way is long; the one that is promoted is known then.
        redis.know(server, &mut kept).await;
        servers.insert(server, kept);
    }
    let mut known = None;
    let mut ticks = every(WRITE_EVERY);
    loop {
        ticks.tick().await;
        let named = master.borrow_and_update().clone();
        // Whether a master nobody names takes writes is not known.
        let Some((address, server)) =
            named.and_then(|named| Some((named.clone(), servers.get_mut(&named)?)))
        else {
            continue;
        };
        let writable = tokio::select! {
            writable = redis.takes_write(&address, server) => writable,
            // It was not answered until another one led.
            _ = master.wait_for(|now| now.as_ref().is_some_and(|now| *now != address)) => false,
        };
        if known != Some(writable) {
            known = Some(writable);
            journal.see(Seen::RedisWritable { writable });
        }
    }
}

/// Reads the books again and again, and writes down when another Postgres answers, or none.
pub(super) async fn books(auditor: &Auditor, tag: &str, products: &[Uuid], journal: &Journal) {
    let mut ledger = Ledger::default();
    let mut known = None;
    let mut ticks = every(BOOKS_EVERY);
    loop {
        ticks.tick().await;
        let seen = match ledger.look(auditor, tag, products).await {
            Ok(postgres) => {
                journal.write_page(page(&postgres, journal));
                Seen::Postgres {
                    system: postgres.system,
                    timeline: postgres.timeline,
                    started: postgres.started,
                }
            }
            Err(_) => Seen::PostgresGone,
        };
        if known.as_ref() != Some(&seen) {
            known = Some(seen.clone());
            journal.see(seen);
        }
    }
}

/// What was read, as a record of this moment.
pub(super) fn page(postgres: &PostgresSeen, journal: &Journal) -> Books {
    Books {
        at: journal.now(),
        overdue_micros: postgres.overdue_micros,
        products: postgres
            .stock
            .iter()
            .map(|stock| ProductBooks {
                product: stock.product,
                received: stock.received,
                free: stock.free,
                held: stock.held,
                sold: stock.sold,
                ordered: stock.ordered,
            })
            .collect(),
    }
}

/// All of them until they are aborted.
pub(super) struct Watching(Vec<tokio::task::JoinHandle<()>>);

impl Watching {
    /// Begins to watch.
    pub(super) fn start(
        ground: &Arc<dyn Ground>,
        redis: &RedisAccess,
        auditor: &Auditor,
        tag: &str,
        products: Vec<Uuid>,
        journal: &Arc<Journal>,
    ) -> Self {
        let (ground, tag) = (Arc::clone(ground), tag.to_owned());
        let auditor = auditor.clone();
        let (one, two) = (redis.clone(), redis.clone());
        let journals: [Arc<Journal>; 4] = std::array::from_fn(|_| Arc::clone(journal));
        let [first, second, third, fourth] = journals;
        let (named, master) = watch::channel(None);
        Self(vec![
            tokio::spawn(async move { instances(&*ground, &first).await }),
            tokio::spawn(async move { sentinels(&one, &named, &second).await }),
            tokio::spawn(async move { redis_writes(&two, master, &third).await }),
            tokio::spawn(async move { books(&auditor, &tag, &products, &fourth).await }),
        ])
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(master: &str, epoch: u64, down: bool) -> SentinelView {
        SentinelView {
            master: master.to_owned(),
            epoch,
            down,
        }
    }

    #[test]
    fn a_master_is_who_a_majority_of_all_sentinels_names() {
        let named = |views: &[SentinelView]| match agreement(views, 3) {
            Seen::Redis { master, down, .. } => (master, down),
            other => panic!("{other:?}"),
        };
        assert_eq!(named(&[]), (None, false));
        assert_eq!(named(&[view("a", 1, true)]), (None, false));
        let split = [view("a", 1, true), view("b", 2, false)];
        assert_eq!(named(&split), (None, false));
        let agreed = [view("a", 1, true), view("b", 2, false), view("b", 2, false)];
        assert_eq!(named(&agreed), (Some("b".to_owned()), false));
        let down = [view("a", 1, true), view("a", 1, true), view("a", 1, false)];
        assert_eq!(named(&down), (Some("a".to_owned()), true));
    }
}
