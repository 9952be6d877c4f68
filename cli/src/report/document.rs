//! Reading a `report.json` of whatever kind and version.

use serde_json::Value as Json;

use super::layout::to_json;
use super::model::{LoadReport, SCHEMA_VERSION};
use super::verdict::Verdict;
use crate::drill::report::DrillReport;

/// A report of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Of a load test.
    Load(Box<LoadReport>),
    /// Of drills.
    Drill(Box<DrillReport>),
}

/// Why a text is no report that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadReportError {
    /// It is not JSON, or not of the form.
    #[error("the report is not of the form that it must have")]
    Form(#[from] serde_json::Error),
    /// It says of no version.
    #[error("the report does not say its schemaVersion")]
    NoVersion,
    /// It was written by a newer program.
    #[error(
        "the report is of schema version {found}, and this shopctl reads version {SCHEMA_VERSION}"
    )]
    Newer {
        /// The version.
        found: u64,
    },
    /// It is of a kind that this program does not know.
    #[error("the report is of the kind `{found}`, which this shopctl does not know")]
    Kind {
        /// The kind.
        found: String,
    },
}

impl Report {
    /// Reads a report. Its version and kind come first, so that a newer one is called newer and not wrong.
    pub fn read(text: &[u8]) -> Result<Self, ReadReportError> {
        let json: Json = serde_json::from_slice(text)?;
        let version = json
            .get("schemaVersion")
            .and_then(Json::as_u64)
            .ok_or(ReadReportError::NoVersion)?;
        if version != u64::from(SCHEMA_VERSION) {
            return Err(ReadReportError::Newer { found: version });
        }
        match json.get("kind").and_then(Json::as_str) {
            Some("load") => Ok(Self::Load(Box::new(serde_json::from_value(json)?))),
            Some("drill") => Ok(Self::Drill(Box::new(serde_json::from_value(json)?))),
            kind => Err(ReadReportError::Kind {
                found: kind.unwrap_or_default().to_owned(),
            }),
        }
    }

    /// The report as it is written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Load(report) => to_json(report),
            Self::Drill(report) => to_json(report),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            Self::Load(report) => &report.id,
            Self::Drill(report) => &report.origin.id,
        }
    }

    /// The environment's name.
    pub fn environment(&self) -> &str {
        match self {
            Self::Load(report) => &report.environment,
            Self::Drill(report) => &report.origin.environment,
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> &str {
        match self {
            Self::Load(report) => &report.kind,
            Self::Drill(report) => &report.kind,
        }
    }

    /// What it has shown.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Load(report) => report.verdict,
            Self::Drill(report) => report.verdict,
        }
    }
}
