//! Brings the shop up.

use super::Context;
use crate::args::UpArgs;
use crate::ui::Failure;

/// Brings the shop up.
pub(super) fn run(args: &UpArgs, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `up`: this version does not have it yet",
    ))
}
