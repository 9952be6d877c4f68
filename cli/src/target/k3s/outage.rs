//! Takes power or network from a machine of a cluster and gives it back, by commands that the environment names.
//!
//! What has to be given back is noted before anything is taken, so that a later run can do it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::environment::{Environment, HostFaults};

/// How long a command may take.
const COMMAND: Duration = Duration::from_mins(1);
/// How long a machine may take to be gone once its command has ended, and how long to be back.
const GONE: Duration = Duration::from_secs(5);
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
        let (_, host) = environment
            .hosts
            .iter()
            .find(|(known, _)| known.as_str() == name)?;
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

    /// Whether its sshd takes connections.
    async fn answers(&self) -> bool {
        matches!(
            timeout(ANSWER, TcpStream::connect(&self.door)).await,
            Ok(Ok(_))
        )
    }

    async fn within(&self, patience: Duration, answers: bool) -> bool {
        let deadline = Instant::now() + patience;
        while self.answers().await != answers {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }
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

    /// Takes it from a machine. Says how it is known that it is gone, or why it is not.
    pub async fn take(&self, machine: &Machine, taken: Taken) -> Result<String, String> {
        let (take, give) = commands(&machine.faults, taken);
        let mut noted = self.noted();
        noted.insert(machine.name.clone(), give.to_vec());
        self.keep(&noted)
            .map_err(|error| format!("failed to note how {} is mended: {error}", machine.name))?;
        run(take, &self.beside).await?;
        if machine.within(GONE, false).await {
            let mut evidence = format!("{} takes no connection any more", machine.door);
            if let Some(about) = &machine.faults.about {
                evidence = format!("{evidence}; {about}");
            }
            Ok(evidence)
        } else {
            Err(format!("{} still takes connections", machine.door))
        }
    }

    /// Gives it back. Says how it is known that the machine is back, or why it is not.
    pub async fn give_back(&self, machine: &Machine, taken: Taken) -> Result<String, String> {
        let (_, give) = commands(&machine.faults, taken);
        self.give(&machine.name, give).await?;
        if machine.within(BACK, true).await {
            Ok(format!("{} takes connections again", machine.door))
        } else {
            Err(format!("{} takes no connections", machine.door))
        }
    }

    /// Gives back what a run took that was killed. Gives the machines' names.
    pub async fn give_back_all(&self) -> Result<Vec<String>, String> {
        let mut mended = Vec::new();
        for (name, give) in self.noted() {
            self.give(&name, &give).await?;
            mended.push(name);
        }
        Ok(mended)
    }

    async fn give(&self, name: &str, give: &[String]) -> Result<(), String> {
        run(give, &self.beside).await?;
        let mut noted = self.noted();
        noted.remove(name);
        self.keep(&noted)
            .map_err(|error| format!("failed to note that {name} was mended: {error}"))
    }

    /// By machine, the command that mends it.
    fn noted(&self) -> BTreeMap<String, Vec<String>> {
        fs::read(&self.note)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn keep(&self, noted: &BTreeMap<String, Vec<String>>) -> io::Result<()> {
        if noted.is_empty() {
            return match fs::remove_file(&self.note) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let new = self.note.with_extension("new");
        fs::write(&new, serde_json::to_vec(noted).map_err(io::Error::from)?)?;
        fs::rename(&new, &self.note)
    }
}

async fn run(argv: &[String], folder: &Path) -> Result<(), String> {
    let line = argv.join(" ");
    let failed = |reason: String| format!("failed to run `{line}`: {reason}");
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| failed("it is empty".to_owned()))?;
    // A path with a folder in it is seen from the environment file; a bare name is searched for.
    let program = if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    };
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let ended = timeout(COMMAND, child)
        .await
        .map_err(|_| failed(format!("it did not end within {} s", COMMAND.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
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

    #[tokio::test]
    async fn what_was_taken_is_noted_until_it_was_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let machine = Machine {
            name: "agent".to_owned(),
            faults: HostFaults {
                power_off: words("true"),
                power_on: words("touch back"),
                ..HostFaults::default()
            },
            door: listener.local_addr().unwrap().to_string(),
        };
        let outages = Outages::new(folder.path(), folder.path());
        let refused = outages.take(&machine, Taken::Power).await.unwrap_err();
        assert!(refused.contains("still takes connections"), "{refused}");
        assert_eq!(outages.noted()["agent"], ["touch", "back"]);
        assert_eq!(outages.give_back_all().await.unwrap(), ["agent"]);
        assert!(folder.path().join("back").exists());
        assert!(outages.noted().is_empty());
        drop(listener);
        let seen = outages.take(&machine, Taken::Power).await.unwrap();
        assert!(seen.contains("takes no connection any more"), "{seen}");
    }

    #[tokio::test]
    async fn a_command_that_fails_says_its_last_word() {
        let refused = run(&words("ls /nowhere-at-all"), Path::new("/")).await;
        assert!(refused.unwrap_err().contains("nowhere-at-all"));
    }
}
