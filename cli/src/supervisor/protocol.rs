//! What goes over the control socket: a JSON document a line, a question and its answer in turn.
//!
//! `status` and `shutdown` must stay as they are: they are how a shopctl meets a supervisor of another commit.

use serde::{Deserialize, Serialize};

use super::spec::InstanceSpec;
use super::status::{Applied, SupervisorStatus};

/// A specification is a few kilobytes; this is room for a thousand.
pub(super) const LINE_MAXIMUM: u64 = 8 * 1024 * 1024;

/// A question or an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "request",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Request {
    Status,
    Apply {
        specs: Vec<InstanceSpec>,
        stop_missing: bool,
    },
    Stop {
        names: Vec<String>,
    },
    Start {
        names: Vec<String>,
    },
    Restart {
        name: String,
    },
    Shutdown {
        stop_instances: bool,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "answer",
    content = "content",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Response {
    Status(SupervisorStatus),
    Applied(Applied),
    Done,
    Refused {
        message: String,
        hint: Option<String>,
    },
}

impl Request {
    /// Its name in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Apply { .. } => "apply",
            Self::Stop { .. } => "stop",
            Self::Start { .. } => "start",
            Self::Restart { .. } => "restart",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}
