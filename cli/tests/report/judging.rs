//! The verdict, from facts and samples alone.

use std::time::Duration;

use proptest::prelude::*;
use shopctl::report::{Books, LoadFacts, LoadReport, Samples, Verdict};

use crate::fixture::{facts, samples};

/// What a test changes, and words that the report then says.
type Case<'a> = (&'a str, &'a dyn Fn(&mut LoadFacts, &mut Samples));

/// A minute of a few requests a second: quick to make, and held to as much.
fn small() -> (LoadFacts, Samples) {
    let mut facts = facts();
    facts.limits[0].limit = 9.0;
    let mut samples = Samples {
        offered: Duration::from_secs(10),
        cores_available: 2.0,
        ..Samples::default()
    };
    for second in 0..10 {
        for _ in 0..10 {
            samples.request(second, "GET /echo", 200, false, Duration::from_millis(10));
            samples.check("the answer is the expected one", true);
        }
        samples.generator.push(shopctl::report::GeneratorPoint {
            second,
            cpu: 0.3,
            waiting: Some(0.01),
            late: Some(0.5),
        });
    }
    (facts, samples)
}

fn judged(change: impl FnOnce(&mut LoadFacts, &mut Samples)) -> LoadReport {
    let (mut facts, mut samples) = small();
    change(&mut facts, &mut samples);
    LoadReport::assemble(facts, &samples)
}

fn slow(samples: &mut Samples) {
    for second in 0..10 {
        for _ in 0..10 {
            samples.request(second, "GET /echo", 200, false, Duration::from_secs(2));
        }
    }
}

fn lost_order(samples: &mut Samples) {
    samples.acknowledged = crate::fixture::samples().acknowledged[..3].to_vec();
    samples.books = crate::fixture::books(&samples.acknowledged[1..]);
}

#[test]
fn a_good_run_passes_without_reasons() {
    let report = LoadReport::assemble(facts(), &samples());
    assert_eq!(
        (report.verdict, report.reasons),
        (Verdict::Pass, Vec::new())
    );
    assert!(
        report
            .objectives
            .iter()
            .all(|objective| objective.verdict == Verdict::Pass)
    );
    assert_eq!(judged(|_, _| ()).verdict, Verdict::Pass);
}

#[test]
fn what_does_not_hold_fails_and_is_named() {
    let cases: [Case<'_>; 6] = [
        (
            "p95 is 2,000 ms and must be at most 200 ms",
            &|_, samples| slow(samples),
        ),
        (
            "requests a second is 10 and must be at least 11",
            &|facts, _| facts.limits[0].limit = 11.0,
        ),
        (
            "the share of failed requests is 0.99 % and must be at most 0 %",
            &|_, samples| {
                samples.request(3, "GET /echo", 0, true, Duration::ZERO);
            },
        ),
        (
            "check \"order is confirmed\" failed 1 of 1 times",
            &|_, samples| samples.check("order is confirmed", false),
        ),
        ("1 answers with status 503", &|_, samples| {
            samples.request(3, "GET /echo", 503, false, Duration::ZERO);
        }),
        (
            "every acknowledged order is in Postgres, as acknowledged: expected 3, found 2",
            &|_, samples| {
                lost_order(samples);
            },
        ),
    ];
    for (words, change) in cases {
        let report = judged(change);
        assert_eq!(report.verdict, Verdict::Fail, "{words}");
        let told = report
            .reasons
            .iter()
            .filter(|reason| reason.verdict == Verdict::Fail);
        assert!(
            told.clone().any(|reason| reason.text.starts_with(words)),
            "{words}: {:?}",
            report.reasons
        );
    }
}

#[test]
fn load_that_was_not_really_offered_shows_nothing() {
    let cases: [Case<'_>; 8] = [
        ("interrupted", &|facts, _| facts.interrupted = true),
        ("1 iteration was dropped", &|_, samples| {
            samples.dropped_iterations = 1;
        }),
        ("out of CPU", &|_, samples| {
            samples
                .generator
                .iter_mut()
                .for_each(|point| point.cpu = 1.9);
        }),
        ("out of CPU", &|_, samples| {
            samples
                .generator
                .iter_mut()
                .for_each(|point| point.late = Some(80.0));
        }),
        ("nobody saw whether", &|_, samples| {
            samples.generator.clear();
        }),
        ("no request was measured", &|_, samples| {
            samples.requests.clear();
        }),
        ("the books were not asked for", &|_, samples| {
            lost_order(samples);
            samples.books = Books::NotNeeded;
        }),
        ("Postgres is away", &|_, samples| {
            samples.books = Books::Unread {
                reason: "Postgres is away".to_owned(),
            }
        }),
    ];
    for (words, change) in cases {
        let report = judged(change);
        assert_eq!(
            report.verdict,
            Verdict::Unknown,
            "{words}: {:?}",
            report.reasons
        );
        assert!(
            report
                .reasons
                .iter()
                .any(|reason| reason.text.contains(words)),
            "{words}: {:?}",
            report.reasons
        );
    }
}

#[test]
fn a_latency_is_missed_under_less_load_too_but_not_by_a_generator_that_measures_itself() {
    let dropped = judged(|_, samples| {
        slow(samples);
        samples.dropped_iterations = 5;
    });
    assert_eq!(dropped.verdict, Verdict::Fail);
    let out_of_cpu = judged(|_, samples| {
        slow(samples);
        samples
            .generator
            .iter_mut()
            .for_each(|point| point.cpu = 2.0);
    });
    assert_eq!(out_of_cpu.verdict, Verdict::Unknown);
}

#[test]
fn a_rate_is_not_missed_where_load_was_left_out() {
    let report = judged(|facts, samples| {
        facts.limits[0].limit = 11.0;
        samples.dropped_iterations = 5;
    });
    assert_eq!(report.objectives[0].verdict, Verdict::Unknown);
    assert_eq!(report.verdict, Verdict::Unknown);
}

proptest! {
    #[test]
    fn a_wrong_count_fails_whatever_else_there_is(
        interrupted: bool, dropped in 0u64..3, cpu in 0.0f64..2.0, seen: bool, fast: bool,
    ) {
        let report = judged(|facts, samples| {
            facts.interrupted = interrupted;
            samples.dropped_iterations = dropped;
            samples.generator.iter_mut().for_each(|point| point.cpu = cpu);
            if !seen { samples.generator.clear(); }
            if !fast { slow(samples); }
            lost_order(samples);
        });
        prop_assert_eq!(report.verdict, Verdict::Fail);
    }

    #[test]
    fn a_pass_has_no_reasons_and_anything_else_has(
        interrupted: bool, dropped in 0u64..2, cpu in 0.0f64..2.0, wrong: bool, fast: bool,
    ) {
        let report = judged(|facts, samples| {
            facts.interrupted = interrupted;
            samples.dropped_iterations = dropped;
            samples.generator.iter_mut().for_each(|point| point.cpu = cpu);
            if !fast { slow(samples); }
            if wrong { samples.check("wrong", false); }
        });
        prop_assert_eq!(report.verdict == Verdict::Pass, report.reasons.is_empty());
        prop_assert_eq!(
            report.verdict == Verdict::Fail,
            report.reasons.iter().any(|reason| reason.verdict == Verdict::Fail)
        );
    }
}
