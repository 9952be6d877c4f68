//! A living process, held by a pidfd so that signals and the news of its end can never go to a namesake.
//!
//! Works alike for children and for processes that were adopted from a supervisor before; of the latter the exit
//! code cannot be known.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::identity::{ProcessIdentity, boot_id, group_members, process_stat};
use super::spec::StopSignal;

/// How often the members of a dead leader's group are looked for, in case they fork meanwhile.
const SWEEPS: usize = 10;

/// A process that lived when it was opened.
#[derive(Debug)]
pub(super) struct Process {
    identity: ProcessIdentity,
    pidfd: AsyncFd<OwnedFd>,
}

/// How a child ended; of a process that is not our child neither is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

impl Process {
    /// Takes hold of a process that was just forked: it may have ended already, and is still told from others.
    pub(super) fn of_child(identity: ProcessIdentity) -> io::Result<Self> {
        let pidfd = open(identity.pid)?;
        Self::hold(identity, pidfd)
    }

    /// Takes hold of a recorded process; none if it is gone.
    pub(super) fn of_record(identity: ProcessIdentity) -> io::Result<Option<Self>> {
        let pidfd = match open(identity.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(None),
            // A pid that is now a thread's id is nobody's.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            Err(error) => return Err(error),
        };
        // The pidfd is opened first: what is then true of the pid is true of what the pidfd holds.
        if identity.is_alive() {
            Ok(Some(Self::hold(identity, pidfd)?))
        } else {
            Ok(None)
        }
    }

    fn hold(identity: ProcessIdentity, pidfd: OwnedFd) -> io::Result<Self> {
        let pidfd = register(pidfd)?;
        Ok(Self { identity, pidfd })
    }

    pub(super) fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// The kernel's letter for what it does: `T` is stopped, `D` waits for a device.
    pub(super) fn kernel_state(&self) -> Option<char> {
        self.identity.stat().map(|stat| char::from(stat.state))
    }

    /// Waits for its end. May be dropped and asked again at any time.
    pub(super) async fn exited(&self) {
        loop {
            let Ok(mut ready) = self.pidfd.readable().await else {
                // Only a runtime that shuts down gets here, and it drops this future next.
                return std::future::pending().await;
            };
            if self.has_exited() {
                return;
            }
            ready.clear_ready();
        }
    }

    fn has_exited(&self) -> bool {
        let mut poll = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Does what a process that has ended leaves to do: kills what is left of its group, then takes its exit status, so
    /// that a child does not stay a zombie. In this order, because a zombie keeps its pid, and so the number of its
    /// group, from being given to somebody else.
    pub(super) fn bury(&self) -> Ending {
        self.sweep_group();
        self.reap()
    }

    fn reap(&self) -> Ending {
        let id = WaitId::PidFd(self.pidfd.as_fd());
        match rustix::process::waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => Ending {
                code: status.exit_status(),
                signal: status.terminating_signal(),
            },
            _ => Ending::default(),
        }
    }

    /// Asks it to end. A stopped process is woken, or it could not follow.
    pub(super) fn ask_to_stop(&self, signal: StopSignal) {
        self.send(match signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
        });
        self.send(Signal::CONT);
    }

    /// Ends it and what is left of its process group.
    pub(super) fn kill(&self) {
        self.send(Signal::KILL);
        self.sweep_group();
    }

    /// Ends it with all of its descendants, also those in groups of their own: the ones of a Postgres look after
    /// themselves, but not when they are stopped, and then the next one could not use its memory. Never meant for a
    /// supervisor, whose descendants are the shop.
    pub(super) fn kill_with_descendants(&self) {
        // A parent that is dead has no children any more.
        let descendants = self.identity.descendants();
        self.kill();
        for descendant in descendants {
            if let Ok(Some(process)) = Self::of_record(descendant) {
                process.send(Signal::KILL);
            }
        }
    }

    fn send(&self, signal: Signal) {
        // It may have ended in between, which is what is wanted.
        let _ = rustix::process::pidfd_send_signal(self.pidfd.get_ref(), signal);
    }

    /// Kills what the process left behind in its group: a server started anew must not meet its own past. Servers
    /// that give their children sessions of their own, as Postgres does, look after them themselves.
    ///
    /// A process that was adopted is no zombie of ours: its pid may be somebody else's already.
    fn sweep_group(&self) {
        sweep_leftovers(&self.identity);
    }

    /// Waits for its end for some time; false when it still lives.
    pub(super) async fn exited_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.exited()).await.is_ok()
    }
}

/// Kills what a process that has ended left behind in its group.
pub(super) fn sweep_leftovers(dead: &ProcessIdentity) {
    // While a group has members the kernel gives its number to no new process. Who has it now is a namesake whose
    // group is its own, and then nothing of ours is left.
    let namesake = process_stat(dead.pid).is_some() && dead.stat().is_none();
    if !namesake && boot_id().is_ok_and(|boot| boot == dead.boot_id) {
        sweep_group(dead.pid);
    }
}

fn sweep_group(group: i32) {
    for _ in 0..SWEEPS {
        let members = group_members(group);
        if members.is_empty() {
            return;
        }
        for pid in members {
            let Ok(pidfd) = open(pid) else { continue };
            if process_stat(pid).is_some_and(|stat| stat.group == group) {
                let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
            }
        }
    }
}

#[allow(
    unsafe_code,
    reason = "the runtime cannot know that the file stays open while it is watched"
)]
fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and the same until it is dropped, and `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;

    /// A shell in a group of its own.
    fn shell(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    fn identity(child: &Child) -> ProcessIdentity {
        ProcessIdentity::of(i32::try_from(child.id()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_a_process_left_is_killed_before_its_pid_is_given_back() {
        let mut leader = shell("sleep 1000 >/dev/null & exit 7");
        let identity = identity(&leader);
        let process = Process::of_child(identity.clone()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        process.exited().await;
        let left = group_members(identity.pid);
        assert_eq!(left.len(), 1, "the shell left its child");
        // Until it is buried the leader keeps its number: nobody else can have it when the group is swept.
        assert!(identity.stat().is_some());
        assert_eq!(process.bury().code, Some(7));
        assert!(identity.stat().is_none());
        assert!(leader.wait().is_err(), "its status was taken already");
        while !group_members(identity.pid).is_empty() {
            assert!(Instant::now() < deadline, "what was left still lives");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_child_that_made_itself_a_session_and_is_stopped_is_killed_with_its_parent() {
        let mut leader = shell("setsid sh -c 'kill -STOP $$' >/dev/null & echo; wait");
        let process = Process::of_child(identity(&leader)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let child = loop {
            let descendants = process.identity.descendants();
            let stopped = descendants
                .into_iter()
                .find(|child| child.state() == Some('T'));
            if let Some(stopped) = stopped {
                break stopped;
            }
            assert!(Instant::now() < deadline, "it did not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(!group_members(process.pid()).contains(&child.pid));
        process.kill_with_descendants();
        process.exited().await;
        while child.is_alive() {
            assert!(Instant::now() < deadline, "the stopped child still lives");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        leader.wait().unwrap();
    }

    #[test]
    fn the_group_of_a_namesake_is_left_alone() {
        let mut namesake = shell("sleep 1000 >/dev/null & echo; wait");
        let mut line = [0];
        std::io::Read::read_exact(namesake.stdout.as_mut().unwrap(), &mut line).unwrap();
        let dead = ProcessIdentity {
            start_ticks: 1,
            ..identity(&namesake)
        };
        let members = group_members(dead.pid);
        assert!(!members.is_empty());
        sweep_leftovers(&dead);
        for pid in &members {
            let state = process_stat(*pid).map(|stat| stat.state);
            assert!(state.is_some_and(|state| state != b'Z'), "{pid} was harmed");
        }
        for pid in members {
            let _ = open(pid).map(|pidfd| rustix::process::pidfd_send_signal(pidfd, Signal::KILL));
        }
        namesake.kill().unwrap();
        namesake.wait().unwrap();
    }
}
