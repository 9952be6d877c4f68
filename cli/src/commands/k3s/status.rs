//! Shows what runs on a cluster.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Session, failure, shown};
use crate::args::StatusArgs;
use crate::commands::{Context, block_on};
use crate::journal::{self, Entry};
use crate::project::Loaded;
use crate::target::k3s::{self, ClusterStatus, NodeRow, PodRow};
use crate::ui::{Cell, Failure, OutputFormat, Table, Tone};

/// Shows what runs.
pub(in crate::commands) fn status(
    args: &StatusArgs,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    if args.timings {
        return timings(context, &session);
    }
    let status = block_on(async {
        let cluster = session.cluster().await?;
        let wanting = session.wanting();
        let (status, pending) = tokio::join!(
            k3s::status(&cluster, session.environment()),
            wanting.pending(&cluster)
        );
        let mut status = status.map_err(failure)?;
        status.pending = Some(pending.map_err(failure)?);
        Ok(status)
    })?;
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&status);
    }
    context.ui.table(&nodes(&status.nodes))?;
    context.ui.data("")?;
    context.ui.table(&pods(&status.pods))?;
    advise(context, &status);
    Ok(())
}

fn nodes(rows: &[NodeRow]) -> Table {
    let mut table = Table::new(["NODE", "ROLE", "STATE", "ADDRESS", "VERSION", "DETAIL"]);
    for row in rows {
        table.row([
            row.name.as_str().into(),
            row.role.as_str().into(),
            if row.ready {
                Cell::toned("ready", Tone::Good)
            } else {
                Cell::toned("not ready", Tone::Bad)
            },
            row.address.as_str().into(),
            row.version.as_str().into(),
            detail(row).into(),
        ]);
    }
    table
}

fn detail(row: &NodeRow) -> String {
    let stranger = row
        .stranger
        .then_some("not in the environment file's hosts");
    let parts = row.detail.as_deref().into_iter().chain(stranger);
    parts.collect::<Vec<_>>().join("; ")
}

fn pods(rows: &[PodRow]) -> Table {
    let mut table = Table::new(["POD", "STATE", "NODE", "RESTARTS", "SINCE", "DETAIL"]);
    for row in rows {
        let state = row.phase.to_ascii_lowercase();
        table.row([
            row.pod.as_str().into(),
            match (row.ready, row.phase.as_str()) {
                (true, _) => Cell::toned(state, Tone::Good),
                (false, "Terminating" | "Pending") => Cell::toned(state, Tone::Doubtful),
                (false, _) => Cell::toned(format!("{state}, not ready"), Tone::Bad),
            },
            row.node.as_str().into(),
            row.restarts.to_string().into(),
            age(&row.since).into(),
            row.detail.as_deref().unwrap_or("").into(),
        ]);
    }
    table
}

fn age(since: &str) -> String {
    let Ok(since) = OffsetDateTime::parse(since, &Rfc3339) else {
        return "-".to_owned();
    };
    let seconds = (OffsetDateTime::now_utc() - since).whole_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn advise(context: &Context, status: &ClusterStatus) {
    let Some(pending) = &status.pending else {
        return;
    };
    if pending.has_work() {
        let drifted = pending.contested().count();
        context.ui.say(&format!(
            "\n{} objects are not as the environment says{}:\n{}",
            pending.pending().count(),
            if drifted > 0 {
                format!(", {drifted} of them because somebody else changed them")
            } else {
                String::new()
            },
            shown::objects(pending).trim_end()
        ));
        context.ui.hint("`shopctl up` brings them in order");
    }
}

/// Where the time of the last run went.
fn timings(context: &Context, session: &Session<'_>) -> Result<(), Failure> {
    let path = k3s::journal(session.folder.state_dir());
    let entries = journal::read(&path)
        .map_err(|error| Failure::new("failed to read the journal").cause(error.to_string()))?;
    let last = journal::last_run(&entries);
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&last);
    }
    let mut table = Table::new(["BEGAN", "TOOK", "STEP"]);
    let seconds = |milliseconds: u64| {
        format!(
            "{:.1} s",
            std::time::Duration::from_millis(milliseconds).as_secs_f64()
        )
    };
    for entry in &last {
        table.row([
            seconds(entry.began).into(),
            seconds(entry.took).into(),
            entry.step.as_str().into(),
        ]);
    }
    context.ui.table(&table)?;
    context.ui.say(&format!(
        "The last run that changed something took {}",
        shares(&last, seconds)
    ));
    Ok(())
}

/// How long a run took, and of that k3s' own start and the component that was ready last: nothing can be faster than
/// these two one after the other.
fn shares(steps: &[&Entry], seconds: impl Fn(u64) -> String) -> String {
    let end = |entry: &&Entry| entry.began + entry.took;
    let whole = steps.iter().map(end).max().unwrap_or(0);
    let starts = steps
        .iter()
        .filter(|entry| entry.step.starts_with("start k3s on ") || entry.step.starts_with("join "));
    let first = starts.clone().map(|entry| entry.began).min().unwrap_or(0);
    let k3s = starts.map(end).max().unwrap_or(0) - first;
    let slowest = steps
        .iter()
        .filter_map(|entry| Some((entry.took, entry.step.strip_prefix("wait for ")?)))
        .filter(|(_, object)| object.contains('/'))
        .max();
    let mut text = seconds(whole);
    if k3s > 0 {
        let _ = write!(text, ", of that {} until k3s was ready", seconds(k3s));
    }
    if let Some((took, object)) = slowest {
        let _ = write!(text, ", {} until {object} was, the slowest", seconds(took));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Outcome;

    #[test]
    fn the_times_say_what_of_a_run_was_k3s_and_what_the_slowest_component() {
        let entry = |step: &str, began, took| Entry {
            run: 1,
            command: "up".to_owned(),
            step: step.to_owned(),
            began,
            took,
            outcome: Outcome::Changed,
        };
        let steps = [
            entry("start k3s on a", 1_000, 9_000),
            entry("join b", 10_000, 8_000),
            entry("wait for the cluster", 18_000, 90_000),
            entry("wait for job/a", 20_000, 3_000),
            entry("wait for statefulset/redis", 20_000, 7_000),
        ];
        let steps: Vec<&Entry> = steps.iter().collect();
        assert_eq!(
            shares(&steps, |time| format!("{time} ms")),
            "108000 ms, of that 17000 ms until k3s was ready, 7000 ms until statefulset/redis was, the slowest"
        );
    }
}
