//! Shows what runs.

use ::time::{Duration, OffsetDateTime};

use super::target::{local_failure, local_folder};
use super::{Context, k3s};
use crate::args::StatusArgs;
use crate::catalogue::ComponentKind;
use crate::environment::Target;
use crate::supervisor::InstanceState;
use crate::target::local::{self, InstanceRow, ShopStatus};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Shows what runs.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    if environment.target == Target::K3s {
        return k3s::status(args, context, &loaded);
    }
    if args.timings {
        return Err(
            Failure::new("failed to tell times: `--timings` is for shops on a cluster")
                .exit(ExitCode::Usage),
        );
    }
    let folder = local_folder(context, environment)?;
    let is_service = |component: &str| {
        loaded
            .catalogue
            .get(component)
            .is_some_and(|component| component.kind == ComponentKind::Service)
    };
    let status = super::block_on(async {
        local::status(&folder, is_service)
            .await
            .map_err(local_failure)
    })?;
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&status);
    }
    if status.instances.is_empty() {
        context
            .ui
            .say(&format!("The shop `{}` is not up", status.environment));
        context.ui.hint("`shopctl up` brings it up");
        return Ok(());
    }
    let now = OffsetDateTime::now_utc();
    context.ui.data(&table(&status, now))?;
    advise(context, &status);
    if status.instances.iter().all(|row| row.ready) {
        tell_proof(context, &status, now);
    }
    Ok(())
}

fn table(status: &ShopStatus, now: OffsetDateTime) -> String {
    let mut table = Table::new([
        "INSTANCE", "ROLE", "STATE", "ADDRESS", "PID", "RESTARTS", "SINCE",
    ]);
    for row in &status.instances {
        table.row([
            row.instance.as_str().into(),
            row.role.as_deref().unwrap_or("-").into(),
            state(row, status.supervisor.is_some()),
            row.address.as_str().into(),
            row.pid
                .map_or_else(|| "-".to_owned(), |pid| pid.to_string())
                .into(),
            row.restarts.to_string().into(),
            row.since
                .map_or_else(|| "-".to_owned(), |since| age(now - since))
                .into(),
        ]);
    }
    table.render()
}

fn state(row: &InstanceRow, supervised: bool) -> Cell {
    match row.state {
        InstanceState::Running if row.ready => Cell::toned("running", Tone::Good),
        // Without a supervisor nobody knows more than that the process lives.
        InstanceState::Running if !supervised => Cell::toned("running", Tone::Doubtful),
        InstanceState::Running => Cell::toned("running, not ready", Tone::Doubtful),
        InstanceState::Starting => Cell::toned("starting", Tone::Doubtful),
        InstanceState::Failed => Cell::toned("failed", Tone::Bad),
        InstanceState::Stopped => "stopped".into(),
    }
}

/// Says when what runs was proved to work.
fn tell_proof(context: &Context, status: &ShopStatus, now: OffsetDateTime) {
    if let Some(at) = status.proved_at {
        let age = age(now - at);
        context
            .ui
            .say(&format!("Proved by the smoke test {age} ago"));
    } else {
        context.ui.say("Not proved since the last change");
        context.ui.hint("`shopctl smoke` proves that it works");
    }
}

/// Says what is not well and what to do about it.
fn advise(context: &Context, status: &ShopStatus) {
    for row in &status.instances {
        if let Some(detail) = &row.detail {
            context.ui.warn(&format!("{}: {detail}", row.instance));
        }
    }
    let stopped = status
        .instances
        .iter()
        .all(|row| row.state == InstanceState::Stopped);
    if status.supervisor.is_none() && !stopped {
        let how = if status.supervisor_hangs {
            "does not answer"
        } else {
            "is gone"
        };
        context.ui.warn(&format!(
            "the supervisor {how}: what dies now is not started again"
        ));
        context
            .ui
            .hint("`shopctl up` starts one that takes over what still lives");
    } else if stopped {
        context.ui.hint("`shopctl up` brings it up");
    }
}

/// A length of time as people say it: `12s`, `5m`, `3h`, `2d`.
fn age(duration: Duration) -> String {
    let seconds = duration.whole_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
