//! Writes the configuration files that `up` would use, without secrets.

use super::Context;
use super::target::{local_failure, local_folder, local_only};
use crate::args::RenderArgs;
use crate::target::local::export;
use crate::ui::Failure;

/// Writes the configuration files.
pub(super) fn run(args: &RenderArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    local_only(environment)?;
    let folder = local_folder(context, environment)?;
    let files =
        export(environment, &loaded.catalogue, &folder, &args.out_dir).map_err(local_failure)?;
    context.ui.say(&format!(
        "{files} files are in {}; `SECRET-NAME` stands for each secret",
        args.out_dir.display()
    ));
    Ok(())
}
