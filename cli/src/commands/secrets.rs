//! Lists and rotates the secrets of a shop.

use super::target::is_meant;
use super::{Context, k3s};
use crate::args::SecretsCommand;
use crate::environment::Target;
use crate::ui::{ExitCode, Failure};

/// Lists or rotates.
pub(super) fn run(command: &SecretsCommand, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    if environment.target != Target::K3s {
        return Err(Failure::new(format!(
            "failed to act on `{}`: its target is local, and `secrets` is for `target: k3s`",
            environment.name
        ))
        .hint("on this machine secrets are files in the folder `secrets` of the state folder")
        .hint(
            "to replace one: `shopctl down`, delete its file, `shopctl up`, which says what else must be done, if anything",
        )
        .exit(ExitCode::Usage));
    }
    match command {
        SecretsCommand::List => k3s::list_secrets(context, &loaded),
        SecretsCommand::Rotate(args) => {
            is_meant(environment, args.i_mean.as_deref(), "rotate secrets of")?;
            k3s::rotate_secrets(args, context, &loaded)
        }
    }
}
