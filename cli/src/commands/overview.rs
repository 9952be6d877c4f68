//! What `shopctl` alone says: what it is and what to do next.

use super::Context;
use crate::args;
use crate::ui::Failure;

/// Says what this is and what to do next.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    context.ui.data(&args::help())
}
