//! Finds out what this machine lacks.

use super::Context;
use crate::args::DoctorArgs;
use crate::ui::Failure;

/// Finds out what this machine lacks.
pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    let _ = (args, context);
    Err(Failure::new(
        "failed to run `doctor`: this version does not have it yet",
    ))
}
