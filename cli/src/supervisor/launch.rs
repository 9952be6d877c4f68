//! Makes sure that a supervisor of this shopctl serves a state folder: starts one if none answers, and replaces one of
//! another commit without touching its instances.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::error::SupervisorError;
use super::folder::StateFolder;
use super::identity::ProcessIdentity;
use super::lock;
use super::process::Process;
use super::spawn::{self, open_log};
use super::status::SupervisorStatus;

/// A supervisor answers within milliseconds; a machine that is busy may need more.
const START_LIMIT: Duration = Duration::from_secs(15);
/// One that has not answered within this hangs, or is as good as hanging.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A killed one is gone at once, unless the kernel holds it.
const KILL_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// So many lines of its log are shown when it does not start.
const LINES: usize = 8;
/// What a supervisor needs of the caller's environment. The rest could hold secrets and would stay for days.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "XDG_RUNTIME_DIR"];

/// What was needed so that a supervisor of this shopctl serves the state folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launched {
    /// Nothing: it did already.
    AlreadyRunning,
    /// There was none.
    Started,
    /// There was one of another commit, of a program file that has been replaced since, or one that did not answer.
    Replaced,
}

/// Gives a connection to a supervisor of this program and commit, which it starts or replaces if needed. One that does
/// not answer is killed: what it watches lives on, and the next one adopts it.
pub async fn ensure_running(
    folder: &StateFolder,
    executable: &Path,
    commit: &str,
) -> Result<(Client, Launched), SupervisorError> {
    let mut launched = Launched::Started;
    match Client::connect(folder.run_dir()).await {
        Ok(mut client) => {
            let status = client.status_within(ANSWER_LIMIT).await;
            if let Ok(status) = &status
                && status.commit == commit
                && !is_replaced(status)
            {
                return Ok((client, Launched::AlreadyRunning));
            }
            dismiss(folder, client, status.err()).await?;
            launched = Launched::Replaced;
        }
        Err(error) if error.is_unreachable() => {}
        Err(error) => return Err(error),
    }
    let client = start(folder, executable).await?;
    Ok((client, launched))
}

/// Ends a supervisor whose instances live on. One that answers nothing, or something that nobody understands, is so
/// old or so new that it has to go as well.
async fn dismiss(
    folder: &StateFolder,
    client: Client,
    answer: Option<SupervisorError>,
) -> Result<(), SupervisorError> {
    let supervisor = client.supervisor().cloned();
    let asked = match answer {
        None => client.shutdown(false).await,
        Some(error @ SupervisorError::TimedOut { .. }) => Err(error),
        // The connection is broken, or the rest of that answer is in it.
        Some(error) => match Client::connect(folder.run_dir()).await {
            Ok(client) => client.shutdown(false).await,
            Err(_) => Err(error),
        },
    };
    match asked {
        Err(error @ (SupervisorError::TimedOut { .. } | SupervisorError::Protocol(_))) => {
            kill_hanging(folder, supervisor, error).await
        }
        asked => asked,
    }
}

/// Kills a supervisor that does not answer, and waits until it is gone. It must be the process on the other end of the
/// socket and the one that is named in the lock, and still be that very process: else nobody is killed and `error`
/// stands, unless nobody serves the folder any more.
async fn kill_hanging(
    folder: &StateFolder,
    supervisor: Option<ProcessIdentity>,
    error: SupervisorError,
) -> Result<(), SupervisorError> {
    // It has ended meanwhile.
    if !lock::is_held(&folder.supervisor_lock()) {
        return Ok(());
    }
    let Some(supervisor) = supervisor else {
        return Err(error);
    };
    if lock::holder(&folder.supervisor_lock()) != Some(supervisor.pid) {
        return Err(error);
    }
    let held = Process::of_record(supervisor).map_err(|source| SupervisorError::System {
        action: "take hold of a supervisor that hangs",
        source,
    })?;
    let Some(process) = held else {
        return Ok(());
    };
    process.kill();
    if process.exited_within(KILL_LIMIT).await {
        Ok(())
    } else {
        Err(error)
    }
}

/// Whether the supervisor's program file has been replaced or removed since it began, as by a new build.
fn is_replaced(status: &SupervisorStatus) -> bool {
    fs::read_link(format!("/proc/{}/exe", status.pid))
        .is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

async fn start(folder: &StateFolder, executable: &Path) -> Result<Client, SupervisorError> {
    // Refused here, where somebody reads it, rather than in a log.
    folder.socket()?;
    folder.create()?;
    let log = folder.supervisor_log();
    let log_start = fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let mut child = detach(folder, executable, &log)?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match Client::connect(folder.run_dir()).await {
            Ok(mut client) => {
                client.status().await?;
                return Ok(client);
            }
            Err(error) if error.is_unreachable() => {}
            Err(error) => return Err(error),
        }
        // Another one may have been started at the same moment and have the lock: then that one will answer.
        if let Ok(Some(status)) = child.try_wait()
            && !lock::is_held(&folder.supervisor_lock())
        {
            return Err(failure(
                format!("it ended at once ({status})"),
                &log,
                log_start,
            ));
        }
        if Instant::now() > deadline {
            let seconds = START_LIMIT.as_secs();
            return Err(failure(
                format!("it did not answer within {seconds} s"),
                &log,
                log_start,
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Starts the supervisor as a process of its own: own session, no terminal, root folder, output to its log.
fn detach(folder: &StateFolder, executable: &Path, log: &Path) -> Result<Child, SupervisorError> {
    let output = open_log(log)?;
    let errors = output
        .try_clone()
        .map_err(|source| SupervisorError::write(log, source))?;
    let mut command = Command::new(executable);
    command
        .arg("supervise")
        .arg("--state-dir")
        .arg(folder.state_dir())
        .arg("--run-dir")
        .arg(folder.run_dir())
        .current_dir("/")
        .env_clear()
        .envs(
            ENVIRONMENT
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    leave_terminal(&mut command);
    command.spawn().map_err(|source| SupervisorError::Launch {
        reason: format!("{}: {source}", executable.display()),
        log: Vec::new(),
    })
}

#[allow(
    unsafe_code,
    reason = "a session of its own can only be made between fork and exec"
)]
fn leave_terminal(command: &mut Command) {
    // SAFETY: only system calls are made in the child.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            spawn::reset_signals()?;
            spawn::close_on_exec_from(3);
            Ok(())
        });
    }
}

fn failure(reason: String, log: &Path, from: u64) -> SupervisorError {
    SupervisorError::Launch {
        reason,
        log: last_lines(log, from),
    }
}

/// The last lines that were written after `from`.
fn last_lines(log: &Path, from: u64) -> Vec<String> {
    let mut text = Vec::new();
    let read = fs::File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.take(64 * 1024).read_to_end(&mut text)
    });
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    lines
        .into_iter()
        .skip(skipped)
        .map(ToOwned::to_owned)
        .collect()
}
