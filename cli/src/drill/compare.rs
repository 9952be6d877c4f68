//! Tells a real change between two reports of drills from noise.
//!
//! Runs of one scenario are independent of each other, and few. A figure is called better or worse only if every run
//! of one report lies beyond every run of the other: with four runs on either side this happens by chance in 2 of
//! C(8, 4) = 70 orders, less than 3 %, for each figure (the extreme case of the rank-sum test of F. Wilcoxon, "Individual Comparisons by
//! Ranking Methods", Biometrics Bulletin 1(6), 1945). Fewer runs show nothing; the figures are told all the same.
//!
//! Pure.

use serde::Serialize;

use super::history::Figure;
use super::report::{DrillReport, median};
use crate::report::{Finding, Side};

/// The fewest runs of a scenario, on either side, that say something.
const FEWEST: usize = 4;

/// What two reports of drills differ in. The second is compared with the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparingDrills {
    /// The first.
    pub before: Side,
    /// The second.
    pub after: Side,
    /// Why the two cannot be blamed on the shop alone; empty: they ran under the same conditions.
    pub differences: Vec<String>,
    /// The figures of the scenarios that both have.
    pub figures: Vec<DrillChange>,
}

/// What became of a figure of a scenario: microseconds, or a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillChange {
    /// The scenario.
    pub scenario: String,
    /// The figure.
    pub figure: Figure,
    /// Before.
    pub before: Runs,
    /// After.
    pub after: Runs,
    /// What the runs show.
    pub finding: Finding,
}

/// A figure over the runs whose fault took place. What never came (`None`) is worse than anything that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runs {
    /// How many there are.
    pub runs: usize,
    /// The smallest.
    pub least: Option<u64>,
    /// The median; of an even number of runs, the middle of the two in the middle.
    pub p50: Option<u64>,
    /// The largest.
    pub most: Option<u64>,
}

impl Runs {
    /// None if there is no run, or if the figure came in none of them.
    fn of(values: Vec<Option<u64>>) -> Option<Self> {
        let mut values: Vec<u64> = values.into_iter().map(worst_if_missing).collect();
        values.sort_unstable();
        // Half of what never came never came either.
        let came = |value: u64| (value < u64::MAX / 2).then_some(value);
        let runs = Self {
            runs: values.len(),
            least: came(*values.first()?),
            p50: came(median(&values)?),
            most: came(*values.last()?),
        };
        runs.least.map(|_| runs)
    }
}

fn worst_if_missing(value: Option<u64>) -> u64 {
    value.unwrap_or(u64::MAX)
}

/// Compares two reports of drills.
pub fn compare_drills(before: &DrillReport, after: &DrillReport) -> ComparingDrills {
    let figures = after
        .scenarios
        .iter()
        .flat_map(|scenario| {
            Figure::MAIN
                .into_iter()
                .filter_map(|figure| change(&scenario.scenario, figure, before, after))
        })
        .collect();
    ComparingDrills {
        before: side(before),
        after: side(after),
        differences: differences(before, after),
        figures,
    }
}

fn side(report: &DrillReport) -> Side {
    Side {
        id: report.origin.id.clone(),
        verdict: report.verdict,
        commit: report.origin.software.commit.clone(),
    }
}

fn change(
    scenario: &str,
    figure: Figure,
    before: &DrillReport,
    after: &DrillReport,
) -> Option<DrillChange> {
    let runs = |report: &DrillReport| {
        Runs::of(
            report
                .runs
                .iter()
                .filter(|run| run.scenario == scenario)
                .filter(|run| run.faults.iter().any(|fault| fault.confirmed))
                .map(|run| run.judgement.figures.get(figure))
                .collect(),
        )
    };
    let (before, after) = (runs(before)?, runs(after)?);
    let finding = if before.runs < FEWEST || after.runs < FEWEST {
        Finding::TooFewData
    } else if worst_if_missing(after.most) < worst_if_missing(before.least) {
        Finding::Faster
    } else if worst_if_missing(after.least) > worst_if_missing(before.most) {
        Finding::Slower
    } else {
        Finding::NoDifference
    };
    Some(DrillChange {
        scenario: scenario.to_owned(),
        figure,
        before,
        after,
        finding,
    })
}

fn differences(before: &DrillReport, after: &DrillReport) -> Vec<String> {
    let (one, other) = (&before.origin, &after.origin);
    [
        (one.target != other.target, "they ran on different targets"),
        (
            one.environment != other.environment
                || one.environment_sha256 != other.environment_sha256,
            "their environments differ",
        ),
        (one.vus != other.vus, "their load in the background differs"),
        (
            one.hardware != other.hardware,
            "they ran on different machines",
        ),
    ]
    .into_iter()
    .filter(|(differs, _)| *differs)
    .map(|(_, what)| what.to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::drill::report::DrillFacts;
    use crate::environment::Target;
    use crate::report::{Hardware, LoadAverages, Software};

    fn runs(values: &[u64]) -> Runs {
        Runs::of(values.iter().copied().map(Some).collect()).unwrap()
    }

    #[test]
    fn runs_are_summed_up_by_their_median() {
        assert_eq!(
            runs(&[5, 1, 4, 2]),
            Runs {
                runs: 4,
                least: Some(1),
                p50: Some(3),
                most: Some(5)
            }
        );
        assert_eq!(Runs::of(Vec::new()), None);
        assert_eq!(Runs::of(vec![None, None]), None);
        let never = Runs::of(vec![None, Some(1), None]).unwrap();
        assert_eq!((never.least, never.p50, never.most), (Some(1), None, None));
    }

    #[test]
    fn a_shop_that_never_came_back_is_not_better_than_a_slow_one() {
        let slow = report(&[5, 6, 7, 8, 9, 9, 9, 9]);
        let mut broken = report(&[1, 2, 3, 4, 1, 2, 3, 4]);
        for run in &mut broken.runs[4..] {
            run.judgement.figures.order_gap = None;
        }
        let gap = |before: &DrillReport, after: &DrillReport| {
            compare_drills(before, after)
                .figures
                .into_iter()
                .find(|change| change.figure == Figure::OrderGap)
                .unwrap()
        };
        assert_eq!(gap(&slow, &broken).finding, Finding::NoDifference);
        for run in &mut broken.runs {
            run.faults.clear();
        }
        assert!(
            compare_drills(&slow, &broken).figures.is_empty(),
            "what was not broken is not compared"
        );
    }

    fn facts() -> DrillFacts {
        DrillFacts {
            id: "20261121T120000Z-redis-master".to_owned(),
            environment: "local".to_owned(),
            target: Target::Local,
            profile: "default".to_owned(),
            vus: 50,
            started_at: OffsetDateTime::UNIX_EPOCH,
            ended_at: OffsetDateTime::UNIX_EPOCH,
            stopped: Vec::new(),
            software: Software::default(),
            hardware: Hardware::default(),
            environment_sha256: String::new(),
            load_average: LoadAverages::default(),
            notes: Vec::new(),
        }
    }

    fn report(gaps: &[u64]) -> DrillReport {
        let histories: Vec<_> = gaps
            .iter()
            .map(|_| {
                (
                    "timeline.jsonl.zst".to_owned(),
                    crate::drill::sample::honest(),
                )
            })
            .collect();
        let mut report = DrillReport::assemble(facts(), &histories);
        for (run, gap) in report.runs.iter_mut().zip(gaps) {
            run.judgement.figures.order_gap = Some(*gap);
        }
        report
    }

    fn found(before: &[u64], after: &[u64]) -> Finding {
        compare_drills(&report(before), &report(after))
            .figures
            .into_iter()
            .find(|change| change.figure == Figure::OrderGap)
            .unwrap()
            .finding
    }

    #[test]
    fn only_runs_that_lie_wholly_apart_are_called_a_change() {
        assert_eq!(found(&[1, 2, 3, 4], &[5, 6, 7, 8]), Finding::Slower);
        assert_eq!(found(&[5, 6, 7, 8], &[1, 2, 3, 4]), Finding::Faster);
        assert_eq!(found(&[1, 2, 3, 6], &[5, 7, 8, 9]), Finding::NoDifference);
        assert_eq!(found(&[1, 2, 3], &[5, 6, 7]), Finding::TooFewData);
    }

    #[test]
    fn what_else_differs_is_named() {
        let one = report(&[1]);
        let mut other = one.clone();
        assert!(compare_drills(&one, &other).differences.is_empty());
        other.origin.vus += 1;
        assert_eq!(
            compare_drills(&one, &other).differences,
            ["their load in the background differs"]
        );
    }
}
