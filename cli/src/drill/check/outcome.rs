//! Whether the fault had the consequence that it was injected for: otherwise nothing was put to the proof.

use super::{Check, Tally};
use crate::drill::history::{Expected, Fault, FaultKind, History, Micros, Phase, Seen};

pub(super) fn checks(history: &History) -> Vec<Check> {
    let Some(fault) = history.fault_at() else {
        return Vec::new();
    };
    history
        .plan
        .expected
        .iter()
        .map(|expected| match expected {
            Expected::AnotherMaster => another_master(history, fault),
            Expected::PostgresStartedAgain => started_again(history, fault),
            Expected::NoFailoverPossible => no_failover(history, fault),
            Expected::Replaced => replaced(history),
        })
        .collect()
}

/// The sights of one kind before the fault and from it on.
fn around<'a, T>(
    history: &'a History,
    fault: Micros,
    pick: impl Fn(&'a Seen) -> Option<T>,
) -> (Vec<T>, Vec<T>) {
    let (before, after): (Vec<_>, Vec<_>) =
        history.sights.iter().partition(|sight| sight.at < fault);
    let seen = |sights: Vec<&'a crate::drill::history::Sight>| {
        sights
            .into_iter()
            .filter_map(|sight| pick(&sight.seen))
            .collect()
    };
    (seen(before), seen(after))
}

/// A master's address, and the configuration epoch in which it was named.
type Named<'a> = (&'a str, u64);

/// Who was named last before the fault, and who from it on.
fn masters(history: &History, fault: Micros) -> (Option<Named<'_>>, Vec<Named<'_>>) {
    let (before, after) = around(history, fault, |seen| match seen {
        Seen::Redis {
            master: Some(master),
            epoch,
            ..
        } => Some((master.as_str(), *epoch)),
        _ => None,
    });
    (before.last().copied(), after)
}

/// The run went on until its end, so what was not seen by then did not come.
fn went_on(history: &History) -> bool {
    history.began(Phase::Draining).is_some() && history.ending.is_some()
}

fn another_master(history: &History, fault: Micros) -> Check {
    let mut tally = Tally::new("the Sentinels named another master, in a higher epoch");
    let (before, after) = masters(history, fault);
    match before {
        Some((old, epoch)) => {
            let named = after
                .iter()
                .any(|(master, later)| *master != old && *later > epoch);
            if named || went_on(history) {
                tally.expect(named, || format!("they kept to {old}, epoch {epoch}"));
            } else {
                tally.cannot_tell(|| "the run did not come to its end".to_owned());
            }
        }
        None => tally.cannot_tell(|| "no majority of them named one before".to_owned()),
    }
    tally.ended()
}

fn started_again(history: &History, fault: Micros) -> Check {
    let mut tally = Tally::new("the same data are served by a Postgres that was started again");
    let (before, after) = around(history, fault, |seen| match seen {
        Seen::Postgres {
            system,
            timeline,
            started,
        } => Some((system, timeline, started)),
        _ => None,
    });
    let Some((system, timeline, started)) = before.last() else {
        tally.cannot_tell(|| "it was not seen before".to_owned());
        return tally.ended();
    };
    for (its, of, _) in &after {
        tally.expect((its, of) == (system, timeline), || {
            format!("system {its}, timeline {of}, and {system}, {timeline} before")
        });
    }
    let again = after.iter().any(|(_, _, its)| its != started);
    if again || went_on(history) {
        tally.expect(again, || format!("the one of {started} goes on"));
    } else {
        tally.cannot_tell(|| "the run did not come to its end".to_owned());
    }
    tally.ended()
}

fn no_failover(history: &History, fault: Micros) -> Check {
    let mut tally =
        Tally::new("without a majority of Sentinels no failover was possible, and none took place");
    let answering = |sights: Vec<u32>| sights.into_iter();
    let (before, after) = around(history, fault, |seen| match seen {
        Seen::Redis { sentinels, .. } => Some(*sentinels),
        _ => None,
    });
    let all = answering(before).max().unwrap_or(0);
    let least = answering(after).min();
    if least.is_none_or(|least| least > all / 2) {
        tally.cannot_tell(|| "a majority of them answered all the time".to_owned());
    }
    let (old, later) = masters(history, fault);
    for (master, epoch) in later {
        tally.expect(old == Some((master, epoch)), || {
            format!("{master}, epoch {epoch}, and {old:?} before")
        });
    }
    tally.expect(true, String::new);
    tally.ended()
}

/// A process that is only woken again did not hang for long enough to be replaced, whoever woke it.
fn replaced(history: &History) -> Check {
    let mut tally = Tally::new("who hung was replaced by another process");
    let hung = history
        .faults
        .iter()
        .filter(|fault| fault.kind == FaultKind::Stop && fault.confirmed);
    for victim in hung {
        let woken = history
            .faults
            .iter()
            .any(|fault| fault.kind == FaultKind::Continue && fault.instance == victim.instance);
        if has_successor(history, victim) || (woken && went_on(history)) {
            tally.expect(has_successor(history, victim), || {
                format!("{} hung until the drill ended", victim.instance)
            });
        } else {
            tally.cannot_tell(|| format!("{} was not seen with another process", victim.instance));
        }
    }
    tally.ended()
}

fn has_successor(history: &History, victim: &Fault) -> bool {
    history
        .sights
        .iter()
        .filter(|sight| sight.at >= victim.at)
        .any(|sight| victim.successor(&sight.seen).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::history::Sight;
    use crate::drill::sample::{FAULT_AT, honest};
    use crate::report::Verdict;

    fn judged(expected: Expected, spoil: impl FnOnce(&mut History)) -> Verdict {
        let mut history = honest();
        history.plan.expected = vec![expected];
        spoil(&mut history);
        let checks = checks(&history);
        assert_eq!(checks.len(), 1);
        checks[0].verdict
    }

    fn see(history: &mut History, at: Micros, seen: Seen) {
        history.sights.push(Sight { at, seen });
    }

    #[test]
    fn a_failover_is_another_master_in_a_higher_epoch() {
        let expected = Expected::AnotherMaster;
        assert_eq!(judged(expected, |_| {}), Verdict::Pass);
        let kept_to = |history: &mut History| {
            history
                .sights
                .retain(|sight| !matches!(&sight.seen, Seen::Redis { epoch, .. } if *epoch > 0));
        };
        assert_eq!(judged(expected, kept_to), Verdict::Fail);
        let cut_short = |history: &mut History| {
            kept_to(history);
            history.ending = None;
        };
        assert_eq!(judged(expected, cut_short), Verdict::Unknown);
        let unseen = |history: &mut History| history.sights.clear();
        assert_eq!(judged(expected, unseen), Verdict::Unknown);
    }

    #[test]
    fn a_postgres_that_was_killed_comes_back_with_its_data() {
        let postgres = |system: &str, started: &str| Seen::Postgres {
            system: system.to_owned(),
            timeline: 1,
            started: started.to_owned(),
        };
        let with = |after: Option<Seen>| {
            judged(Expected::PostgresStartedAgain, |history| {
                see(history, 0, postgres("a", "10:00"));
                if let Some(after) = after {
                    see(history, FAULT_AT + 1, after);
                }
            })
        };
        assert_eq!(with(Some(postgres("a", "10:01"))), Verdict::Pass);
        assert_eq!(with(Some(postgres("b", "10:01"))), Verdict::Fail);
        assert_eq!(with(Some(postgres("a", "10:00"))), Verdict::Fail);
        assert_eq!(with(None), Verdict::Fail);
    }

    #[test]
    fn without_a_majority_of_sentinels_the_master_stays() {
        let sentinels = |number, epoch| Seen::Redis {
            master: (number > 1).then(|| "127.0.0.1:1".to_owned()),
            epoch,
            down: false,
            sentinels: number,
        };
        let with = |after: &[(u32, u64)]| {
            judged(Expected::NoFailoverPossible, |history| {
                history.sights.clear();
                see(history, 0, sentinels(3, 0));
                for (number, epoch) in after {
                    see(history, FAULT_AT + 1, sentinels(*number, *epoch));
                }
            })
        };
        assert_eq!(with(&[(1, 0), (3, 0)]), Verdict::Pass);
        assert_eq!(with(&[(1, 0), (3, 1)]), Verdict::Fail);
        assert_eq!(with(&[(2, 0), (3, 0)]), Verdict::Unknown);
    }

    #[test]
    fn a_process_that_was_only_woken_did_not_hang_for_long_enough() {
        let hang = |history: &mut History, successor: bool, woken: bool| {
            history.faults[0].kind = FaultKind::Stop;
            if woken {
                let mut end = history.faults[0].clone();
                end.kind = FaultKind::Continue;
                history.faults.push(end);
            }
            if !successor {
                history.sights.retain(|sight| {
                    !matches!(
                        sight.seen,
                        Seen::Instance {
                            pid: Some(5252),
                            ..
                        }
                    )
                });
            }
        };
        let with = |successor, woken| {
            judged(Expected::Replaced, |history| {
                hang(history, successor, woken);
            })
        };
        assert_eq!(with(true, false), Verdict::Pass);
        assert_eq!(with(false, true), Verdict::Fail);
        assert_eq!(with(false, false), Verdict::Unknown);
    }
}
