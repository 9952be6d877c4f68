//! Whether the drill was one: the fault happened, and customers were there to feel it.

use std::collections::BTreeMap;

use super::{Check, Tally};
use crate::drill::history::{FaultKind, History, Phase, Seen};

/// The least share of the planned operations that must have begun.
const OFFERED: f64 = 0.98;

pub(super) fn fault_happened(history: &History) -> Check {
    let mut tally = Tally::new("the fault happened");
    for fault in &history.faults {
        if fault.kind == FaultKind::Continue {
            continue;
        }
        let what = || {
            let kind = match fault.kind {
                FaultKind::Kill => "SIGKILL",
                FaultKind::Stop => "SIGSTOP",
                FaultKind::Continue => "SIGCONT",
            };
            let evidence = fault.evidence.as_deref().unwrap_or("no evidence");
            format!(
                "{kind} to {} ({}): {evidence}",
                fault.instance, fault.process
            )
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
        let earlier = *before.entry(instance).or_insert(*restarts);
        before.insert(instance, *restarts);
        let is_victim = history
            .faults
            .iter()
            .any(|fault| fault.instance == *instance);
        if is_victim || *restarts == earlier {
            tally.expect(true, String::new);
        } else {
            tally.cannot_tell(|| {
                format!(
                    "{instance} was started again at {:.3} s",
                    std::time::Duration::from_micros(sight.at).as_secs_f64()
                )
            });
        }
    }
    tally.ended_perhaps_empty()
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
    let began = history
        .load()
        .filter(|operation| (steady..end).contains(&operation.began))
        .count();
    if began as f64 >= planned * OFFERED && planned > 0.0 {
        tally.expect(true, String::new);
    } else {
        tally.cannot_tell(|| format!("{began} of {planned:.0} operations began"));
    }
    tally.ended()
}
