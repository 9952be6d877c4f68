//! What ran where: the part of a report that is the same for every kind of proof.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The programs that took part. A version that could not be found out is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Software {
    /// The version of shopctl.
    pub shopctl: String,
    /// The commit that shopctl was built from.
    pub commit: String,
    /// The version of k6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k6: Option<String>,
    /// The version of the Postgres server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// The version of the Redis server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<String>,
    /// The kernel's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The operating system, as in "Debian GNU/Linux 12 (bookworm)".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// The processor's model, as it names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// How many processors the kernel has online.
    pub cores: u32,
    /// How much memory there is, in bytes.
    pub memory_bytes: u64,
}

/// How busy the machine was otherwise: the kernel's load averages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadAverage {
    /// Over one minute.
    pub one_minute: f64,
    /// Over five minutes.
    pub five_minutes: f64,
    /// Over fifteen minutes.
    pub fifteen_minutes: f64,
}

/// The load averages before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadAverages {
    /// Before anything was done.
    pub before: LoadAverage,
    /// After all of it.
    pub after: LoadAverage,
}

/// The name of a report and of its folder: when it began and what it was, as in `20261121T144205Z-browse`.
pub fn report_id(started_at: OffsetDateTime, profile: &str) -> String {
    let at = started_at.to_offset(time::UtcOffset::UTC);
    let mut id = String::new();
    // Writing to a text cannot fail.
    let _ = write!(
        id,
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z-{profile}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    id
}
