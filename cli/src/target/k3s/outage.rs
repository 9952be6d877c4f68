//! Takes power or network from a machine of a cluster and gives it back, by commands that the environment names.
//!
//! What has to be given back is noted before anything is taken, so that a later run can do it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::bootstrap::write_private;
use crate::environment::{Environment, HostFaults};

/// How long a command may take.
const COMMAND: Duration = Duration::from_mins(3);
/// How long a machine may take to be gone once its command has ended, and how long to be back.
const GONE: Duration = Duration::from_secs(20);
/// So many tries in a row without an answer mean that it is gone: one may be lost.
const MISSES: u32 = 3;
const BACK: Duration = Duration::from_mins(5);
/// How long a machine may take to answer before it counts as silent.
const ANSWER: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Where it is noted what has to be given back.
const NOTE: &str = "outages.json";

/// What is taken from a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its power.
    Power,
    /// Its network.
    Network,
}

/// Machines that can be broken, and where their commands are run.
#[derive(Clone, Debug)]
pub struct Outages {
    beside: PathBuf,
    note: PathBuf,
}

/// What has to be done for a machine that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Owed {
    give: Vec<String>,
    door: String,
}

/// A machine that can be broken.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its node's name.
    pub name: String,
    faults: HostFaults,
    door: String,
}

impl Machine {
    /// A machine of an environment, if it has commands for this.
    pub fn of(environment: &Environment, name: &str, taken: Taken) -> Option<Self> {
        let host = environment.hosts.get(name)?;
        let faults = host.faults.clone()?;
        let (take, give) = commands(&faults, taken);
        if take.is_empty() || give.is_empty() {
            return None;
        }
        let address = host.address.clone()?;
        Some(Self {
            name: name.to_owned(),
            door: format!("{address}:{}", host.port.unwrap_or(22)),
            faults,
        })
    }
}

/// Whether an sshd takes connections.
async fn answers(door: &str) -> bool {
    matches!(timeout(ANSWER, TcpStream::connect(door)).await, Ok(Ok(_)))
}

/// Whether it does not take any more, before the time is up.
async fn is_gone(door: &str) -> bool {
    let deadline = Instant::now() + GONE;
    let mut misses = 0;
    while misses < MISSES {
        if Instant::now() >= deadline {
            return false;
        }
        misses = if answers(door).await { 0 } else { misses + 1 };
        sleep(LOOK_EVERY).await;
    }
    true
}

/// Whether it takes them again, before the time is up.
async fn is_back(door: &str) -> bool {
    let deadline = Instant::now() + BACK;
    while !answers(door).await {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
    true
}

fn commands(faults: &HostFaults, taken: Taken) -> (&[String], &[String]) {
    match taken {
        Taken::Power => (&faults.power_off, &faults.power_on),
        Taken::Network => (&faults.unplug, &faults.plug),
    }
}

impl Outages {
    /// Those of an environment file in a folder, noted in a state folder.
    pub fn new(beside: &Path, state_dir: &Path) -> Self {
        Self {
            beside: beside.to_owned(),
            note: state_dir.join(NOTE),
        }
    }

    /// Whether it could be seen that a machine is gone. Says why not.
    pub async fn can_see(&self, machine: &Machine) -> Result<(), String> {
        let door = &machine.door;
        if answers(door).await {
            return Ok(());
        }
        Err(format!(
            "nothing was done: {door} takes no connection from here, so nobody could see it go"
        ))
    }

    /// Takes it from a machine. Says how it is known that it is gone, or why it is not.
    pub async fn take(&self, machine: &Machine, taken: Taken) -> Result<String, String> {
        let (take, give) = commands(&machine.faults, taken);
        let door = &machine.door;
        let mut noted = self.noted()?;
        let owed = Owed {
            give: give.to_vec(),
            door: door.clone(),
        };
        noted.insert(machine.name.clone(), owed);
        self.keep(&noted)?;
        run(take, &self.beside, COMMAND).await?;
        if !is_gone(door).await {
            return Err(format!("{door} still takes connections"));
        }
        let mut evidence = format!("{door} takes no connection any more");
        if let Some(about) = &machine.faults.about {
            evidence = format!("{evidence}; {about}");
        }
        Ok(evidence)
    }

    /// Gives it back. Says how it is known that the machine is back, or why it is not.
    pub async fn give_back(&self, machine: &Machine, taken: Taken) -> Result<String, String> {
        let (_, give) = commands(&machine.faults, taken);
        let owed = Owed {
            give: give.to_vec(),
            door: machine.door.clone(),
        };
        self.give(&machine.name, &owed).await?;
        Ok(format!("{} takes connections again", machine.door))
    }

    /// Gives back what a run took that was killed. Gives the machines' names. One that cannot be mended holds up no other.
    pub async fn give_back_all(&self) -> Result<Vec<String>, String> {
        let mut mended = Vec::new();
        let mut failed = Vec::new();
        for (name, owed) in self.noted()? {
            match self.give(&name, &owed).await {
                Ok(()) => mended.push(name),
                Err(reason) => failed.push(format!("{name}: {reason}")),
            }
        }
        if failed.is_empty() {
            Ok(mended)
        } else {
            Err(failed.join("; "))
        }
    }

    /// It stays noted until the machine is back.
    async fn give(&self, name: &str, owed: &Owed) -> Result<(), String> {
        // A command that has nothing to do may say so by failing: what counts is the machine.
        let ran = run(&owed.give, &self.beside, COMMAND).await;
        let back = match &ran {
            Ok(()) => is_back(&owed.door).await,
            Err(_) => answers(&owed.door).await,
        };
        if !back {
            return Err(ran
                .err()
                .unwrap_or_else(|| format!("{} takes no connections", owed.door)));
        }
        let mut noted = self.noted()?;
        noted.remove(name);
        self.keep(&noted)
    }

    /// By machine, what mends it.
    fn noted(&self) -> Result<BTreeMap<String, Owed>, String> {
        let unreadable = |reason: String| {
            format!(
                "failed to read {}, where it stands which hosts have to be mended: {reason}",
                self.note.display()
            )
        };
        match fs::read(&self.note) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    fn keep(&self, noted: &BTreeMap<String, Owed>) -> Result<(), String> {
        let kept = if noted.is_empty() {
            match fs::remove_file(&self.note) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            serde_json::to_string(noted)
                .map_err(io::Error::from)
                .and_then(|text| write_private(&self.note, &text))
        };
        kept.map_err(|error| {
            format!(
                "failed to note in {} which hosts have to be mended: {error}",
                self.note.display()
            )
        })
    }
}

async fn run(argv: &[String], folder: &Path, limit: Duration) -> Result<(), String> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| "failed to run an empty command".to_owned())?;
    // Its arguments may be nobody's business, and this may be published.
    let failed = |reason: String| format!("failed to run `{program} …`: {reason}");
    // A path with a folder in it is seen from the environment file; a bare name is searched for.
    let path = if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    };
    let child = Command::new(path)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    // It leads a group of its own, so that whatever it started ends with it.
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let Ok(ended) = timeout(limit, child.wait_with_output()).await else {
        if let Some(group) = group {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        return Err(failed(format!(
            "it did not end within {} s",
            limit.as_secs()
        )));
    };
    let ended = ended.map_err(|error| failed(error.to_string()))?;
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    Err(failed(format!(
        "{}: {}",
        ended.status,
        last.unwrap_or("it said nothing")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    /// A machine whose sshd is a listener of this test, and that is broken by nothing.
    fn machine(door: &str, power_on: &str) -> Machine {
        Machine {
            name: "agent".to_owned(),
            faults: HostFaults {
                power_off: words("true"),
                power_on: words(power_on),
                ..HostFaults::default()
            },
            door: door.to_owned(),
        }
    }

    #[tokio::test]
    async fn what_was_taken_is_noted_until_the_machine_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let outages = Outages::new(folder.path(), folder.path());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = listener.local_addr().unwrap().to_string();
        let taking = {
            let (outages, machine) = (outages.clone(), machine(&door, "touch back"));
            tokio::spawn(async move { outages.take(&machine, Taken::Power).await })
        };
        // It is there when it is asked before, and gone after that.
        listener.accept().await.unwrap();
        drop(listener);
        let seen = taking.await.unwrap().unwrap();
        assert!(seen.contains("takes no connection any more"), "{seen}");
        assert!(outages.noted().unwrap().contains_key("agent"));
        let machine = machine(&door, "true");
        let refused = outages.can_see(&machine).await.unwrap_err();
        assert!(refused.contains("nothing was done"), "{refused}");
        let _listener = tokio::net::TcpListener::bind(&door).await.unwrap();
        assert_eq!(outages.can_see(&machine).await, Ok(()));
        assert_eq!(outages.give_back_all().await.unwrap(), ["agent"]);
        assert!(folder.path().join("back").exists());
        assert!(outages.noted().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_machine_that_answers_is_mended_whatever_its_command_says() {
        let folder = tempfile::tempdir().unwrap();
        let outages = Outages::new(folder.path(), folder.path());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let owed = |door: String| Owed {
            give: words("false"),
            door,
        };
        let here = owed(listener.local_addr().unwrap().to_string());
        let gone = owed("127.0.0.1:1".to_owned());
        let noted = [("a".to_owned(), gone.clone()), ("b".to_owned(), here)];
        outages.keep(&noted.into()).unwrap();
        let refused = outages.give_back_all().await.unwrap_err();
        assert!(refused.starts_with("a: "), "{refused}");
        assert_eq!(outages.noted().unwrap(), [("a".to_owned(), gone)].into());
        fs::write(folder.path().join(NOTE), "{").unwrap();
        assert!(outages.give_back_all().await.is_err());
    }

    #[tokio::test]
    async fn a_command_that_fails_says_its_last_word() {
        let refused = run(&words("ls /nowhere-at-all"), Path::new("/"), COMMAND).await;
        assert!(refused.unwrap_err().contains("nowhere-at-all"));
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 300 & echo $! > child; wait";
        let argv = ["sh", "-c", script].map(str::to_owned);
        let refused = run(&argv, folder.path(), Duration::from_millis(500)).await;
        assert!(refused.unwrap_err().contains("did not end"));
        let child = fs::read_to_string(folder.path().join("child")).unwrap();
        let state = PathBuf::from(format!("/proc/{}/stat", child.trim()));
        let gone = || match fs::read_to_string(&state) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone() {
            assert!(Instant::now() < deadline, "it runs on");
            sleep(LOOK_EVERY).await;
        }
    }
}
