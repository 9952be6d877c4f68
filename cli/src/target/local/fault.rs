//! Breaks a process on purpose, and knows for certain whether it did.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::supervisor::{InstanceStatus, ProcessIdentity};

/// How long the kernel may take to do what a signal says.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// An instance that is to be broken: its process and no other that may have its pid later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The instance.
    pub instance: String,
    process: ProcessIdentity,
    /// Its descendants that were stopped with it.
    others: Vec<ProcessIdentity>,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL to its process. What others it has, as a Postgres has one a connection, end by themselves.
    Kill,
    /// SIGSTOP to its process and all descendants: the whole instance does nothing any more.
    Stop,
    /// SIGCONT to those that are stopped.
    Continue,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// Whether all of its processes are known to be in the state that was wanted.
    pub confirmed: bool,
    /// What was seen of them.
    pub evidence: String,
}

impl Victim {
    /// The process of an instance; none if it has none.
    pub fn of(instance: &InstanceStatus) -> Option<Self> {
        Some(Self {
            instance: instance.instance.clone(),
            process: ProcessIdentity::of(instance.pid?)?,
            others: Vec::new(),
        })
    }

    /// The process of an instance with all of its descendants, for what is stopped already.
    pub fn with_descendants(instance: &InstanceStatus) -> Option<Self> {
        let victim = Self::of(instance)?;
        Some(Self {
            others: victim.process.descendants(),
            ..victim
        })
    }

    /// Which process it is: `pid@start`, the start in clock ticks since boot.
    pub fn name(&self) -> String {
        name(&self.process)
    }

    /// Which processes were stopped with it.
    pub fn others(&self) -> Vec<String> {
        self.others.iter().map(name).collect()
    }

    /// Whether anything of it is stopped.
    pub fn is_stopped(&self) -> bool {
        self.all().any(is_stopped)
    }

    /// Sends the signal. It is not sent to another process that has the pid by now.
    pub fn strike(&self, strike: Strike) -> Result<(), String> {
        match strike {
            Strike::Kill => send(&self.process, Signal::SIGKILL),
            // Its descendants follow when it can make no more of them.
            Strike::Stop => send(&self.process, Signal::SIGSTOP),
            Strike::Continue => {
                let stopped: Vec<&ProcessIdentity> =
                    self.all().filter(|process| is_stopped(process)).collect();
                if stopped.is_empty() {
                    return Err("none of its processes was stopped any more".to_owned());
                }
                // The first one goes on last: whoever comes upon the rest finds it stopped.
                let sent: Vec<Result<(), String>> = stopped
                    .into_iter()
                    .rev()
                    .map(|process| send(process, Signal::SIGCONT))
                    .collect();
                sent.into_iter().collect()
            }
        }
    }

    /// Waits until the signal has done what it says; with SIGSTOP, to all descendants too.
    pub async fn confirm(&mut self, strike: Strike) -> Struck {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Before it is stopped it may make more of them.
            let all_known = strike != Strike::Stop || is_stopped(&self.process);
            if all_known && strike == Strike::Stop {
                self.stop_descendants();
            }
            let mut struck = self.look(strike);
            struck.confirmed &= all_known;
            if struck.confirmed || Instant::now() >= deadline {
                return struck;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the signal has done what it says.
    pub fn look(&self, strike: Strike) -> Struck {
        let seen = self.process.state();
        let confirmed = match strike {
            Strike::Kill => matches!(seen, None | Some('Z' | 'X')),
            Strike::Stop => {
                seen == Some('T')
                    && self
                        .others
                        .iter()
                        .all(|other| is_stopped(other) || !other.is_alive())
            }
            Strike::Continue => seen.is_some() && !self.is_stopped(),
        };
        let mut evidence = match seen {
            None => format!("/proc/{} is gone", self.process.pid),
            Some(state) => {
                format!("/proc/{}/stat says state {state}", self.process.pid)
            }
        };
        if strike != Strike::Kill && !self.others.is_empty() {
            let stopped = self.others.iter().filter(|other| is_stopped(other)).count();
            let all = self.others.len();
            evidence = format!("{evidence}; of {all} descendants {stopped} are in state T");
        }
        Struck {
            confirmed,
            evidence,
        }
    }

    /// A process that is stopped makes no more of them, so this finds all, at the latest the next time.
    fn stop_descendants(&mut self) {
        self.others = self.process.descendants();
        for other in self.others.iter().filter(|other| !is_stopped(other)) {
            // Those that have ended meanwhile are not there the next time.
            let _ = send(other, Signal::SIGSTOP);
        }
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &ProcessIdentity> {
        std::iter::once(&self.process).chain(&self.others)
    }
}

fn name(process: &ProcessIdentity) -> String {
    format!("{}@{}", process.pid, process.start_ticks)
}

fn is_stopped(process: &ProcessIdentity) -> bool {
    process.state() == Some('T')
}

fn send(process: &ProcessIdentity, signal: Signal) -> Result<(), String> {
    if !process.is_alive() {
        return Err("the process had ended before".to_owned());
    }
    kill(Pid::from_raw(process.pid), signal).map_err(|error| error.to_string())
}

/// Lets what is stopped of these instances go on, as a drill that was killed may have left it. Gives their names.
pub fn wake(instances: &[InstanceStatus]) -> Vec<String> {
    instances
        .iter()
        .filter_map(Victim::with_descendants)
        .filter(|victim| victim.is_stopped() && victim.strike(Strike::Continue).is_ok())
        .map(|victim| victim.instance)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn victim(pid: u32) -> Victim {
        Victim {
            instance: "sleeper-0".to_owned(),
            process: ProcessIdentity::of(i32::try_from(pid).unwrap()).unwrap(),
            others: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_strike_is_confirmed_by_what_the_kernel_says() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut victim = victim(child.id());
        for strike in [Strike::Stop, Strike::Continue, Strike::Kill] {
            victim.strike(strike).unwrap();
            let struck = victim.confirm(strike).await;
            assert!(struck.confirmed, "{strike:?}: {struck:?}");
        }
        child.wait().unwrap();
        assert!(victim.strike(Strike::Kill).is_err());
    }

    #[tokio::test]
    async fn descendants_in_sessions_of_their_own_are_stopped_and_go_on_with_it() {
        let script = "setsid sleep 60 & setsid sh -c 'sleep 60 & wait' & wait";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut victim = victim(child.id());
        let deadline = Instant::now() + Duration::from_secs(20);
        while victim.process.descendants().len() < 3 {
            assert!(
                Instant::now() < deadline,
                "{:?}",
                victim.process.descendants()
            );
            sleep(LOOK_EVERY).await;
        }
        victim.strike(Strike::Stop).unwrap();
        let struck = victim.confirm(Strike::Stop).await;
        assert!(struck.confirmed, "{struck:?}");
        assert_eq!(victim.others.len(), 3);
        assert!(victim.all().all(is_stopped), "{struck:?}");
        victim.strike(Strike::Continue).unwrap();
        let struck = victim.confirm(Strike::Continue).await;
        assert!(struck.confirmed && !victim.is_stopped(), "{struck:?}");
        assert!(victim.strike(Strike::Continue).is_err());
        for process in victim.all() {
            send(process, Signal::SIGKILL).unwrap();
        }
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn what_did_not_happen_is_not_confirmed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let struck = victim(child.id()).confirm(Strike::Stop).await;
        assert!(!struck.confirmed, "{struck:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
