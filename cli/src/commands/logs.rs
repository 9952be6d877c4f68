//! Shows what processes write.

use super::Context;
use crate::args::LogsArgs;
use crate::ui::Failure;

/// Shows what processes write.
pub(super) fn run(args: &LogsArgs, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `logs`: this version does not have it yet",
    ))
}
