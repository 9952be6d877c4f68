//! What was seen to come of a fault, in sentences: new processes, masters and epochs, the identity of Postgres.

use super::words::show;
use crate::drill::history::{Fault, Figure, History, Micros, Seen};

/// In the order in which they can be expected.
pub(super) fn consequences(history: &History) -> Vec<String> {
    let Some(fault) = history.fault_at() else {
        return Vec::new();
    };
    let mut told: Vec<String> = history
        .faults
        .iter()
        .filter(|victim| victim.broke())
        .filter_map(|victim| successor(history, victim, fault))
        .collect();
    told.extend(redis(history, fault));
    told.extend(sentinels(history, fault));
    told.extend(postgres(history, fault));
    told
}

fn after(at: Micros, fault: Micros) -> String {
    format!(
        "{} after the fault",
        show(Figure::Detected, at.saturating_sub(fault))
    )
}

/// "redis-1: its last process was ended by signal 9; process 4243 in place of 4242 and ready 1.5 s after the fault".
fn successor(history: &History, victim: &Fault, fault: Micros) -> Option<String> {
    let old = victim.process.split('@').next().unwrap_or_default();
    let after_it = history
        .sights
        .iter()
        .filter(|sight| sight.at >= victim.at && sight.seen.serves());
    after_it
        .filter_map(|sight| Some((sight, victim.successor(&sight.seen)?)))
        .map(|(sight, new)| {
            let exit = match &sight.seen {
                Seen::Instance {
                    last_exit: Some(exit),
                    ..
                } => format!("{exit}; "),
                _ => String::new(),
            };
            format!(
                "{}: {exit}process {new} in place of {old}, and ready, {}",
                victim.instance,
                after(sight.at, fault)
            )
        })
        .next()
}

fn redis(history: &History, fault: Micros) -> Option<String> {
    let of = |seen: &Seen| match seen {
        Seen::Redis {
            master: Some(master),
            epoch,
            ..
        } => Some((master.clone(), *epoch)),
        _ => None,
    };
    let before = history.sights.iter().filter(|sight| sight.at < fault);
    let (old, epoch) = before.filter_map(|sight| of(&sight.seen)).next_back()?;
    history
        .sights
        .iter()
        .filter(|sight| sight.at >= fault)
        .find_map(|sight| {
            let (new, later) = of(&sight.seen)?;
            (new != old).then(|| {
                format!(
                    "Sentinels: master {new}, epoch {later}, in place of {old}, epoch {epoch}, {}",
                    after(sight.at, fault)
                )
            })
        })
}

fn sentinels(history: &History, fault: Micros) -> Option<String> {
    let numbers = || {
        history.sights.iter().filter_map(|sight| match sight.seen {
            Seen::Redis { sentinels, .. } => Some((sight.at, sentinels)),
            _ => None,
        })
    };
    let all = numbers().map(|(_, number)| number).max()?;
    let (from, fewest) = numbers().find(|(at, number)| *at >= fault && *number <= all / 2)?;
    let until = numbers().find(|(at, number)| *at > from && *number > all / 2);
    let lasted = until.map_or_else(String::new, |(until, _)| {
        format!(" for {}", show(Figure::Detected, until - from))
    });
    Some(format!(
        "Sentinels: {fewest} of {all} answered{lasted}, so no failover was possible, {}",
        after(from, fault)
    ))
}

fn postgres(history: &History, fault: Micros) -> Option<String> {
    let of = |seen: &Seen| match seen {
        Seen::Postgres {
            system,
            timeline,
            started,
        } => Some((system.clone(), *timeline, started.clone())),
        _ => None,
    };
    let before = history.sights.iter().filter(|sight| sight.at < fault);
    let old = before.filter_map(|sight| of(&sight.seen)).next_back()?;
    history
        .sights
        .iter()
        .filter(|sight| sight.at >= fault)
        .find_map(|sight| {
            let (system, timeline, started) = of(&sight.seen)?;
            (started != old.2).then(|| {
                format!(
                    "Postgres: system {system}, timeline {timeline}, started {started}; before, system {}, timeline {}, \
                     started {}; seen {}",
                    old.0,
                    old.1,
                    old.2,
                    after(sight.at, fault)
                )
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::sample::honest;

    #[test]
    fn what_was_seen_of_a_failover_is_told_with_processes_and_epochs() {
        assert_eq!(
            consequences(&honest()),
            [
                "redis-0: its last process was ended by signal 9; process 5252 in place of 4242, and ready, 1.50 s after \
                 the fault",
                "Sentinels: master 127.0.0.1:2, epoch 1, in place of 127.0.0.1:1, epoch 0, 2.00 s after the fault",
            ]
        );
    }
}
