//! Takes a shop out of its cluster, and the cluster off its hosts if that was asked for.

use super::{Session, failure};
use crate::args::DownArgs;
use crate::cluster::{ClusterError, Lease, LeaseRequest, Reach};
use crate::commands::{Context, block_on};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::project::Loaded;
use crate::target::k3s::{Removal, forget_cluster};
use crate::target::local::{LockPatience, WorkLock};
use crate::ui::{ExitCode, Failure};

/// Takes the shop away.
pub(in crate::commands) fn down(
    args: &DownArgs,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    block_on(async {
        let observer = context.ui.observer();
        let patience = LockPatience::of(args.no_wait);
        let interrupt = Interrupt::never();
        let _lock = WorkLock::take(&session.folder, "down", patience, &*observer, &interrupt)
            .await
            .map_err(crate::commands::target::local_failure)?;
        if args.cluster {
            return leave(args, context, &session, &*observer, interrupt).await;
        }
        remove(args, context, &session, &*observer, &interrupt).await
    })
}

fn confirm(args: &DownArgs, context: &Context, question: &str) -> Result<(), Failure> {
    if args.yes || context.ui.confirm(question) {
        return Ok(());
    }
    Err(
        Failure::new("failed to purge: it was not confirmed, and nothing was touched")
            .hint("answer y, or use `--yes` in scripts")
            .exit(ExitCode::Usage),
    )
}

async fn remove(
    args: &DownArgs,
    context: &Context,
    session: &Session<'_>,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let name = session.environment().name.as_str();
    let cluster = session.cluster().await?;
    let told = |error: ClusterError| failure(error.into());
    if args.purge {
        confirm(
            args,
            context,
            &format!(
                "Remove the shop `{name}` with all its data and secrets from {}?",
                cluster.server()
            ),
        )?;
    }
    let request = LeaseRequest {
        environment: name,
        command: "down",
        refuse: args.no_wait,
        interrupt,
    };
    let lease = Lease::take(&cluster, &request, observer)
        .await
        .map_err(told)?;
    let reach = if args.purge {
        Reach::Everything
    } else {
        Reach::Replaceable
    };
    let outcome = async {
        let removal = Removal::look(&cluster, name, reach).await?;
        let number = removal.keys().len();
        removal.carry_out(&cluster, observer).await?;
        Ok(number)
    }
    .await;
    let released = lease.release().await.map_err(told);
    // What went wrong before is what has to be known.
    let number = outcome.map_err(failure)?;
    released?;
    context.ui.say(&match (number, args.purge) {
        (0, _) => "Nothing to do: nothing of the shop is there".to_owned(),
        (_, true) => {
            format!("The shop is gone: {number} objects were removed, with data and secrets")
        }
        (_, false) => {
            format!("The shop is down: {number} objects were removed; data and secrets are kept")
        }
    });
    Ok(())
}

async fn leave(
    args: &DownArgs,
    context: &Context,
    session: &Session<'_>,
    observer: &dyn Observer,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let environment = session.environment();
    let hosts: Vec<String> = environment.hosts.keys().map(ToString::to_string).collect();
    let hosts = hosts.join(", ");
    confirm(
        args,
        context,
        &format!("Remove k3s with everything in it, data and secrets too, from {hosts}?"),
    )?;
    let changed = session
        .wanting()
        .leave(args.no_wait, observer, interrupt)
        .await
        .map_err(failure)?;
    forget_cluster(session.folder.state_dir(), environment.name.as_str())
        .map_err(|error| failure(error.into()))?;
    context.ui.say(&if changed {
        format!("The cluster is gone: {hosts} are as they were found")
    } else {
        "Nothing to do: no host has a k3s of this environment".to_owned()
    });
    Ok(())
}
