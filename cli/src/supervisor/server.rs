//! The supervisor's process: takes the lock, takes up the instances, answers on the control socket and rotates logs.
//!
//! It runs on one thread and is idle nearly always. It does not watch itself: when it dies its instances go on, the
//! next `shopctl up` starts another that adopts them, and `shopctl status` says loudly that there is none. A second
//! process that watched the first would only move the question to who watches that one; a machine that must come back
//! by itself has an init system for `shopctl up`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::core::Core;
use super::error::SupervisorError;
use super::folder::StateFolder;
use super::journal::Journal;
use super::lock::SupervisorLock;
use super::protocol::{LINE_MAXIMUM, Request, Response};
use super::rotation;

/// A client that says nothing for so long is let go.
const IDLE_MAXIMUM: Duration = Duration::from_mins(5);
/// A client that does not take its answer for so long is let go.
const WRITE_MAXIMUM: Duration = Duration::from_secs(10);
/// More clients than this wait their turn.
const CLIENTS_MAXIMUM: usize = 64;
/// Of the processes on a machine that runs out of memory, the supervisor is among the last to be ended.
const OOM_SCORE: &str = "-900";

/// Supervises a state folder until it is told to end. Its instances live on unless it is told otherwise.
pub async fn supervise(folder: StateFolder, commit: String) -> Result<(), SupervisorError> {
    let socket = folder.socket()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    folder.create()?;
    let lock = SupervisorLock::take(&folder.supervisor_lock()).await?;
    let journal = Arc::new(Journal::open(&folder.supervisor_log())?);
    // Only root may lower it; without that the supervisor is as good a victim as any.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let folder = Arc::new(folder);
    journal.note(
        "supervisor",
        format_args!("begins as pid {}, commit {commit}", std::process::id()),
    );
    let core = Core::start(Arc::clone(&folder), Arc::clone(&journal), commit)?;
    // What a supervisor before left there is nobody's: we hold the lock.
    let _ = fs::remove_file(&socket);
    let listen = |source| SupervisorError::Listen {
        path: socket.clone(),
        source,
    };
    let listener = UnixListener::bind(&socket).map_err(listen)?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(listen)?;
    tokio::spawn(rotation::rotate_for_ever(Arc::clone(&core), folder));
    let reason = serve(&listener, &core).await?;
    let _ = fs::remove_file(&socket);
    journal.note("supervisor", format_args!("ends: {reason}"));
    drop(lock);
    Ok(())
}

/// Answers clients until one of them, or a signal, ends it.
async fn serve(listener: &UnixListener, core: &Arc<Core>) -> Result<&'static str, SupervisorError> {
    let signals = |source| SupervisorError::System {
        action: "listen for signals",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(signals)?;
    let (end, mut ended) = mpsc::channel(1);
    let places = Arc::new(Semaphore::new(CLIENTS_MAXIMUM));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM; the instances go on"),
            _ = interrupt.recv() => return Ok("SIGINT; the instances go on"),
            _ = hang_up.recv() => {}
            Some(()) = ended.recv() => return Ok("asked to"),
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of files, most likely: the clients that there are will give some back.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let core = Arc::clone(core);
                let end = end.clone();
                let places = Arc::clone(&places);
                tokio::spawn(async move {
                    let _place = places.acquire_owned().await;
                    if is_one_of_us(&stream) {
                        // A client that goes away in the middle harms nobody; what it ordered goes on.
                        let _ = converse(stream, &core, &end).await;
                    }
                });
            }
        }
    }
}

/// Whether the client is of the same user, or root. The socket's mode says the same; this also holds where a socket's
/// mode is not looked at.
fn is_one_of_us(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// Answers one client's requests, one after the other.
async fn converse(
    stream: UnixStream,
    core: &Arc<Core>,
    end: &mpsc::Sender<()>,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let mut limited = (&mut reader).take(LINE_MAXIMUM);
        if timeout(IDLE_MAXIMUM, limited.read_line(&mut line)).await?? == 0 {
            return Ok(());
        }
        let request = serde_json::from_str::<Request>(&line);
        let ends = matches!(request, Ok(Request::Shutdown { .. }));
        let response = match request {
            Ok(request) => answer(core, request)
                .await
                .unwrap_or_else(|error| refuse(&error)),
            Err(error) => Response::Refused {
                message: format!("failed to understand the request: {error}"),
                hint: Some(
                    "shopctl and its supervisor differ; `shopctl up` replaces the supervisor"
                        .to_owned(),
                ),
            },
        };
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        let written = timeout(WRITE_MAXIMUM, writer.write_all(&text)).await;
        if ends && matches!(response, Response::Done) {
            let _ = end.send(()).await;
            // The client waits for the end of the process, which closes this.
            std::future::pending::<()>().await;
        }
        written??;
    }
}

async fn answer(core: &Arc<Core>, request: Request) -> Result<Response, SupervisorError> {
    match request {
        Request::Status => Ok(Response::Status(core.status())),
        Request::Apply {
            specs,
            stop_missing,
        } => Ok(Response::Applied(core.apply(specs, stop_missing)?)),
        Request::Stop { names } => core.stop(&names).await.map(|()| Response::Done),
        Request::Start { names } => core.start_instances(&names).map(|()| Response::Done),
        Request::Restart { name } => core.restart(&name).await.map(|()| Response::Done),
        Request::Shutdown { stop_instances } => {
            if stop_instances {
                core.stop_all().await?;
            }
            Ok(Response::Done)
        }
    }
}

fn refuse(error: &SupervisorError) -> Response {
    Response::Refused {
        message: error.to_string(),
        hint: error.hint(),
    }
}
