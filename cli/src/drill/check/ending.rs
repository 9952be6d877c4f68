//! How the shop was left: whole, with one Redis master that all agree on.

use super::{Check, Tally};
use crate::drill::history::{Ending, History};

pub(super) fn checks(history: &History) -> Vec<Check> {
    let ending = history.ending.as_ref();
    vec![one_master(ending), whole(ending)]
}

fn one_master(ending: Option<&Ending>) -> Check {
    let mut tally =
        Tally::new("there is one Redis master, its replicas follow, the Sentinels agree");
    let Some(ending) = ending else {
        tally.cannot_tell(not_seen);
        return tally.ended();
    };
    tally.expect(ending.redis_masters.len() == 1, || {
        format!("masters: {:?}", ending.redis_masters)
    });
    tally.expect(
        ending.redis_replicas == ending.redis_replicas_wanted,
        || {
            format!(
                "{} of {} replicas follow",
                ending.redis_replicas, ending.redis_replicas_wanted
            )
        },
    );
    let views = &ending.sentinel_views;
    let all_answer = u32::try_from(views.len()) == Ok(ending.sentinels_wanted);
    let agree = views.iter().all(|view| ending.redis_masters.contains(view));
    tally.expect(all_answer && agree, || {
        format!(
            "{} of {} Sentinels answer and name {views:?}, masters are {:?}",
            views.len(),
            ending.sentinels_wanted,
            ending.redis_masters
        )
    });
    tally.ended()
}

fn whole(ending: Option<&Ending>) -> Check {
    let mut tally = Tally::new("the shop was left whole");
    match ending {
        Some(ending) => tally.expect(ending.not_ready.is_empty(), || {
            format!("not ready: {}", ending.not_ready.join(", "))
        }),
        None => tally.cannot_tell(not_seen),
    }
    tally.ended()
}

fn not_seen() -> String {
    "the run did not come to its end".to_owned()
}
