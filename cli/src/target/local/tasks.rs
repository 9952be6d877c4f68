//! One-off commands: run as the servers' user, and noted once they have succeeded.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::files::write_atomically;
use super::specs::environment;
use super::{LocalError, LocalFolder, ServerUser};
use crate::render::{RenderedInstance, RenderedTask};

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_mins(2);
/// So many lines of its output are shown when it fails.
const LINES: usize = 8;

/// Digests of tasks that have succeeded beside an instance, by name.
pub(super) fn done(
    folder: &LocalFolder,
    instance: &str,
) -> Result<BTreeMap<String, String>, LocalError> {
    let path = mark(folder, instance);
    match fs::read(&path) {
        // A mark that cannot be read is no mark: the task runs again, which is always safe.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(LocalError::read(&path, error)),
    }
}

/// Runs a task and notes that it has succeeded.
pub(super) async fn run(
    folder: &LocalFolder,
    user: ServerUser,
    instance: &RenderedInstance,
    task: &RenderedTask,
) -> Result<(), LocalError> {
    let failed = |reason: String, output: Vec<String>| LocalError::Task {
        component: instance.component.clone(),
        task: task.name.clone(),
        reason,
        output,
    };
    let Some((program, arguments)) = task.argv.split_first() else {
        return Err(failed("it has no command".to_owned(), Vec::new()));
    };
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment(folder, instance))
        .current_dir(folder.data(&instance.name))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(user) = user.run_as() {
        command.uid(user.uid).gid(user.gid);
    }
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .map_err(|_| {
            failed(
                format!("it did not end within {} s", LIMIT.as_secs()),
                Vec::new(),
            )
        })?
        .map_err(|error| failed(format!("{program}: {error}"), Vec::new()))?;
    if !output.status.success() {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        let skipped = lines.len().saturating_sub(LINES);
        return Err(failed(
            format!("it ended with {}", output.status),
            lines.into_iter().skip(skipped).collect(),
        ));
    }
    let mut marks = done(folder, &instance.name)?;
    marks.insert(task.name.clone(), task.digest(&instance.programs));
    let path = mark(folder, &instance.name);
    let text = serde_json::to_vec(&marks).map_err(|error| LocalError::Corrupt {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    write_atomically(&path, &text, 0o644, None)
}

fn mark(folder: &LocalFolder, instance: &str) -> PathBuf {
    folder.names().instance(instance).join("tasks.json")
}
