//! Lengths of time as people write them: `500ms`, `10s`, `5m`, `24h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number without a unit says nothing.
    #[error("the duration has no unit")]
    NoUnit,
    /// The unit is not one of ours.
    #[error("unknown unit `{0}` of a duration")]
    Unit(String),
    /// What stands before the unit is not a whole number.
    #[error("this is no duration")]
    Number,
    /// More than a year, or more than fits.
    #[error("a duration is at most a year")]
    TooLong,
}

/// A length of time, kept in whole milliseconds. Written and read as text with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(u64);

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const YEAR: u64 = 365 * 24 * 3_600_000;

impl Duration {
    /// A duration of so many milliseconds.
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// A duration of so many seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// The length in milliseconds.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }

    /// The length in seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// The same length for the standard library.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .into_iter()
            .find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size))
            .unwrap_or(("s", 1_000));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .ok_or(DurationError::NoUnit)?;
        let (number, unit) = text.split_at(split);
        if number.is_empty() || unit.starts_with(['.', ' ']) {
            return Err(DurationError::Number);
        }
        let size = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, size)| size)
            .ok_or_else(|| DurationError::Unit(unit.to_owned()))?;
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(size))
            .filter(|milliseconds| *milliseconds <= YEAR)
            .map(Self)
            .ok_or(DurationError::TooLong)
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;
    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "shop-duration",
            "pattern": "^[0-9]+(ms|s|m|h)$",
            "examples": ["500ms", "10s", "5m", "24h"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_and_shown_in_its_largest_whole_unit() {
        for (text, milliseconds, shown) in [
            ("500ms", 500, "500ms"),
            ("10s", 10_000, "10s"),
            ("60s", 60_000, "1m"),
            ("24h", 86_400_000, "24h"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.milliseconds(), milliseconds);
            assert_eq!(duration.to_string(), shown);
        }
    }

    #[test]
    fn what_is_wrong_with_a_duration_is_said() {
        for (text, why) in [
            ("10", DurationError::NoUnit),
            ("", DurationError::NoUnit),
            ("ten", DurationError::Number),
            ("1.5s", DurationError::Number),
            ("5 s", DurationError::Number),
            ("-5s", DurationError::Number),
            ("5sec", DurationError::Unit("sec".into())),
            ("99999h", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap_err(), why, "{text:?}");
        }
    }
}
