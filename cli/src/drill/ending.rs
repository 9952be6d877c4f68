//! How the shop is when a drill has ended: looked at again and again until it is whole, or the time is up.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ground::Ground;
use super::history::Ending;
use super::journal::Journal;
use crate::shop::{KeptConnection, RedisAccess, ServerRole};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the shop is whole, and says how it is then.
pub(super) async fn wait(ground: &dyn Ground, redis: &RedisAccess, journal: &Journal) -> Ending {
    // A replica that comes back loads its data, and a Sentinel speaks to its peers every ten seconds.
    let deadline = Instant::now() + ground.patience() / 2;
    loop {
        let ending = look(ground, redis).await;
        if missing_in(&ending).is_empty() || Instant::now() >= deadline {
            return Ending {
                at: journal.now(),
                ..ending
            };
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What is missing for the shop to be whole now.
pub(super) async fn missing(ground: &dyn Ground, redis: &RedisAccess) -> Vec<String> {
    missing_in(&look(ground, redis).await)
}

/// What is left to wait for.
fn missing_in(ending: &Ending) -> Vec<String> {
    let mut missing = ending.not_ready.clone();
    let masters = ending.redis_masters.len();
    if masters != 1 {
        missing.push(format!("one Redis master ({masters} say that they are)"));
    }
    let (follow, wanted) = (ending.redis_replicas, ending.redis_replicas_wanted);
    if follow != wanted {
        missing.push(format!("Redis replicas ({follow} of {wanted} follow)"));
    }
    let agree = ending
        .sentinel_views
        .iter()
        .filter(|view| ending.redis_masters.contains(view))
        .count();
    let wanted = ending.sentinels_wanted;
    if u32::try_from(agree) != Ok(wanted) {
        missing.push(format!("Sentinels ({agree} of {wanted} name that master)"));
    }
    missing
}

async fn look(ground: &dyn Ground, redis: &RedisAccess) -> Ending {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut ending = Ending {
        redis_replicas_wanted: count(redis.servers().len().saturating_sub(1)),
        sentinels_wanted: count(redis.sentinels().len()),
        not_ready: match ground.instances().await {
            Ok(instances) => instances
                .into_iter()
                .filter(|instance| !instance.seen.serves())
                .map(|instance| instance.instance)
                .collect(),
            Err(error) => vec![format!("whoever knows ({error})")],
        },
        ..Ending::default()
    };
    let mut following = Vec::new();
    for server in redis.servers() {
        match redis.role(server).await {
            Some(ServerRole::Master) => ending.redis_masters.push(server.clone()),
            Some(ServerRole::Replica { of, linked: true }) => following.push(of),
            Some(ServerRole::Replica { .. }) | None => {}
        }
    }
    ending.redis_replicas = count(
        following
            .iter()
            .filter(|master| ending.redis_masters.contains(master))
            .count(),
    );
    for sentinel in redis.sentinels() {
        let mut kept = KeptConnection::default();
        if let Some(view) = redis.view(sentinel, &mut kept).await {
            ending.sentinel_views.push(view.master);
        }
    }
    ending
}
