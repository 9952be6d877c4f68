//! Prints a completion script.

use super::Context;
use crate::args::{self, CompletionsArgs};
use crate::ui::Failure;

/// Prints a completion script.
pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), Failure> {
    context.ui.data(&args::completions(args.shell))
}
