//! Makes a report from what ran and what was measured. Pure: the same is done again to verify a report.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::accounting::account;
use super::histogram::Histogram;
use super::judge::{judge, judge_objectives, out_of_cpu};
use super::model::{
    Checks, Comparison, Generator, InstanceUse, LoadReport, NamedCheck, Objective, Profile, Route,
    SCHEMA_VERSION, Second, Totals,
};
use super::origin::{Hardware, LoadAverages, Software};
use super::samples::{InstanceSamples, RouteSecond, Samples};
use super::verdict::Verdict;
use crate::environment::{LoadObjectives, Target};

/// What ran where, and what the shop is held to: all of a report that is not measured.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadFacts {
    /// The report's name: see [`super::report_id`].
    pub id: String,
    /// The environment's name.
    pub environment: String,
    /// Where the shop ran.
    pub target: Target,
    /// What was asked for.
    pub profile: Profile,
    /// When the load began.
    pub started_at: OffsetDateTime,
    /// When the load ended.
    pub ended_at: OffsetDateTime,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// The programs.
    pub software: Software,
    /// The machine.
    pub hardware: Hardware,
    /// The SHA-256 of the effective environment, in hexadecimal.
    pub environment_sha256: String,
    /// How busy the machine was.
    pub load_average: LoadAverages,
    /// What the shop is held to: see [`limits`].
    pub limits: Vec<Limit>,
}

/// What an objective is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Requests a second.
    RequestsPerSecond,
    /// The share of requests that failed.
    ErrorRatio,
    /// The median latency.
    LatencyP50,
    /// The 95th percentile of latency.
    LatencyP95,
    /// The 99th percentile of latency.
    LatencyP99,
}

impl Measure {
    const ALL: [Self; 5] = [
        Self::RequestsPerSecond,
        Self::ErrorRatio,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
    ];

    /// The name in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requestsPerSecond",
            Self::ErrorRatio => "errorRatio",
            Self::LatencyP50 => "latencyP50",
            Self::LatencyP95 => "latencyP95",
            Self::LatencyP99 => "latencyP99",
        }
    }

    /// The measure of a name in a report.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// What people call it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests a second",
            Self::ErrorRatio => "the share of failed requests",
            Self::LatencyP50 => "p50",
            Self::LatencyP95 => "p95",
            Self::LatencyP99 => "p99",
        }
    }

    /// A value of it as people read it.
    pub fn told(self, value: f64) -> String {
        match self {
            Self::RequestsPerSecond => format!("{value:.0}"),
            Self::ErrorRatio => super::figures::percent(value),
            _ => super::figures::milliseconds(value),
        }
    }

    /// The unit of its values.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "1/s",
            Self::ErrorRatio => "ratio",
            Self::LatencyP50 | Self::LatencyP95 | Self::LatencyP99 => "ms",
        }
    }

    /// On which side of its limit it must be.
    pub const fn comparison(self) -> Comparison {
        match self {
            Self::RequestsPerSecond => Comparison::AtLeast,
            _ => Comparison::AtMost,
        }
    }
}

/// A measure and its limit, in the measure's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// What is measured.
    pub measure: Measure,
    /// The limit.
    pub limit: f64,
}

/// The limits that an environment sets for a load test.
pub fn limits(objectives: &LoadObjectives) -> Vec<Limit> {
    let milliseconds = |duration: crate::value::Duration| duration.milliseconds() as f64;
    [
        (
            Measure::RequestsPerSecond,
            objectives.minimum_requests_per_second,
        ),
        (Measure::ErrorRatio, objectives.maximum_error_ratio),
        (Measure::LatencyP50, milliseconds(objectives.p50)),
        (Measure::LatencyP95, milliseconds(objectives.p95)),
        (Measure::LatencyP99, milliseconds(objectives.p99)),
    ]
    .map(|(measure, limit)| Limit { measure, limit })
    .to_vec()
}

impl LoadReport {
    /// Makes the report.
    pub fn assemble(facts: LoadFacts, samples: &Samples) -> Self {
        let latency = merged(samples.requests.values()).latency();
        let totals = totals(samples);
        let mut report = Self {
            schema_version: SCHEMA_VERSION,
            kind: "load".to_owned(),
            objectives: facts
                .limits
                .iter()
                .map(|limit| Objective {
                    name: limit.measure.name().to_owned(),
                    comparison: limit.measure.comparison(),
                    limit: limit.limit,
                    measured: match limit.measure {
                        Measure::RequestsPerSecond => {
                            (totals.requests > 0).then_some(totals.requests_per_second)
                        }
                        Measure::ErrorRatio => totals.error_ratio,
                        Measure::LatencyP50 => latency.map(|latency| latency.p50),
                        Measure::LatencyP95 => latency.map(|latency| latency.p95),
                        Measure::LatencyP99 => latency.map(|latency| latency.p99),
                    },
                    unit: limit.measure.unit().to_owned(),
                    verdict: Verdict::Unknown,
                })
                .collect(),
            id: facts.id,
            environment: facts.environment,
            target: facts.target,
            profile: facts.profile,
            started_at: facts.started_at,
            ended_at: facts.ended_at,
            interrupted: facts.interrupted,
            verdict: Verdict::Unknown,
            reasons: Vec::new(),
            software: facts.software,
            hardware: facts.hardware,
            environment_sha256: facts.environment_sha256,
            load_average: facts.load_average,
            totals,
            latency,
            routes: routes(samples),
            series: series(samples),
            instances: samples.instances.iter().map(instance).collect(),
            generator: generator(samples),
            accounting: account(&samples.acknowledged, &samples.books),
        };
        judge_objectives(&mut report);
        let (verdict, reasons) = judge(&report);
        report.verdict = verdict;
        report.reasons = reasons;
        report
    }

    /// What of the report is not measured; an objective that this program does not know is left out.
    pub fn facts(&self) -> LoadFacts {
        LoadFacts {
            id: self.id.clone(),
            environment: self.environment.clone(),
            target: self.target,
            profile: self.profile.clone(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            interrupted: self.interrupted,
            software: self.software.clone(),
            hardware: self.hardware.clone(),
            environment_sha256: self.environment_sha256.clone(),
            load_average: self.load_average,
            limits: self
                .objectives
                .iter()
                .filter_map(|objective| {
                    Some(Limit {
                        measure: Measure::named(&objective.name)?,
                        limit: objective.limit,
                    })
                })
                .collect(),
        }
    }
}

/// Rounded to so many digits behind the point: a report is read by people too.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

fn merged<'a>(seen: impl IntoIterator<Item = &'a RouteSecond>) -> Histogram {
    let mut all = Histogram::default();
    for one in seen {
        all.merge(&one.latency);
    }
    all
}

fn totals(samples: &Samples) -> Totals {
    let offered = samples.offered.as_secs_f64();
    let requests: u64 = samples.requests.values().map(RouteSecond::requests).sum();
    let failed: u64 = samples.requests.values().map(|seen| seen.failed).sum();
    let mut statuses = BTreeMap::new();
    for (status, count) in samples.requests.values().flat_map(|seen| &seen.statuses) {
        *statuses.entry(*status).or_default() += count;
    }
    Totals {
        offered_seconds: rounded(offered, 3),
        requests,
        requests_per_second: if offered > 0.0 {
            rounded(requests as f64 / offered, 2)
        } else {
            0.0
        },
        iterations: samples.iterations,
        dropped_iterations: samples.dropped_iterations,
        failed_requests: failed,
        error_ratio: (requests > 0).then(|| rounded(failed as f64 / requests as f64, 8)),
        orders: u64::try_from(samples.acknowledged.len()).unwrap_or(u64::MAX),
        checks: Checks {
            passed: samples.checks.values().map(|count| count.passed).sum(),
            failed: samples.checks.values().map(|count| count.failed).sum(),
            by_name: samples
                .checks
                .iter()
                .map(|(name, count)| NamedCheck {
                    name: name.clone(),
                    passed: count.passed,
                    failed: count.failed,
                })
                .collect(),
        },
        statuses,
    }
}

fn routes(samples: &Samples) -> Vec<Route> {
    let mut by_name: BTreeMap<&str, Vec<&RouteSecond>> = BTreeMap::new();
    for ((route, _), seen) in &samples.requests {
        by_name.entry(route).or_default().push(seen);
    }
    by_name
        .into_iter()
        .map(|(name, seen)| Route {
            name: name.to_owned(),
            requests: seen.iter().map(|seen| seen.requests()).sum(),
            failed: seen.iter().map(|seen| seen.failed).sum(),
            latency: merged(seen).latency(),
        })
        .collect()
}

/// The longest series: a file that is not ours may name a second that lies years away.
const MOST_SECONDS: u32 = 7 * 24 * 3_600;

fn series(samples: &Samples) -> Vec<Second> {
    let mut by_second: BTreeMap<u32, (Second, Histogram)> = BTreeMap::new();
    for ((_, second), seen) in &samples.requests {
        let (point, latency) = by_second.entry(*second).or_default();
        point.errors += seen.failed;
        point.requests += seen.requests();
        latency.merge(&seen.latency);
    }
    for told in &samples.acknowledged {
        by_second.entry(told.second).or_default().0.orders += 1;
    }
    for (second, pieces) in &samples.stock_left {
        by_second.entry(*second).or_default().0.stock_left = Some(*pieces);
    }
    for point in samples
        .instances
        .iter()
        .flat_map(|instance| &instance.points)
    {
        let cpu = &mut by_second.entry(point.second).or_default().0.cpu;
        *cpu = Some(cpu.unwrap_or(0.0) + point.cpu);
    }
    let end = by_second
        .keys()
        .next_back()
        .map_or(0, |last| last.saturating_add(1))
        .min(MOST_SECONDS);
    (0..end)
        .map(|number| {
            let (mut point, latency) = by_second.remove(&number).unwrap_or_default();
            point.second = number;
            point.p50 = latency.quantile(0.5);
            point.p95 = latency.quantile(0.95);
            point.p99 = latency.quantile(0.99);
            point.cpu = point.cpu.map(|cpu| rounded(cpu, 3));
            point
        })
        .collect()
}

fn instance(samples: &InstanceSamples) -> InstanceUse {
    let cpu = samples.points.iter().map(|point| point.cpu);
    InstanceUse {
        component: samples.component.clone(),
        instance: samples.instance.clone(),
        cpu_seconds: rounded(samples.cpu_seconds, 3),
        cpu_mean: mean(cpu.clone()),
        cpu_max: cpu.reduce(f64::max),
        resident_max_bytes: samples
            .points
            .iter()
            .map(|point| point.resident_bytes)
            .max(),
        series: samples.points.clone(),
    }
}

fn generator(samples: &Samples) -> Generator {
    let cpu = samples.generator.iter().map(|point| point.cpu);
    let waiting: Option<f64> = samples.generator.iter().map(|point| point.waiting).sum();
    let used: f64 = cpu.clone().sum();
    let waiting = waiting.filter(|_| !samples.generator.is_empty());
    Generator {
        cpu_mean: mean(cpu.clone()),
        cpu_max: cpu.reduce(f64::max),
        waiting_ratio: waiting
            .filter(|waiting| waiting + used > 0.0)
            .map(|waiting| rounded(waiting / (waiting + used), 4)),
        late_milliseconds: mean(samples.generator.iter().filter_map(|point| point.late)),
        cores_available: samples.cores_available,
        saturated: out_of_cpu(&samples.generator, samples.cores_available),
    }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count();
    (count > 0).then(|| rounded(values.sum::<f64>() / count as f64, 3))
}
