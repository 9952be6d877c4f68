//! Breaks a process on purpose, and knows for certain whether it did.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::supervisor::{InstanceStatus, ProcessIdentity};

/// How long the kernel may take to do what a signal says.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A process that is to be broken: it and no other that may have its pid later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The instance.
    pub instance: String,
    process: ProcessIdentity,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// Whether the process is known to be in the state that was wanted.
    pub confirmed: bool,
    /// What was seen of it.
    pub evidence: String,
}

impl Victim {
    /// The process of an instance; none if it has none.
    pub fn of(instance: &InstanceStatus) -> Option<Self> {
        Some(Self {
            instance: instance.instance.clone(),
            process: ProcessIdentity::of(instance.pid?)?,
        })
    }

    /// Which process it is: `pid@start`, the start in clock ticks since boot.
    pub fn name(&self) -> String {
        format!("{}@{}", self.process.pid, self.process.start_ticks)
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self) -> bool {
        self.process.state() == Some('T')
    }

    /// Sends the signal. It is not sent to another process that has the pid by now.
    pub fn strike(&self, strike: Strike) -> Result<(), String> {
        if !self.process.is_alive() {
            return Err("the process had ended before".to_owned());
        }
        let signal = match strike {
            Strike::Kill => Signal::SIGKILL,
            Strike::Stop => Signal::SIGSTOP,
            Strike::Continue => Signal::SIGCONT,
        };
        kill(Pid::from_raw(self.process.pid), signal).map_err(|error| error.to_string())
    }

    /// Waits until the signal has done what it says.
    pub async fn confirm(&self, strike: Strike) -> Struck {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.process.state();
            let confirmed = match strike {
                Strike::Kill => matches!(seen, None | Some('Z' | 'X')),
                Strike::Stop => seen == Some('T'),
                Strike::Continue => matches!(seen, Some(state) if state != 'T'),
            };
            if confirmed || Instant::now() >= deadline {
                return Struck {
                    confirmed,
                    evidence: match seen {
                        None => format!("/proc/{} is gone", self.process.pid),
                        Some(state) => {
                            format!("/proc/{}/stat says state {state}", self.process.pid)
                        }
                    },
                };
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn victim(pid: u32) -> Victim {
        Victim {
            instance: "sleeper-0".to_owned(),
            process: ProcessIdentity::of(i32::try_from(pid).unwrap()).unwrap(),
        }
    }

    #[tokio::test]
    async fn a_strike_is_confirmed_by_what_the_kernel_says() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let victim = victim(child.id());
        for strike in [Strike::Stop, Strike::Continue, Strike::Kill] {
            victim.strike(strike).unwrap();
            let struck = victim.confirm(strike).await;
            assert!(struck.confirmed, "{strike:?}: {struck:?}");
        }
        child.wait().unwrap();
        assert!(victim.strike(Strike::Kill).is_err());
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
