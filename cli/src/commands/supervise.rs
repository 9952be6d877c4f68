//! Keeps the instances of a state folder running. Started by `up`, not by people.

use super::Context;
use crate::args::SuperviseArgs;
use crate::supervisor::{StateFolder, SupervisorError, supervise};
use crate::ui::{ExitCode, Failure};

/// Keeps the instances of a state folder running until it is told to end.
pub(super) fn run(args: &SuperviseArgs, context: &Context) -> Result<(), Failure> {
    let state_dir = context.state_dir.clone().ok_or_else(|| {
        Failure::new("failed to know which state folder to supervise")
            .hint("name it with `--state-dir`; `shopctl up` does")
            .exit(ExitCode::Usage)
    })?;
    let absolute = |path| std::path::absolute(path).map_err(|error| Failure::of(&error));
    let folder = StateFolder::new(absolute(state_dir)?, absolute(args.run_dir.clone())?);
    super::block_on(async {
        let ended = supervise(folder, crate::COMMIT.to_owned()).await;
        ended.map_err(|error| failure(&error))
    })
}

/// A failure with the supervisor's own hint.
fn failure(error: &SupervisorError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
