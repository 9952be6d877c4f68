//! The report of a load test: the types of `report.json`. Published as `reports/report.schema.json`.
//!
//! Times are UTC, latencies milliseconds, CPU is in cores (1.0: one core busy for the whole second), sizes are bytes,
//! ratios lie between 0 and 1. What was not measured is absent, never 0.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Verdict;
use super::origin::{Hardware, LoadAverages, Software};
use crate::environment::{LoadKind, Target};

/// The version of these types. It grows when a reader of the one before would misread a report.
pub const SCHEMA_VERSION: u32 = 1;

/// What a load test has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// The version of the report's form.
    #[schemars(extend("const" = 1))]
    pub schema_version: u32,
    /// The kind of report: `load`.
    #[schemars(extend("const" = "load"))]
    pub kind: String,
    /// The report's name: when it began and the profile.
    pub id: String,
    /// The environment's name.
    pub environment: String,
    /// Where the shop ran.
    pub target: Target,
    /// What was asked for.
    pub profile: Profile,
    /// When the load began.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: OffsetDateTime,
    /// When the load ended.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended_at: OffsetDateTime,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// What it has shown.
    pub verdict: Verdict,
    /// Why it is not a pass: what failed first, then what is not known.
    pub reasons: Vec<Reason>,
    /// The programs.
    pub software: Software,
    /// The machine.
    pub hardware: Hardware,
    /// The SHA-256 of the effective environment, in hexadecimal: reports of the same one can be compared.
    pub environment_sha256: String,
    /// How busy the machine was.
    pub load_average: LoadAverages,
    /// Everything together.
    pub totals: Totals,
    /// How long requests took, over all routes: from the first byte sent to the last one received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The routes, by name.
    pub routes: Vec<Route>,
    /// The seconds of the test, in order. A second in which nothing happened stands here with zeros.
    pub series: Vec<Second>,
    /// The shop's processes.
    pub instances: Vec<InstanceUse>,
    /// The load generator.
    pub generator: Generator,
    /// Whether the books agree with what customers were told; absent where nothing could be ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounting: Option<Accounting>,
    /// What the shop was held to.
    pub objectives: Vec<Objective>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The profile's name.
    pub name: String,
    /// What its users do.
    pub kind: LoadKind,
    /// How many users there were at once.
    pub vus: u32,
    /// How long it was to last, in seconds.
    pub duration_seconds: f64,
    /// Iterations a second that were to begin whatever the answers take; of an open model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// The mean time that a user thinks between two requests, in milliseconds.
    pub think_time_milliseconds: u64,
    /// The most logins a second.
    pub logins_per_second: u32,
    /// How many pieces the flash sale had; of a flash sale alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<u32>,
    /// The user's own script; absent: a shipped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The SHA-256 of the script as k6 got it, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_sha256: Option<String>,
}

/// Why a report is not a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// What it makes of the verdict: `fail` or `unknown`.
    pub verdict: Verdict,
    /// What was found, in a sentence without its full stop.
    pub text: String,
}

/// Everything together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// How long load was offered, in seconds: what rates are computed over.
    pub offered_seconds: f64,
    /// Requests that ended, with or without an answer.
    pub requests: u64,
    /// Requests a second.
    pub requests_per_second: f64,
    /// Rounds of the script that ended.
    pub iterations: u64,
    /// Rounds that were due and could not be begun: load that was not offered.
    pub dropped_iterations: u64,
    /// Requests that failed: no answer, or one that the script did not expect.
    pub failed_requests: u64,
    /// `failedRequests` by `requests`; absent without requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<f64>,
    /// Orders that customers were given a 201 for.
    pub orders: u64,
    /// What the script checked of the answers.
    pub checks: Checks,
    /// Answers by HTTP status; `0`: there was no answer.
    pub statuses: BTreeMap<u16, u64>,
}

/// What the script checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// How often a check held.
    pub passed: u64,
    /// How often one did not.
    pub failed: u64,
    /// The checks.
    pub by_name: Vec<NamedCheck>,
}

/// A check of the script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedCheck {
    /// What it says, as in "order is confirmed".
    pub name: String,
    /// How often it held.
    pub passed: u64,
    /// How often it did not.
    pub failed: u64,
}

/// How long requests took, in milliseconds. Percentiles come from a histogram and are at most 0.8 % too high;
/// minimum, mean and maximum are exact.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The shortest.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 75th percentile.
    pub p75: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// A route of the shop, as the script names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The name, as in `POST /orders`.
    pub name: String,
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// How long they took; absent without requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
}

/// A second of the test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Which: 0 is the first.
    pub second: u32,
    /// Requests that ended in it.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Their median latency in milliseconds; absent without requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// Their 95th percentile in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// Their 99th percentile in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Orders that customers were given a 201 for.
    pub orders: u64,
    /// Pieces that were left to sell, where somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_left: Option<u64>,
    /// Cores that the shop's processes used together; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
}

/// What a process of the shop used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceUse {
    /// The component.
    pub component: String,
    /// The instance.
    pub instance: String,
    /// Processor time over the whole test, in seconds.
    pub cpu_seconds: f64,
    /// Cores used, on average; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_mean: Option<f64>,
    /// Cores used in the busiest second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_max: Option<f64>,
    /// The most memory that was resident, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_max_bytes: Option<u64>,
    /// The seconds in which it was looked at.
    pub series: Vec<ResourcePoint>,
}

/// What a process used in a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourcePoint {
    /// Which second.
    pub second: u32,
    /// Cores used.
    pub cpu: f64,
    /// Memory that was resident, in bytes.
    pub resident_bytes: u64,
}

/// The load generator: one that is out of CPU measures itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Generator {
    /// Cores used, on average; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_mean: Option<f64>,
    /// Cores used in the busiest second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_max: Option<f64>,
    /// The share of its time in which it wanted a core and had to wait for one; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_ratio: Option<f64>,
    /// How much too late its users went on after they had thought, in milliseconds on average over the seconds: what it
    /// may have added to a latency; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_milliseconds: Option<f64>,
    /// How many cores it could use.
    pub cores_available: f64,
    /// Whether it was out of CPU; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated: Option<bool>,
}

/// Whether the books agree with what customers were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accounting {
    /// How many orders customers were given a 201 for.
    pub acknowledged: u64,
    /// What was compared.
    pub checks: Vec<AccountingCheck>,
}

/// A comparison of the books with what customers were told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountingCheck {
    /// What is compared, as in "every acknowledged order is in Postgres".
    pub name: String,
    /// Whether it agrees.
    pub verdict: Verdict,
    /// How many there must be.
    pub expected: i64,
    /// How many there are; absent: nobody could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<i64>,
    /// Which differ, or why nobody could look; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What the shop was held to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// What is measured.
    pub name: String,
    /// On which side of the limit it must be.
    pub comparison: Comparison,
    /// The limit.
    pub limit: f64,
    /// What was measured; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// The unit of both: `ms`, `1/s`, or `ratio`.
    pub unit: String,
    /// Whether it holds. Unknown when the load was not really offered.
    pub verdict: Verdict,
}

/// On which side of a limit something must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Comparison {
    /// The limit or less.
    AtMost,
    /// The limit or more.
    AtLeast,
}

impl Comparison {
    /// Whether a value is on the right side. What is no number is not.
    pub fn holds(self, measured: f64, limit: f64) -> bool {
        match self {
            Self::AtMost => measured <= limit,
            Self::AtLeast => measured >= limit,
        }
    }
}
