//! Shows what runs.

use super::Context;

use crate::ui::Failure;

/// Shows what runs.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let _ = (context,);
    Err(Failure::new(
        "failed to run `status`: this version does not have it yet",
    ))
}
