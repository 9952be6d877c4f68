//! Stops the shop.

use super::Context;
use crate::args::DownArgs;
use crate::ui::Failure;

/// Stops the shop.
pub(super) fn run(args: &DownArgs, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `down`: this version does not have it yet",
    ))
}
