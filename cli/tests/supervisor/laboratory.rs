//! A state folder with a supervisor of its own, and everything that it started gone at the end of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shop_testkit::eventually;
use shopctl::supervisor::{
    Client, InstanceSpec, InstanceState, InstanceStatus, ProbeCheck, ProbeSpec, RestartSpec,
    StateFolder, StopSignal, StopSpec,
};

/// Long enough for a busy machine, far from what anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A script that does not end by itself. A shell that is given a single command becomes that command, and would lose
/// the mark in its arguments.
pub(crate) const FOREVER: &str = "while :; do sleep 1000; done";

/// The real binary.
pub(crate) fn shopctl() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_shopctl"))
}

/// A state folder, and the supervisor that a test started for it.
pub(crate) struct Laboratory {
    pub(crate) folder: StateFolder,
    root: shop_testkit::Folder,
    supervisor: Option<Child>,
}

impl Laboratory {
    /// A folder without a supervisor.
    pub(crate) fn empty() -> Self {
        let root = shop_testkit::Folder::new();
        let folder = StateFolder::new(root.path().join("state"), root.path().join("run"));
        Self {
            folder,
            root,
            supervisor: None,
        }
    }

    /// A folder with a supervisor that answers.
    pub(crate) async fn new() -> Self {
        let mut laboratory = Self::empty();
        laboratory.start_supervisor().await;
        laboratory
    }

    /// A folder for a test's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The command that supervises this folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(shopctl());
        command
            .arg("supervise")
            .arg("--state-dir")
            .arg(self.folder.state_dir())
            .arg("--run-dir")
            .arg(self.folder.run_dir())
            .stdin(Stdio::null());
        command
    }

    /// Starts a supervisor and waits until it answers.
    pub(crate) async fn start_supervisor(&mut self) {
        self.launch_supervisor();
        let run_dir = self.folder.run_dir();
        eventually("the supervisor to answer", LIMIT, || async move {
            let mut client = Client::connect(run_dir)
                .await
                .map_err(|error| error.to_string())?;
            client.status().await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Starts a supervisor and waits for nothing.
    pub(crate) fn launch_supervisor(&mut self) {
        let child = self.command().spawn().expect("shopctl starts");
        assert!(
            self.supervisor.replace(child).is_none(),
            "one supervisor at a time"
        );
    }

    pub(crate) fn supervisor_pid(&self) -> i32 {
        let child = self.supervisor.as_ref().expect("a supervisor was started");
        i32::try_from(child.id()).unwrap()
    }

    /// Kills the supervisor as nothing could prepare it for.
    pub(crate) fn kill_supervisor(&mut self) {
        if let Some(mut child) = self.supervisor.take() {
            child.kill().expect("the supervisor can be killed");
            child.wait().expect("the supervisor can be waited for");
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.folder.run_dir())
            .await
            .expect("a supervisor listens")
    }

    /// An instance that runs a shell script. Its name's part before the dash is its component.
    pub(crate) fn spec(&self, name: &str, script: &str) -> InstanceSpec {
        let (component, ordinal) = name.rsplit_once('-').expect("a name like redis-0");
        InstanceSpec {
            name: name.to_owned(),
            component: component.to_owned(),
            ordinal: ordinal.parse().unwrap(),
            argv: ["/bin/sh", "-c", script, &self.mark(name)]
                .map(str::to_owned)
                .to_vec(),
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            working_dir: self.root.path().to_owned(),
            user: None,
            log: self.folder.instance(name).join("log"),
            address: "127.0.0.1:1".to_owned(),
            probe: None,
            stop: StopSpec {
                signal: StopSignal::Term,
                timeout_seconds: 2,
            },
            restart: RestartSpec::default(),
            spec_hash: format!("{name} {script}"),
        }
    }

    /// What stands in the command line of an instance's process and of no other on this machine.
    pub(crate) fn mark(&self, name: &str) -> String {
        format!("{}/{name}", self.root.path().display())
    }

    /// All processes with an instance's mark that lead a group, as each instance does. A child of the shell has the
    /// mark as well until it has become another program.
    pub(crate) fn marked(&self, name: &str) -> Vec<i32> {
        let mut pids = processes_with(&self.mark(name));
        pids.retain(|&pid| {
            nix::unistd::getpgid(Some(Pid::from_raw(pid))).is_ok_and(|group| group.as_raw() == pid)
        });
        pids
    }

    /// The status of an instance, once it is as `check` wants it.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        check: impl Fn(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let check = &check;
        eventually(&format!("{name} {what}"), LIMIT, || async move {
            let mut client = Client::connect(self.folder.run_dir())
                .await
                .map_err(|error| error.to_string())?;
            let status = client.status().await.map_err(|error| error.to_string())?;
            let instance = status
                .instances
                .into_iter()
                .find(|status| status.instance == name);
            let instance = instance.ok_or_else(|| "it is not listed".to_owned())?;
            if check(&instance) {
                Ok(instance)
            } else {
                Err(format!("{instance:?}"))
            }
        })
        .await
    }

    /// The status of an instance that is ready.
    pub(crate) async fn ready(&self, name: &str) -> InstanceStatus {
        self.until(name, "to be ready", |status| status.ready).await
    }

    /// The lines of an instance's log.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.instance(name).join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        self.kill_supervisor();
        // A test may have had the program start a supervisor of its own.
        for pid in processes_with(&self.folder.run_dir().display().to_string()) {
            signal(pid, Signal::SIGKILL);
        }
        // Whatever works in the folder was started by the test, also what a dead instance left in its group.
        for pid in processes_within(self.root.path()) {
            signal(pid, Signal::SIGKILL);
        }
    }
}

/// A probe by a shell command, quick enough for tests.
pub(crate) fn probe_by(script: &str) -> ProbeSpec {
    ProbeSpec {
        check: ProbeCheck::Exec {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        },
        interval_milliseconds: 50,
        timeout_milliseconds: 2000,
        failures: 3,
        start_seconds: 10,
    }
}

/// Whether a state has a process.
pub(crate) fn is_up(status: &InstanceStatus) -> bool {
    matches!(
        status.state,
        InstanceState::Running | InstanceState::Starting
    ) && status.pid.is_some()
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Whether a process is there and not a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The living processes that have `argument` as one of their arguments.
pub(crate) fn processes_with(argument: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command
            .split(|&byte| byte == 0)
            .any(|word| word == argument.as_bytes())
            && lives(*pid)
    })
    .collect()
}

/// The processes whose working folder is `folder`.
fn processes_within(folder: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|path| path == folder))
        .collect()
}
