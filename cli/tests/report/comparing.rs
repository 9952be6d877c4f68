//! Real changes and noise between two load tests.

use shopctl::report::{Comparing, Finding, LoadReport, compare};

use crate::fixture::{Sequence, facts, samples, samples_with};

fn finding(comparing: &Comparing, name: &str) -> Finding {
    comparing
        .figures
        .iter()
        .find(|change| change.name == name)
        .unwrap()
        .finding
}

/// A report whose seconds have these median latencies.
fn with_medians(medians: impl IntoIterator<Item = f64>) -> LoadReport {
    let mut report = LoadReport::assemble(facts(), &samples());
    for (second, median) in report.series.iter_mut().zip(medians) {
        second.p50 = Some(median);
    }
    report
}

#[test]
fn a_run_does_not_differ_from_one_of_another_chance() {
    let before = LoadReport::assemble(facts(), &samples());
    for seed in [2, 3] {
        let comparing = compare(
            &before,
            &LoadReport::assemble(facts(), &samples_with(seed, 1.0)),
        );
        for change in &comparing.figures {
            assert_eq!(change.finding, Finding::NoDifference, "{seed}: {change:?}");
        }
        assert_eq!(comparing.differences, Vec::<String>::new());
    }
}

#[test]
fn what_takes_longer_is_slower_and_the_other_way_round() {
    let before = LoadReport::assemble(facts(), &samples());
    let after = LoadReport::assemble(facts(), &samples_with(2, 1.3));
    let comparing = compare(&before, &after);
    assert_eq!(finding(&comparing, "median latency"), Finding::Slower);
    assert_eq!(
        finding(&comparing, "requests a second"),
        Finding::NoDifference
    );
    assert_eq!(
        finding(&compare(&after, &before), "median latency"),
        Finding::Faster
    );
}

#[test]
fn the_same_two_reports_always_give_the_same_answer() {
    let (before, after) = (
        with_medians((0..60).map(f64::from)),
        LoadReport::assemble(facts(), &samples_with(2, 1.1)),
    );
    assert_eq!(compare(&before, &after), compare(&before, &after));
}

/// Seconds resemble their neighbours: the same values as ten-second swings say less than as single ones.
#[test]
fn neighbours_that_resemble_each_other_are_not_counted_as_so_many_measurements() {
    let width = |swing: usize| {
        let mut sequence = Sequence(7);
        let mut level = 1.0;
        let mut medians = |shift: f64| {
            let values: Vec<f64> = (0..60)
                .map(|second| {
                    if second % swing == 0 {
                        level = 1.0 + sequence.next();
                    }
                    level + shift
                })
                .collect();
            with_medians(values)
        };
        let comparing = compare(&medians(0.0), &medians(0.0));
        let change = comparing
            .figures
            .into_iter()
            .find(|change| change.name == "median latency")
            .unwrap();
        let [low, high] = change.interval.unwrap();
        high - low
    };
    assert!(width(10) > 1.4 * width(1), "{} {}", width(10), width(1));
}

#[test]
fn of_too_few_seconds_nothing_is_said() {
    let mut short = LoadReport::assemble(facts(), &samples());
    short.series.truncate(8);
    let comparing = compare(&short, &short.clone());
    assert!(
        comparing
            .figures
            .iter()
            .all(|change| change.finding == Finding::TooFewData && change.interval.is_none())
    );
}

#[test]
fn other_conditions_are_named() {
    let before = LoadReport::assemble(facts(), &samples());
    let mut after = before.clone();
    after.profile.vus = 500;
    after.hardware.cores = 8;
    after.environment_sha256 = "cd".repeat(32);
    after.software.postgres = Some("16.1".to_owned());
    let words = [
        "profiles",
        "processors",
        "environments' settings",
        "versions",
    ];
    let differences = compare(&before, &after).differences;
    assert_eq!(differences.len(), words.len(), "{differences:?}");
    for (difference, word) in differences.iter().zip(words) {
        assert!(difference.contains(word), "{difference}");
    }
}
