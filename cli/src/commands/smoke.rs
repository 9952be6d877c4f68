//! Proves that the shop works.

use super::Context;

use crate::ui::Failure;

/// Proves that the shop works.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let _ = (context,);
    Err(Failure::new(
        "failed to run `smoke`: this version does not have it yet",
    ))
}
