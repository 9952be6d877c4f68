//! What the commands that act on a target share.

use super::Context;
use crate::environment::{Environment, Target};
use crate::project::{Loaded, Project, is_path};
use crate::render::SecretSet;
use crate::target::local::{LocalError, LocalFolder, SourceFile, load_secrets};
use crate::ui::{ExitCode, Failure};

/// Refuses an environment whose target this version cannot act on.
pub(super) fn local_only(environment: &Environment) -> Result<(), Failure> {
    match environment.target {
        Target::Local => Ok(()),
        Target::K3s => Err(Failure::new(format!(
            "failed to act on `{}`: its target is k3s, and this command is for `target: local`",
            environment.name
        ))
        .hint("`smoke`, `loadtest` and `failover-drill` prove a shop on k3s")
        .exit(ExitCode::Usage)),
    }
}

/// Doing something to an environment that is protected takes its name twice. `what` is the verb: "load", "break".
pub(super) fn is_meant(
    environment: &Environment,
    meant: Option<&str>,
    what: &str,
) -> Result<(), Failure> {
    let name = environment.name.as_str();
    match meant {
        Some(meant) if meant != name => Err(Failure::new(format!(
            "failed to {what} `{name}`: --i-mean names `{meant}`"
        ))
        .exit(ExitCode::Usage)),
        None if environment.protected => Err(Failure::new(format!(
            "failed to {what} `{name}`: its file says `protected: true`, and nothing was touched"
        ))
        .hint(format!("if that is really what you want: --i-mean {name}"))
        .exit(ExitCode::Usage)),
        _ => Ok(()),
    }
}

/// Where the state of an environment is on this machine.
pub(super) fn local_folder(
    context: &Context,
    environment: &Environment,
) -> Result<LocalFolder, Failure> {
    let wanted = context.environment.as_str();
    let source = Project::here()
        .file_of(wanted)
        .map(|file| SourceFile::new(&file, is_path(wanted)));
    LocalFolder::locate(
        environment.name.as_str(),
        context.state_dir.as_deref(),
        source,
    )
    .map_err(local_failure)
}

/// The state folder and the secrets of a shop that was brought up: what a proof needs of it.
pub(super) fn brought_up(
    context: &Context,
    loaded: &Loaded,
) -> Result<(LocalFolder, SecretSet), Failure> {
    let environment = loaded.file.environment();
    let folder = local_folder(context, environment)?;
    let not_up = || {
        Failure::new(format!(
            "failed to find the shop `{}`: it was never brought up",
            environment.name
        ))
        .hint("`shopctl up` brings it up")
    };
    if !folder.exists().map_err(local_failure)? {
        return Err(not_up());
    }
    let (secrets, missing) =
        load_secrets(&folder, environment, &loaded.catalogue).map_err(local_failure)?;
    if missing.is_empty() {
        Ok((folder, secrets))
    } else {
        Err(not_up())
    }
}

/// What a user is told when this machine could not be brought to what was asked.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(super) fn local_failure(error: LocalError) -> Failure {
    let mut failure = Failure::of(&error);
    match &error {
        LocalError::Unprepared(problems) => {
            failure = failure.exit(ExitCode::Missing);
            if problems.len() > 1 {
                failure.causes = problems
                    .iter()
                    .map(|problem| problem.what.clone())
                    .collect();
            }
        }
        LocalError::Render(errors) => {
            failure = failure.exit(ExitCode::Usage);
            failure.causes = errors.iter().map(ToString::to_string).collect();
        }
        LocalError::ForeignFolder { .. } | LocalError::NoHome => {
            failure = failure.exit(ExitCode::Usage);
        }
        _ => {}
    }
    let mut hints = error.hints();
    hints.dedup();
    hints.into_iter().fold(failure, Failure::hint)
}
