//! Waiting for instances to become ready, and what to say of those that do not.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::supervisor::{
    Client, InstanceState, InstanceStatus, RolloutState, SupervisorStatus, WaitError,
};

/// The exit codes of a program that cannot use its command line, its configuration or its data: 2 as of shopd, 78 of
/// sysexits.h. Starting it again is no use.
const HOPELESS: [i32; 2] = [2, 78];
/// How often instances are looked at while they become ready.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// So many lines of the log of an instance that did not become ready are shown.
const LOG_LINES: usize = 5;
const LOG_BYTES: u64 = 4096;

/// Waits until these instances are ready and nothing is being replaced. Gives up at once on one that says that it will
/// never start with what it has.
pub(super) async fn wait_ready(
    client: &mut Client,
    names: &[String],
    limit: Duration,
    progress: impl Fn(&SupervisorStatus),
) -> Result<(), WaitError> {
    let begun = Instant::now();
    loop {
        let status = client.status().await?;
        progress(&status);
        if let Some(rollout) = &status.rollout
            && rollout.state == RolloutState::Stopped
        {
            return Err(WaitError::RolloutStopped {
                instance: rollout.instance.clone(),
                reason: rollout.reason.clone().unwrap_or_default(),
            });
        }
        let wanted = |instance: &&InstanceStatus| names.contains(&instance.instance);
        let of_names: Vec<&InstanceStatus> = status.instances.iter().filter(wanted).collect();
        let late: Vec<&InstanceStatus> = of_names
            .iter()
            .copied()
            .filter(|instance| !instance.ready)
            .collect();
        if late.is_empty() && of_names.len() == names.len() && status.rollout.is_none() {
            return Ok(());
        }
        let hopeless: Vec<InstanceStatus> = late
            .iter()
            .copied()
            .filter(|instance| is_hopeless(instance))
            .cloned()
            .collect();
        if !hopeless.is_empty() || begun.elapsed() >= limit {
            return Err(WaitError::TimedOut {
                seconds: begun.elapsed().as_secs(),
                instances: if hopeless.is_empty() {
                    late.into_iter().cloned().collect()
                } else {
                    hopeless
                },
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether an instance has said that it cannot use its configuration or its data.
fn is_hopeless(instance: &InstanceStatus) -> bool {
    instance.state == InstanceState::Failed
        && instance
            .last_exit
            .as_ref()
            .and_then(|exit| exit.code)
            .is_some_and(|code| HOPELESS.contains(&code))
}

/// What is waited for, and what was heard last of the first of them, as much as fits in a line: "redis-1 and 3 more: no
/// answer at 127.0.0.1:16380: connection refused".
pub(super) fn what_is_awaited(status: &SupervisorStatus, names: &[String]) -> Option<String> {
    let late: Vec<&InstanceStatus> = status
        .instances
        .iter()
        .filter(|instance| !instance.ready && names.contains(&instance.instance))
        .collect();
    let first = late.first()?;
    let more = match late.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{}{more}: {}", first.instance, first.last_word()))
}

/// The last lines of a log.
pub(super) fn end_of(log: &Path) -> Option<String> {
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines
        .get(lines.len().saturating_sub(LOG_LINES)..)?
        .join("\n");
    (!end.is_empty()).then_some(end)
}
