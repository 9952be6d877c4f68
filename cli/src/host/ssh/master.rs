//! The connection to a host that its sessions share.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command as Process};

use super::SshFolder;
use super::options::{Trust, arguments};
use super::trouble::of_connecting;
use crate::host::quote::shell_line;
use crate::host::sudo::{STANDING, Standing};
use crate::host::{Command, HostError, HostSpec};

/// How long it may take until a host has let us in, with jump hosts and keys that have to be touched.
const CONNECTING: Duration = Duration::from_secs(45);
/// What a login shell must hand on as it is.
const HOSTILE: &str = "it's \"$HOME\" \\ `x` !1";
const READY: &str = "shopctl-ready ";

/// An open connection. It ends when this is dropped, or when this process dies.
#[derive(Debug)]
pub(super) struct Master {
    child: Child,
    /// The other side waits for its end.
    _stdin: Option<ChildStdin>,
    words: Arc<Mutex<Vec<u8>>>,
    /// Where sessions get in.
    pub(super) socket: PathBuf,
}

impl Drop for Master {
    fn drop(&mut self) {
        // ssh removes it as well, if it is given the time.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Master {
    /// Connects, and finds out who we are there.
    pub(super) async fn connect(
        spec: &HostSpec,
        folder: &SshFolder,
        trust: Trust,
    ) -> Result<(Self, Standing), HostError> {
        let socket = folder.socket();
        let _ = std::fs::remove_file(&socket);
        let script = format!(
            "{STANDING}\nprintf '%s\\n' \"{READY}$1\" \"{READY}$standing\"\nexec cat >/dev/null"
        );
        let greeting = Command::script("connect", &script, [HOSTILE]);
        let path = socket.to_string_lossy();
        let more = ["-o", "ControlMaster=yes", "-S", &path];
        let line = shell_line(greeting.argv());
        let mut child = Process::new("ssh")
            .args(arguments(spec, folder, trust, &more, &line))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| HostError::Program {
                program: "ssh".to_owned(),
                source,
            })?;
        let words = Arc::new(Mutex::new(Vec::new()));
        let listening = child.stderr.take().map(|mut stderr| {
            let words = Arc::clone(&words);
            tokio::spawn(async move {
                let mut chunk = vec![0; 4096];
                while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
                    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                    // What matters is said first, and a connection may live for long.
                    if words.len() < 64 << 10 {
                        words.extend_from_slice(&chunk[..read]);
                    }
                }
            })
        });
        let stdout = child.stdout.take();
        let mut master = Self {
            _stdin: child.stdin.take(),
            child,
            words,
            socket,
        };
        let greeted = tokio::time::timeout(CONNECTING, greeting_of(stdout)).await;
        let Ok(Some((echoed, standing))) = greeted else {
            if greeted.is_err() {
                return Err(HostError::Unreachable {
                    host: spec.name.clone(),
                    address: spec.place(),
                    reason: format!(
                        "it did not let us in within {} s {}",
                        CONNECTING.as_secs(),
                        master.words()
                    )
                    .trim_end()
                    .to_owned(),
                });
            }
            // ssh has closed its output: it ends, and what it said is all there is.
            let _ = tokio::time::timeout(Duration::from_secs(2), master.child.wait()).await;
            if let Some(listening) = listening {
                let _ = tokio::time::timeout(Duration::from_secs(1), listening).await;
            }
            return Err(of_connecting(spec, folder, &master.words()));
        };
        let standing = Standing::parse(&standing).filter(|_| echoed == HOSTILE);
        match standing {
            Some(standing) => Ok((master, standing)),
            None => Err(HostError::Shell {
                host: spec.name.clone(),
                user: spec.user_shown(),
            }),
        }
    }

    /// Whether the connection stands, as far as ssh has noticed.
    pub(super) fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What ssh said about the connection.
    pub(super) fn words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words).into_owned()
    }
}

/// The two lines of the greeting. Whatever else a login prints is passed over.
async fn greeting_of(
    stdout: Option<impl tokio::io::AsyncRead + Unpin>,
) -> Option<(String, String)> {
    let mut lines = BufReader::new(stdout?).lines();
    let mut found = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(said) = line.strip_prefix(READY) {
            found.push(said.to_owned());
        }
        if let [echoed, standing] = found.as_slice() {
            return Some((echoed.clone(), standing.clone()));
        }
    }
    None
}
