//! Tells a real change between two load tests from noise.
//!
//! Seconds of one run resemble their neighbours, so they are no independent measurements. Each figure is therefore
//! compared by the moving-block bootstrap (H. R. Künsch, "The Jackknife and the Bootstrap for General Stationary
//! Observations", Annals of Statistics 17(3), 1989): blocks of neighbouring seconds are drawn with replacement from
//! each run, the ratio of the two means is taken (of latencies the geometric means, so that a burst of a few seconds
//! does not outweigh all others), and the 2.5th and 97.5th percentile of many such ratios are the
//! limits of a 95 % confidence interval (the percentile method of B. Efron, "Bootstrap Methods: Another Look at the
//! Jackknife", Annals of Statistics 7(1), 1979). A block is n^(1/3) seconds long, at least 3, which is the rate of
//! P. Hall, J. L. Horowitz and B.-Y. Jing, "On Blocking Rules for the Bootstrap with Dependent Data", Biometrika 82(3),
//! 1995. Only an interval that lies wholly on one side of 1, by more than [`NEGLIGIBLE`], is called a change: two runs
//! differ in more than what was measured within them, so that a smaller one shows nothing.
//!
//! Pure, and drawn from a fixed sequence: the same two reports always give the same answer.

use serde::Serialize;

use super::model::{LoadReport, Second};

/// The share of seconds that are left out at the beginning: users arrive.
const WARM_UP: f64 = 0.1;
/// The fewest seconds of a run that say something.
const FEWEST: usize = 10;
/// How many times blocks are drawn.
const DRAWS: usize = 2_000;
/// The change of a ratio that is not worth a word, however sure it is: what two runs of the same shop differ by.
const NEGLIGIBLE: f64 = 0.03;

/// What two load tests differ in. The second is compared with the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparing {
    /// The first.
    pub before: Side,
    /// The second.
    pub after: Side,
    /// Why the two cannot be blamed on the shop alone; empty: they ran under the same conditions.
    pub differences: Vec<String>,
    /// The figures.
    pub figures: Vec<Change>,
}

/// One of two reports that are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// Its name.
    pub id: String,
    /// Its verdict.
    pub verdict: super::Verdict,
    /// The commit that it ran.
    pub commit: String,
}

/// What became of a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The figure.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Its mean over seconds, before.
    pub before: f64,
    /// Its mean over seconds, after.
    pub after: f64,
    /// After by before.
    pub ratio: f64,
    /// The limits of the ratio's 95 % confidence interval; absent: too few seconds were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// What the data show.
    pub finding: Finding,
}

/// What the data show of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// It is better.
    Faster,
    /// It is worse.
    Slower,
    /// There is no difference that the data show.
    NoDifference,
    /// Too little was measured.
    TooFewData,
}

impl Finding {
    /// As people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster in this run",
            Self::Slower => "slower in this run",
            Self::NoDifference => "no difference that the data show",
            Self::TooFewData => "too few data",
        }
    }
}

/// A figure: its name, its unit, what its mean is, and its value in a second.
type Figure = (&'static str, &'static str, Mean, fn(&Second) -> Option<f64>);

/// How the seconds of a run become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mean {
    /// Of rates, where more is better.
    Arithmetic,
    /// Of latencies, where less is better.
    Geometric,
}

impl Mean {
    /// Values whose arithmetic mean tells it: the geometric mean is that of logarithms.
    fn scaled(self, values: &[f64]) -> Vec<f64> {
        match self {
            Self::Arithmetic => values.to_vec(),
            // Nothing is measured to be quicker than a microsecond.
            Self::Geometric => values.iter().map(|value| value.max(0.001).ln()).collect(),
        }
    }

    /// The mean of values, from that of the scaled ones.
    fn unscaled(self, mean: f64) -> f64 {
        match self {
            Self::Arithmetic => mean,
            Self::Geometric => mean.exp(),
        }
    }
}

/// Compares two reports.
pub fn compare(before: &LoadReport, after: &LoadReport) -> Comparing {
    let figures: [Figure; 5] = [
        ("requests a second", "1/s", Mean::Arithmetic, |second| {
            Some(second.requests as f64)
        }),
        ("orders a second", "1/s", Mean::Arithmetic, |second| {
            Some(second.orders as f64)
        }),
        ("median latency", "ms", Mean::Geometric, |second| second.p50),
        ("p95 latency", "ms", Mean::Geometric, |second| second.p95),
        ("p99 latency", "ms", Mean::Geometric, |second| second.p99),
    ];
    Comparing {
        before: side(before),
        after: side(after),
        differences: conditions(before, after),
        figures: figures
            .into_iter()
            .filter_map(|(name, unit, kind, of)| {
                let one = kind.scaled(&steady(before, of));
                let other = kind.scaled(&steady(after, of));
                let one_mean = kind.unscaled(mean(&one)?);
                let other_mean = kind.unscaled(mean(&other)?);
                if one_mean == 0.0 {
                    return None;
                }
                let interval = interval(&one, &other, kind);
                Some(Change {
                    name,
                    unit,
                    before: rounded(one_mean),
                    after: rounded(other_mean),
                    ratio: rounded(other_mean / one_mean),
                    interval: interval.map(|limits| limits.map(rounded)),
                    finding: finding(interval, kind == Mean::Arithmetic),
                })
            })
            .collect(),
    }
}

fn side(report: &LoadReport) -> Side {
    Side {
        id: report.id.clone(),
        verdict: report.verdict,
        commit: report.software.commit.clone(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// What of the conditions differs.
fn conditions(before: &LoadReport, after: &LoadReport) -> Vec<String> {
    let profile = |report: &LoadReport| super::model::Profile {
        script_sha256: None,
        ..report.profile.clone()
    };
    let script = |report: &LoadReport| report.profile.script_sha256.clone();
    let (one, other) = (&before.hardware, &after.hardware);
    let software = |report: &LoadReport| {
        let software = report.software.clone();
        [software.k6, software.postgres, software.redis]
    };
    [
        (profile(before) != profile(after), "the profiles differ"),
        (script(before) != script(after), "the scripts differ"),
        (
            (&one.cpu_model, one.cores) != (&other.cpu_model, other.cores),
            "the processors differ",
        ),
        (
            one.memory_bytes != other.memory_bytes,
            "the machines' memory differs",
        ),
        (
            before.environment_sha256 != after.environment_sha256,
            "the environments' settings differ",
        ),
        (
            software(before) != software(after),
            "the versions of k6, PostgreSQL or Redis differ",
        ),
        (
            before.interrupted || after.interrupted,
            "one of them was interrupted",
        ),
        (
            [before, after]
                .iter()
                .any(|report| report.generator.saturated == Some(true)),
            "a load generator was out of CPU",
        ),
    ]
    .into_iter()
    .filter(|(differs, _)| *differs)
    .map(|(_, text)| text.to_owned())
    .collect()
}

/// The seconds after users have arrived; the last one is seldom a whole one.
fn steady(report: &LoadReport, of: impl Fn(&Second) -> Option<f64>) -> Vec<f64> {
    let count = report.series.len();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is less than the count"
    )]
    let warm_up = (count as f64 * WARM_UP).ceil() as usize;
    // Nor those after the load in which requests under way come to their ends.
    let whole = report
        .series
        .iter()
        .take_while(|second| f64::from(second.second) + 1.0 <= report.totals.offered_seconds)
        .count();
    let end = whole.min(count.saturating_sub(1));
    report
        .series
        .get(warm_up..end)
        .unwrap_or_default()
        .iter()
        .filter_map(of)
        .collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The limits of the ratio of two means, of scaled values.
fn interval(before: &[f64], after: &[f64], kind: Mean) -> Option<[f64; 2]> {
    if before.len() < FEWEST || after.len() < FEWEST {
        return None;
    }
    let mut chance = Chance(0x5348_4f50);
    let mut ratios: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            let one = kind.unscaled(resampled(before, &mut chance));
            let other = kind.unscaled(resampled(after, &mut chance));
            (one > 0.0).then(|| other / one)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: usize| ratios.get(ratios.len() * share / 1_000).copied();
    Some([at(25)?, at(975)?])
}

/// The mean of blocks of neighbours, drawn until they are as many as there were.
fn resampled(values: &[f64], chance: &mut Chance) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a small positive number"
    )]
    let block = ((values.len() as f64).cbrt().round() as usize).clamp(3, values.len());
    let (mut sum, mut count) = (0.0, 0usize);
    while count < values.len() {
        let start = chance.below(values.len() - block + 1);
        sum += values.iter().skip(start).take(block).sum::<f64>();
        count += block;
    }
    sum / count as f64
}

fn finding(interval: Option<[f64; 2]>, more_is_better: bool) -> Finding {
    match interval {
        None => Finding::TooFewData,
        Some([low, _]) if low > 1.0 + NEGLIGIBLE => {
            if more_is_better {
                Finding::Faster
            } else {
                Finding::Slower
            }
        }
        Some([_, high]) if high < 1.0 - NEGLIGIBLE => {
            if more_is_better {
                Finding::Slower
            } else {
                Finding::Faster
            }
        }
        Some(_) => Finding::NoDifference,
    }
}

/// A fixed sequence of numbers that looks like chance (G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014).
struct Chance(u64);

impl Chance {
    /// The next number, from 0 to below a limit that is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (limit.max(1) as u64)).unwrap_or(0)
    }
}
