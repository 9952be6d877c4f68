//! Environments: list, show, validate, schema.

use super::Context;
use crate::args::EnvCommand;
use crate::ui::Failure;

/// Environments: list, show, validate, schema.
pub(super) fn run(args: &EnvCommand, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `env`: this version does not have it yet",
    ))
}
