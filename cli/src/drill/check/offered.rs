//! Whether the drill was one: the fault happened, and customers were there to feel it.

use std::collections::BTreeMap;

use super::{Check, Tally};
use crate::drill::history::{History, Micros, Phase, Seen};

/// The least share of the planned operations that must have begun.
const OFFERED: f64 = 0.98;
/// The longest time between the beginnings of two operations, in microseconds: a longer one is a gap of the recorder's,
/// and would be taken for one of the shop's. Limits of gaps begin at half a second.
const STOOD_STILL: Micros = 300_000;

pub(super) fn fault_happened(history: &History) -> Check {
    let mut tally = Tally::new("the fault happened");
    for fault in &history.faults {
        if fault.kind.mends() {
            continue;
        }
        let what = || {
            let deed = fault.kind.done_to(&fault.instance);
            let evidence = fault.evidence.as_deref().unwrap_or("no evidence");
            format!("{deed} ({}): {evidence}", fault.process)
        };
        if fault.confirmed {
            tally.expect(true, what);
        } else {
            tally.cannot_tell(what);
        }
    }
    tally.ended()
}

/// What else was started again meanwhile was not part of the drill, whoever broke it: then nobody knows what was measured.
pub(super) fn nothing_else_broke(history: &History) -> Check {
    let mut tally = Tally::new("nothing else broke");
    let mut before: BTreeMap<&str, u64> = BTreeMap::new();
    for sight in &history.sights {
        let Seen::Instance {
            instance, restarts, ..
        } = &sight.seen
        else {
            continue;
        };
        // Who appears in the midst of it was added by somebody, as in a rollout. An instance keeps its name for life.
        let in_the_midst = history.fault_at().is_some_and(|fault| sight.at > fault);
        if in_the_midst && !before.contains_key(instance.as_str()) {
            tally.cannot_tell(|| format!("{instance} is new at {}", seconds(sight.at)));
        }
        let earlier = *before.entry(instance).or_insert(*restarts);
        before.insert(instance, *restarts);
        let is_victim = history
            .faults
            .iter()
            .any(|fault| fault.instance == *instance);
        if is_victim || *restarts == earlier {
            tally.expect(true, String::new);
        } else {
            tally.cannot_tell(|| format!("{instance} was started again at {}", seconds(sight.at)));
        }
    }
    tally.ended()
}

fn seconds(at: Micros) -> String {
    let at = std::time::Duration::from_micros(at);
    format!("{:.3} s", at.as_secs_f64())
}

/// Operations begin at a constant rate whatever the answers take; if fewer began, the recorder was not fed.
pub(super) fn offered(history: &History) -> Check {
    let mut tally = Tally::new("the load was offered");
    let (Some(steady), Some(end)) = (history.began(Phase::Steady), history.began(Phase::Draining))
    else {
        tally.cannot_tell(|| "the run did not come to its end".to_owned());
        return tally.ended();
    };
    let seconds = std::time::Duration::from_micros(end.saturating_sub(steady)).as_secs_f64();
    let planned = seconds * f64::from(history.plan.operations_per_second);
    let mut began: Vec<Micros> = history
        .load()
        .map(|operation| operation.began)
        .filter(|began| (steady..end).contains(began))
        .collect();
    began.sort_unstable();
    let pauses = began.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = pauses.max().unwrap_or(0);
    let began = began.len();
    if began as f64 >= planned * OFFERED && planned > 0.0 {
        tally.expect(true, String::new);
    } else {
        tally.cannot_tell(|| format!("{began} of {planned:.0} operations began"));
    }
    if longest > STOOD_STILL {
        tally.cannot_tell(|| format!("none began for {} ms", longest / 1_000));
    }
    tally.ended()
}

/// The users in the background were there all the time, and what they were told stands in the books as well.
pub(super) fn background(history: &History) -> Option<Check> {
    if history.plan.users == 0 {
        return None;
    }
    let mut tally = Tally::new(
        "the load in the background lasted, and the books agree with what its users were told",
    );
    match &history.background {
        Some(load) => {
            if !load.lasted || load.requests == 0 {
                tally
                    .cannot_tell(|| format!("it ended by itself after {} requests", load.requests));
            }
            for wrong in &load.wrong {
                tally.expect(false, || wrong.clone());
            }
            tally.looked_at(load.acknowledged);
        }
        None => tally.cannot_tell(|| "it did not come to its end".to_owned()),
    }
    Some(tally.ended())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::history::Background;
    use crate::drill::sample::{FAULT_AT, honest};
    use crate::report::Verdict;

    fn loaded(background: Option<Background>) -> Verdict {
        let mut history = honest();
        history.plan.users = 50;
        history.background = background;
        super::background(&history).unwrap().verdict
    }

    #[test]
    fn a_load_that_was_not_there_all_the_time_leaves_it_open_and_a_wrong_book_fails() {
        let load = Background {
            requests: 1_000,
            lasted: true,
            acknowledged: 60,
            wrong: Vec::new(),
        };
        assert_eq!(loaded(Some(load.clone())), Verdict::Pass);
        assert_eq!(loaded(None), Verdict::Unknown);
        let ended = Background {
            lasted: false,
            ..load.clone()
        };
        assert_eq!(loaded(Some(ended)), Verdict::Unknown);
        let wrong = Background {
            wrong: vec!["an order is missing".to_owned()],
            ..load
        };
        assert_eq!(loaded(Some(wrong)), Verdict::Fail);
        assert_eq!(super::background(&honest()), None, "there was to be none");
    }

    #[test]
    fn a_recorder_that_stood_still_accuses_nobody() {
        let mut history = honest();
        assert_eq!(offered(&history).verdict, Verdict::Pass);
        for operation in &mut history.operations {
            if (FAULT_AT..FAULT_AT + 400_000).contains(&operation.began) {
                operation.began = FAULT_AT + 400_000;
            }
        }
        assert_eq!(offered(&history).verdict, Verdict::Unknown);
    }
}
