//! A server's process: bound to the life of the test process, unprivileged, with a log that a failure shows.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::poll::wait_until;
use crate::programs;

/// How many lines of a log a failure shows.
const LOG_TAIL: usize = 30;

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Shown in failures, for example `redis-1`.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Set on top of the test's own environment.
    pub environment: Vec<(String, String)>,
    /// Gets standard output and standard error, appended.
    pub log: PathBuf,
    /// Whether to run as the servers' user when the test runs as root.
    pub unprivileged: bool,
    /// Sent by the kernel when the test process ends without stopping the child.
    pub on_orphaned: Signal,
}

impl Launch {
    /// `shopd SERVICE` with a configuration file, as the user of the test.
    pub fn shopd(service: &str, name: impl Into<String>, config: &Path, log: PathBuf) -> Self {
        let program = programs::shopd().display().to_string();
        let config = config.display().to_string();
        Self {
            name: name.into(),
            argv: vec![program, service.to_owned(), "--config".to_owned(), config],
            environment: Vec::new(),
            log,
            unprivileged: false,
            on_orphaned: Signal::SIGKILL,
        }
    }
}

/// A child that is killed when it is dropped and when the test process ends.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    exited: Option<ExitStatus>,
}

impl Process {
    /// Starts it; does not wait for anything.
    pub fn spawn(launch: Launch) -> Self {
        let open = || File::options().create(true).append(true).open(&launch.log);
        let log = open().and_then(|out| Ok((out, open()?)));
        let (out, err) =
            log.unwrap_or_else(|error| panic!("failed to open {}: {error}", launch.log.display()));
        let mut command = bound_command(&launch.argv, launch.unprivileged, launch.on_orphaned);
        command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = spawn_from_keeper(command).unwrap_or_else(|error| {
            panic!(
                "failed to start {} ({}): {error}",
                launch.name,
                launch.argv.join(" ")
            )
        });
        Self {
            launch,
            child,
            exited: None,
        }
    }

    /// Its process id; `setpriv` replaces itself by the program, so it is the program's own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.exit_status().is_none()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self
                .child
                .try_wait()
                .unwrap_or_else(|error| panic!("failed to wait for {}: {error}", self.launch.name));
        }
        self.exited
    }

    /// Sends a signal; a process that has ended is left alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            send(self.pid(), signal)
                .unwrap_or_else(|error| panic!("failed to signal {}: {error}", self.launch.name));
        }
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        let status = self.wait(Duration::from_secs(10));
        assert!(
            status.signal().is_some() || status.code().is_some(),
            "{} ended without a status",
            self.launch.name
        );
    }

    /// Asks it to end with the given signal and waits for it.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        self.signal(signal);
        self.wait(limit)
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.launch.name.clone();
        wait_until(&format!("the end of {name}"), limit, || {
            self.exit_status().ok_or_else(|| "it runs".to_owned())
        })
    }

    /// Ends it if need be and starts it again with the same arguments.
    pub fn respawn(&mut self) {
        self.kill9();
        *self = Self::spawn(self.launch.clone());
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.launch.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited.is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The user that servers run as when the test runs as root: Postgres refuses root.
#[derive(Debug, Clone)]
pub(crate) enum Unprivileged {
    /// The test is not run by root: servers run as the same user.
    Same,
    /// Root drops to this user.
    Other { uid: u32, gid: u32 },
}

impl Unprivileged {
    pub(crate) fn find() -> Self {
        if !geteuid().is_root() {
            return Self::Same;
        }
        let user = User::from_name("nobody")
            .unwrap_or_else(|error| panic!("failed to look up the user `nobody`: {error}"))
            .unwrap_or_else(|| panic!("running as root, the servers of these tests need the user `nobody`, and there is none"));
        Self::Other {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }
    }

    /// Hands a path over to the servers' user.
    pub(crate) fn own(&self, path: &Path) {
        if let Self::Other { uid, gid } = *self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap_or_else(|error| {
                panic!(
                    "failed to hand {} to the servers' user: {error}",
                    path.display()
                )
            });
        }
    }
}

/// A command under `setpriv`, which drops privileges first and then asks for the signal at the parent's death.
pub(crate) fn bound_command(argv: &[String], unprivileged: bool, on_orphaned: Signal) -> Command {
    let mut command = Command::new(programs::setpriv());
    if unprivileged && let Unprivileged::Other { uid, gid } = Unprivileged::find() {
        command.args([
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".to_owned(),
        ]);
        // The test's working folder may be closed to that user.
        command.current_dir("/");
    }
    let signal = on_orphaned.as_str().trim_start_matches("SIG");
    command.args(["--pdeathsig", signal, "--"]).args(argv);
    command
}

/// Signals any process by its id.
pub(crate) fn send(pid: u32, signal: Signal) -> nix::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| nix::errno::Errno::EINVAL)?;
    match kill(Pid::from_raw(pid), signal) {
        Err(nix::errno::Errno::ESRCH) => Ok(()),
        other => other,
    }
}

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Spawns from a thread that lives as long as the process. The kernel's "parent" in a death signal is the thread
/// that spawned: a test's own thread would take servers that others share down with it.
fn spawn_from_keeper(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for mut order in received {
                drop(order.answer.send(order.command.spawn()));
            }
        });
        orders
    });
    let (answer, answered) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts servers has ended");
    keeper
        .send(Order { command, answer })
        .map_err(|_| io::Error::other("the thread that starts servers has ended"))?;
    answered.recv().map_err(gone)?
}
