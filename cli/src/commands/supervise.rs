//! Keeps the instances of a state folder running.

use super::Context;
use crate::args::SuperviseArgs;
use crate::ui::Failure;

/// Keeps the instances of a state folder running.
pub(super) fn run(args: &SuperviseArgs, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `supervise`: this version does not have it yet",
    ))
}
