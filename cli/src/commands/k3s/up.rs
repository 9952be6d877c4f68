//! Brings a shop on a cluster up, or to what the environment file says now.

use super::drill::give_back;
use super::{Session, failure, plan, secrets};
use crate::args::UpArgs;
use crate::commands::smoke::{conclude, given_up};
use crate::commands::{Context, block_on_interruptible};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::project::Loaded;
use crate::shop::Auditor;
use crate::smoke::{SmokeReport, smoke};
use crate::target::k3s::{Books, Brought, K3sError, Outages, Proof, Upping, journal};
use crate::target::local::{LockPatience, WorkLock};
use crate::ui::{Failure, OutputFormat};

/// Brings the shop up.
pub(in crate::commands) fn up(
    args: &UpArgs,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    block_on_interruptible(
        |interrupt| bring_up(args, context, loaded, interrupt),
        || given_up("`shopctl up` goes on from what there is"),
    )
}

async fn bring_up(
    args: &UpArgs,
    context: &Context,
    loaded: &Loaded,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    let observer = context.ui.observer();
    // Two runs from this machine would write the same files; those of other machines meet at the cluster's lease.
    let patience = LockPatience::of(args.no_wait);
    let _lock = WorkLock::take(&session.folder, "up", patience, &*observer, &interrupt)
        .await
        .map_err(crate::commands::target::local_failure)?;
    // A drill that was killed may have left a host without power.
    let outages = Outages::new(&session.beside, session.folder.state_dir());
    for host in give_back(&outages).await? {
        context.ui.say(&format!(
            "A drill was killed: {host} has power and network again"
        ));
    }
    let journal = Journal::begin(&journal(session.folder.state_dir()), "up", &*observer);
    let observer: &dyn Observer = &journal;
    let wanting = session.wanting();
    observer.started("look at hosts and objects");
    let planned = match wanting.plan().await {
        Ok(planned) => planned,
        Err(error) => {
            observer.failed("look at hosts and objects", error.to_string());
            return Err(failure(error));
        }
    };
    observer.done("look at hosts and objects", false);
    planned
        .refuse_hopeless(args.force_conflicts)
        .map_err(failure)?;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&planned.plan)?;
    } else if planned.plan.has_work() {
        context.ui.say(plan::text(&planned.plan).trim_end());
    }
    plan::tell_notes(context, &planned.plan);
    secrets::tell_unfinished(context, &planned.plan.rotations);
    confirm(args, context, &planned.plan.destroys())?;
    let upping = Upping {
        force: args.force_conflicts,
        refuse: args.no_wait,
        confirmed: (!args.yes).then(|| {
            let asked = planned.plan.destroys().into_iter();
            asked.map(|change| change.object.clone()).collect()
        }),
        observer,
        interrupt: &interrupt,
    };
    let brought = planned
        .carry_out(&wanting, &upping)
        .await
        .map_err(failure)?;
    let place = loaded.found.display();
    let proof = Proof::of(session.folder.state_dir());
    // What was proved before the hosts were touched has to be proved again.
    let proved = proof.holds_for(&brought.digest) && !planned.plan.touches_hosts();
    let outcome = if proved || args.no_smoke {
        if !brought.changed {
            context.ui.say(&format!(
                "Nothing to do: the shop is up at {} as {place} says",
                brought.entrance.url
            ));
        }
        Ok(())
    } else {
        if !brought.changed {
            context.ui.say(&format!(
                "Nothing to change: the shop runs as {place} says; what is left is the proof that it works"
            ));
        }
        match prove(&session, &brought, observer, &interrupt).await {
            Ok(report) => {
                proof.note(&report, &brought.digest);
                conclude(context, &report)
            }
            Err(error) => Err(error),
        }
    };
    let url = brought.entrance.url.clone();
    // Whoever waits for it need not wait until it expires.
    if let Err(error) = brought.lease.release().await {
        context.ui.warn(&error.to_string());
    }
    outcome?;
    if brought.changed {
        context.ui.say(&format!("The shop is up at {url}"));
        context
            .ui
            .hint("`shopctl status` shows what runs, `shopctl logs -f` what it says");
    }
    Ok(())
}

/// Runs the smoke test. Whoever calls it holds the lease.
pub(super) async fn prove(
    session: &Session<'_>,
    brought: &Brought,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<SmokeReport, Failure> {
    let environment = session.environment();
    let books = Books::open(&brought.cluster).await.map_err(failure)?;
    let auditor = Auditor::new(environment, &brought.secrets)?.on_port(books.port());
    let name = environment.name.as_str();
    // What somebody else changes meanwhile is not what was brought up.
    tokio::select! {
        biased;
        lost = brought.lease.lost() => Err(failure(lost.into())),
        report = smoke(name, &brought.shop, &auditor, observer, interrupt) => Ok(report?),
    }
}

/// Asks before anything is destroyed.
fn confirm(
    args: &UpArgs,
    context: &Context,
    destroyed: &[&crate::cluster::ObjectChange],
) -> Result<(), Failure> {
    if destroyed.is_empty() || args.yes {
        return Ok(());
    }
    let names: Vec<String> = destroyed
        .iter()
        .map(|change| change.object.to_string())
        .collect();
    let names = names.join(", ");
    if context.ui.confirm(&format!("Remove {names}?")) {
        return Ok(());
    }
    Err(failure(K3sError::Unconfirmed(names)))
}
