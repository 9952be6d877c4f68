//! Lists the secrets of a shop on a cluster, and rotates them.

use super::up::prove;
use super::{Session, failure};
use crate::args::RotateArgs;
use crate::commands::smoke::{conclude, given_up};
use crate::commands::{Context, block_on, block_on_interruptible};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::project::Loaded;
use crate::target::k3s::{
    Proof, RotationRequest, SecretRow, Unfinished, UnfinishedState, Upping, journal, moment,
};
use crate::target::local::{LockPatience, WorkLock};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Lists the secrets.
pub(in crate::commands) fn list(context: &Context, loaded: &Loaded) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    let rows = block_on(async {
        let cluster = session.cluster().await?;
        session.wanting().secrets(&cluster).await.map_err(failure)
    })?;
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&rows);
    }
    context.ui.table(&table(&rows))
}

fn table(rows: &[SecretRow]) -> Table {
    let mut table = Table::new(["NAME", "SECRET", "MADE", "STATE", "COMPONENTS"]);
    for row in rows {
        let state = match &row.rotation {
            Some(rotation) => Cell::toned(state(rotation), Tone::Doubtful),
            None if row.rotates => "in use".into(),
            None => Cell::toned("in use, cannot be rotated", Tone::Faint),
        };
        table.row([
            row.name.as_str().into(),
            row.object.as_str().into(),
            row.made.map_or_else(|| "-".to_owned(), moment).into(),
            state,
            row.components.join(", ").into(),
        ]);
    }
    table
}

fn state(rotation: &Unfinished) -> String {
    match (rotation.state, rotation.until) {
        (UnfinishedState::Offered, _) => "rotation unfinished: both accepted".to_owned(),
        (_, Some(until)) => format!("the former is accepted until {}", moment(until)),
        (UnfinishedState::Taken | UnfinishedState::Kept, None) => {
            "rotation unfinished: the new one in place".to_owned()
        }
    }
}

/// Says which rotations stand unfinished. What only waits for time to pass is no reason to worry.
pub(super) fn tell_unfinished(context: &Context, rotations: &[Unfinished]) {
    let now = time::OffsetDateTime::now_utc();
    let mut broken = Vec::new();
    for rotation in rotations {
        match rotation.until {
            Some(until) if until > now => context.ui.say(&format!(
                "The former {} is accepted until {}; `shopctl secrets rotate` takes it away then",
                rotation.name,
                moment(until)
            )),
            _ => broken.push(rotation.name.as_str()),
        }
    }
    if !broken.is_empty() {
        context.ui.warn(&format!(
            "the rotation of {} stands unfinished: the shop works with the former and the new one",
            broken.join(", ")
        ));
        context.ui.hint("`shopctl secrets rotate` goes on with it");
    }
}

/// Rotates secrets.
pub(in crate::commands) fn rotate(
    args: &RotateArgs,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    block_on_interruptible(
        |interrupt| carry_out(args, context, loaded, interrupt),
        || given_up("`shopctl secrets rotate` goes on with what stands unfinished"),
    )
}

async fn carry_out(
    args: &RotateArgs,
    context: &Context,
    loaded: &Loaded,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    let observer = context.ui.observer();
    let patience = LockPatience::of(args.no_wait);
    let _lock = WorkLock::take(
        &session.folder,
        "secrets rotate",
        patience,
        &*observer,
        &interrupt,
    )
    .await
    .map_err(crate::commands::target::local_failure)?;
    let wanting = session.wanting();
    let cluster = session.cluster().await?;
    let request = RotationRequest {
        names: args.names.clone(),
        all: args.all,
        wait: args.wait,
    };
    let (names, unfinished) = wanting
        .rotatable(&cluster, &request)
        .await
        .map_err(failure)?;
    tell_unfinished(context, &unfinished);
    let now = time::OffsetDateTime::now_utc();
    let only_time_can = |it: &Unfinished| !args.wait && it.until.is_some_and(|until| until > now);
    if names.is_empty() && unfinished.iter().all(only_time_can) {
        context
            .ui
            .say("Nothing to do: no rotation stands unfinished");
        if unfinished.is_empty() {
            context
                .ui
                .hint("name secrets, or all with --all; `shopctl secrets list` shows them");
        }
        return Ok(());
    }
    confirm(args, context, &session, &names, &unfinished)?;
    let journal = Journal::begin(
        &journal(session.folder.state_dir()),
        "secrets rotate",
        &*observer,
    );
    let observer: &dyn Observer = &journal;
    let upping = Upping {
        force: false,
        refuse: args.no_wait,
        confirmed: None,
        observer,
        interrupt: &interrupt,
    };
    let (brought, left) = wanting
        .rotate(cluster, &request, &upping)
        .await
        .map_err(|error| {
            failure(error).hint("`shopctl secrets rotate` goes on with what stands unfinished")
        })?;
    let outcome = if args.no_smoke {
        Ok(())
    } else {
        match prove(&session, &brought, observer, &interrupt).await {
            Ok(report) => {
                Proof::of(session.folder.state_dir()).note(&report, &brought.digest);
                conclude(context, &report)
            }
            Err(error) => Err(error),
        }
    };
    // Whoever waits for it need not wait until it expires.
    if let Err(error) = brought.lease.release().await {
        context.ui.warn(&error.to_string());
    }
    outcome?;
    // Of one that only waited until the former has expired, nothing new was made.
    let finished = |it: &&Unfinished| it.until.is_none() && !names.contains(&it.name);
    let done = names.len() + unfinished.iter().filter(finished).count();
    context.ui.say(&match done {
        0 => "No secret is another one: the former ones are not accepted any more".to_owned(),
        1 => "The secret is rotated".to_owned(),
        several => format!("{several} secrets are rotated"),
    });
    tell_unfinished(context, &left);
    Ok(())
}

fn confirm(
    args: &RotateArgs,
    context: &Context,
    session: &Session<'_>,
    names: &[String],
    unfinished: &[Unfinished],
) -> Result<(), Failure> {
    let going_on: Vec<&str> = unfinished.iter().map(|it| it.name.as_str()).collect();
    let what = match (names.is_empty(), going_on.is_empty()) {
        (false, true) => format!("Rotate {}", names.join(", ")),
        (true, _) => format!("Go on with {}", going_on.join(", ")),
        (false, false) => format!(
            "Rotate {} and go on with {}",
            names.join(", "),
            going_on.join(", ")
        ),
    };
    let question = format!(
        "{what} of the shop `{}`? Pods that use them are made anew, one after the other.",
        session.environment().name
    );
    if args.yes || context.ui.confirm(&question) {
        return Ok(());
    }
    Err(
        Failure::new("failed to rotate: it was not confirmed, and nothing was touched")
            .hint("answer y, or use `--yes` in scripts")
            .exit(ExitCode::Usage),
    )
}
