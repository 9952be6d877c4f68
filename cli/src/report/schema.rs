//! The JSON Schema of `report.json`.

use serde_json::Value as Json;

use schemars::JsonSchema;

use super::model::LoadReport;
use crate::document::schema_of;
use crate::drill::report::DrillReport;

/// A report of any kind; `kind` tells which.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described")]
enum AnyReport {
    Load(Box<LoadReport>),
    Drill(Box<DrillReport>),
}

/// The JSON Schema that every `report.json` fits.
pub fn report_schema() -> Json {
    schema_of::<AnyReport>()
}
