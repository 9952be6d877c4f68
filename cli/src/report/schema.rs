//! The JSON Schema of `report.json`.

use serde_json::Value as Json;

use super::model::LoadReport;
use crate::document::schema_of;

/// The JSON Schema that every `report.json` fits.
pub fn report_schema() -> Json {
    schema_of::<LoadReport>()
}
