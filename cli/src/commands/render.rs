//! Writes the configuration files.

use super::Context;
use crate::args::RenderArgs;
use crate::ui::Failure;

/// Writes the configuration files.
pub(super) fn run(args: &RenderArgs, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `render`: this version does not have it yet",
    ))
}
