//! A Postgres server: one that all tests of a process share, or one of a test's own to break.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::database::Credentials;
use crate::folder::Folder;
use crate::poll::wait_until;
use crate::ports::free_port;
use crate::process::{Launch, Process, Unprivileged, bound_command, send};
use crate::programs;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody took the one that was free a moment ago.
const PORT_TRIES: usize = 3;

/// What a committed transaction has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in the shop: fsync, full page writes, synchronous commit.
    On,
    /// A lost machine loses data, a killed process does not. For tests that do not measure.
    Off,
}

impl Durability {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::On => &[
                ("fsync", "on"),
                ("full_page_writes", "on"),
                ("synchronous_commit", "on"),
            ],
            Self::Off => &[
                ("fsync", "off"),
                ("full_page_writes", "off"),
                ("synchronous_commit", "on"),
            ],
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    data: PathBuf,
    sockets: PathBuf,
    port: u16,
    credentials: Credentials,
    folder: Folder,
}

impl Postgres {
    /// The server that the tests of this process share; ask it for a [`Database`](crate::Database) of your own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Durability::Off))
    }

    /// A server of the test's own, for faults and measurements.
    pub fn start(durability: Durability) -> Self {
        let folder = Folder::new();
        let data = folder.server_folder("data");
        let sockets = folder.server_folder("run");
        let credentials = Credentials::new(&folder);
        init(&folder, &data, &credentials);
        let (process, port) = (0..PORT_TRIES)
            .find_map(|_| {
                let port = free_port();
                configure(&data, &sockets, port, durability);
                let process = start_process(&folder, &data).ok()?;
                Some((process, port))
            })
            .unwrap_or_else(|| panic!("failed to start Postgres:\n{}", log(&folder)));
        Self {
            process,
            data,
            sockets,
            port,
            credentials,
            folder,
        }
    }

    /// The folder of its socket: a host name to Postgres clients.
    pub fn socket_folder(&self) -> &Path {
        &self.sockets
    }

    /// Its port on 127.0.0.1, and the socket's.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Restarts it the way an administrator does: sessions are cut, nothing is lost.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Ends it in an orderly way; [`start_again`](Self::start_again) brings it back.
    pub fn stop(&mut self) {
        self.process.stop(Signal::SIGINT, STOP);
    }

    /// Kills the server and all of its sessions at once with SIGKILL.
    pub fn kill9(&mut self) {
        // The server first, stopped, so that it starts no more children while they are counted.
        self.process.signal(Signal::SIGSTOP);
        let children = self.children();
        self.process.signal(Signal::SIGKILL);
        signal_all(&children, Signal::SIGKILL);
        self.process.kill9();
        wait_until("the end of all sessions", STOP, || {
            let left = children
                .iter()
                .filter(|pid| Path::new(&format!("/proc/{pid}/fd/0")).exists())
                .count();
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} live on"))
            }
        });
    }

    /// Starts it on the same data and port.
    pub fn start_again(&mut self) {
        self.process = start_process(&self.folder, &self.data).unwrap_or_else(|seen| {
            panic!(
                "failed to start Postgres again ({seen}):\n{}",
                log(&self.folder)
            )
        });
    }

    /// Freezes the server and all of its sessions: clients wait and hear nothing.
    pub fn pause(&mut self) {
        self.process.signal(Signal::SIGSTOP);
        let children = self.children();
        signal_all(&children, Signal::SIGSTOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        let children = self.children();
        signal_all(&children, Signal::SIGCONT);
        self.process.signal(Signal::SIGCONT);
    }

    fn children(&self) -> Vec<u32> {
        let pid = self.process.pid();
        let listed =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        listed
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: the folder goes away anyway, and the kernel gets its shared memory back.
        self.process.stop(Signal::SIGQUIT, STOP);
    }
}

fn signal_all(pids: &[u32], signal: Signal) {
    for &pid in pids {
        send(pid, signal)
            .unwrap_or_else(|error| panic!("failed to signal session {pid} of Postgres: {error}"));
    }
}

fn init(folder: &Folder, data: &Path, credentials: &Credentials) {
    let password = folder.write("initdb-password", credentials.superuser_password());
    Unprivileged::find().own(&password);
    let argv = [
        path(&programs::postgres("initdb")),
        format!("--pgdata={}", path(data)),
        "--username=postgres".to_owned(),
        format!("--pwfile={}", path(&password)),
        "--auth=scram-sha-256".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C".to_owned(),
        "--no-sync".to_owned(),
    ];
    let output = bound_command(&argv, true, Signal::SIGKILL)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("failed to run initdb: {error}"));
    assert!(
        output.status.success(),
        "failed to run initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn configure(data: &Path, sockets: &Path, port: u16, durability: Durability) {
    let port = port.to_string();
    let sockets = path(sockets);
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", port.as_str()),
        ("unix_socket_directories", sockets.as_str()),
        ("max_connections", "200"),
        ("shared_buffers", "64MB"),
        ("deadlock_timeout", "1s"),
        ("log_min_messages", "warning"),
    ];
    settings.extend(durability.settings());
    let lines: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name} = '{value}'\n"))
        .collect();
    // Read after postgresql.conf, so it wins.
    let file = data.join("postgresql.auto.conf");
    fs::write(&file, lines.concat())
        .unwrap_or_else(|error| panic!("failed to write {}: {error}", file.display()));
}

fn start_process(folder: &Folder, data: &Path) -> Result<Process, String> {
    let mut process = Process::spawn(Launch {
        name: "postgres".to_owned(),
        argv: vec![
            path(&programs::postgres("postgres")),
            "-D".to_owned(),
            path(data),
        ],
        environment: Vec::new(),
        log: folder.path().join("postgres.log"),
        unprivileged: true,
        on_orphaned: Signal::SIGQUIT,
    });
    let pid = process.pid().to_string();
    let status = data.join("postmaster.pid");
    wait_until("Postgres to take connections", START, || {
        if let Some(status) = process.exit_status() {
            return Ok(Err(format!("it ended with {status}")));
        }
        // The first line is the process id, the eighth the state.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        match (lines.next(), lines.nth(6)) {
            (Some(holder), Some("ready")) if holder == pid => Ok(Ok(())),
            (_, state) => Err(format!("state {}", state.unwrap_or("unknown"))),
        }
    })?;
    Ok(process)
}

fn log(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("postgres.log")).unwrap_or_default()
}

fn path(path: &Path) -> String {
    path.to_str()
        .unwrap_or_else(|| panic!("the path {} is not text", path.display()))
        .to_owned()
}
