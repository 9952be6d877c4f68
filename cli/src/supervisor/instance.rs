//! Keeps one instance as it is wanted: a task that adopts or starts its process, asks how it is, replaces it when it
//! dies or hangs, and stops it when it is no longer wanted.
//!
//! What is wanted comes over one channel, what is seen goes out over another; when the first closes the task ends and
//! leaves the process alone, which is how a supervisor hands over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;

use super::backoff::Backoff;
use super::error::SupervisorError;
use super::folder::StateFolder;
use super::health::{Answer, Health, Verdict};
use super::journal::Journal;
use super::probe::Prober;
use super::process::{Ending, Process, sweep_leftovers};
use super::record::ProcessRecord;
use super::spawn::spawn;
use super::spec::InstanceSpec;
use super::status::{Exit, InstanceState, InstanceStatus, ProbeOutcome, ProbeReport};

/// After SIGKILL a process is gone at once, unless the kernel holds it; then this often that is said.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What is wanted of an instance.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Whether it is to have a process.
    pub(super) run: bool,
    /// What its next process is started with.
    pub(super) spec: Arc<InstanceSpec>,
    /// A process that was started under a lower number is replaced.
    pub(super) generation: u64,
}

/// What is seen of an instance.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: InstanceStatus,
    /// The number under which its process was started.
    pub(super) generation: u64,
}

/// The task's own state.
pub(super) struct Keeper {
    folder: Arc<StateFolder>,
    journal: Arc<Journal>,
    name: String,
    wanted: watch::Receiver<Wanted>,
    seen: watch::Sender<Seen>,
    backoff: Backoff,
    restarts: u64,
    /// The process before ended without being asked to.
    died: bool,
    /// Not before then is it started again.
    not_before: Option<Instant>,
}

/// The present process.
struct Running {
    process: Process,
    spec: Arc<InstanceSpec>,
    prober: Option<Prober>,
    health: Health,
}

/// Why there is no process any more.
enum Gone {
    /// It ended by itself or was killed for a reason of ours.
    Died { reason: Option<String> },
    /// It was stopped as wanted.
    Stopped,
    /// The supervisor hands over.
    HandedOver,
}

/// What happens next to a running process.
enum Event {
    Exited,
    Wanted,
    HandedOver,
    Probed(Option<Answer>),
}

impl Keeper {
    /// Starts the task of an instance.
    pub(super) fn start(
        folder: Arc<StateFolder>,
        journal: Arc<Journal>,
        wanted: watch::Receiver<Wanted>,
    ) -> watch::Receiver<Seen> {
        let spec = Arc::clone(&wanted.borrow().spec);
        let status = InstanceStatus {
            component: spec.component.clone(),
            instance: spec.name.clone(),
            role: None,
            state: if wanted.borrow().run {
                InstanceState::Starting
            } else {
                InstanceState::Stopped
            },
            ready: false,
            address: spec.address.clone(),
            pid: None,
            restarts: 0,
            since: OffsetDateTime::now_utc(),
            spec_hash: None,
            last_exit: None,
            last_probe: None,
        };
        let (seen, receiver) = watch::channel(Seen {
            status,
            generation: 0,
        });
        let mut keeper = Self {
            folder,
            journal,
            name: spec.name.clone(),
            wanted,
            seen,
            backoff: Backoff::default(),
            restarts: 0,
            died: false,
            not_before: None,
        };
        // Before this function returns, what lives is adopted: who looks next sees what is.
        let adopted = keeper.adopt();
        tokio::spawn(keeper.keep(adopted));
        receiver
    }

    async fn keep(mut self, adopted: Option<Running>) {
        let mut running = adopted;
        loop {
            if let Some(mut present) = running.take() {
                match self.attend(&mut present).await {
                    Gone::HandedOver => return,
                    Gone::Stopped => self.bury(&present, None, false),
                    Gone::Died { reason } => self.bury(&present, reason, true),
                }
            }
            match self.wait_until_due().await {
                Ok(()) => running = self.adopt().or_else(|| self.start_process()),
                Err(HandedOver) => return,
            }
        }
    }

    /// Takes over the recorded process, if it lives.
    fn adopt(&mut self) -> Option<Running> {
        let record = match ProcessRecord::load(&self.folder, &self.name) {
            Ok(record) => record?,
            Err(error) => {
                self.fail_to_start(&error);
                return None;
            }
        };
        let identity = record.identity();
        let same_boot = super::identity::boot_id().is_ok_and(|boot| boot == record.boot_id);
        match Process::of_record(identity.clone()) {
            Ok(Some(process)) => {
                self.restarts = record.restarts;
                self.journal
                    .note(&self.name, format_args!("adopted pid {}", process.pid()));
                Some(self.take_up(process, Arc::new(record.spec), record.started_at))
            }
            Ok(None) => {
                if self.seen.borrow().status.pid.is_none() && !self.died && same_boot {
                    sweep_leftovers(&identity);
                    self.restarts = record.restarts;
                    self.died = true;
                    self.journal.note(
                        &self.name,
                        format_args!("pid {} ended while nobody watched", record.pid),
                    );
                }
                None
            }
            Err(source) => {
                self.fail_to_start(&SupervisorError::System {
                    action: "take hold of a recorded process",
                    source,
                });
                None
            }
        }
    }

    fn start_process(&mut self) -> Option<Running> {
        // A record that cannot be read may be of a process that lives: starting a second one would be worse.
        if self.not_before.is_some_and(|due| due > Instant::now()) {
            return None;
        }
        let spec = Arc::clone(&self.wanted.borrow().spec);
        let started_at = OffsetDateTime::now_utc();
        let restarts = self.restarts + u64::from(self.died);
        let started = spawn(&self.folder, &spec, restarts, started_at).and_then(|identity| {
            Process::of_child(identity).map_err(|source| SupervisorError::System {
                action: "take hold of a new process",
                source,
            })
        });
        match started {
            Ok(process) => {
                self.restarts = restarts;
                self.died = false;
                self.journal
                    .note(&self.name, format_args!("started pid {}", process.pid()));
                Some(self.take_up(process, spec, started_at))
            }
            Err(error) => {
                self.fail_to_start(&error);
                None
            }
        }
    }

    /// Shows a process as the present one and prepares to ask it how it is.
    fn take_up(
        &mut self,
        process: Process,
        spec: Arc<InstanceSpec>,
        started_at: OffsetDateTime,
    ) -> Running {
        let prober = Prober::new(&spec);
        let restarts = self.restarts;
        let generation = self.wanted.borrow().generation;
        self.seen.send_modify(|seen| {
            let ready = prober.is_none();
            seen.generation = generation;
            seen.status = InstanceStatus {
                component: spec.component.clone(),
                instance: spec.name.clone(),
                role: None,
                state: if ready {
                    InstanceState::Running
                } else {
                    InstanceState::Starting
                },
                ready,
                address: spec.address.clone(),
                pid: Some(process.pid()),
                restarts,
                since: started_at,
                spec_hash: Some(spec.spec_hash.clone()),
                last_exit: seen.status.last_exit.take(),
                last_probe: None,
            };
        });
        let age = Duration::try_from(OffsetDateTime::now_utc() - started_at).unwrap_or_default();
        let health = Health::new(Instant::now(), age, spec.probe.as_ref());
        Running {
            process,
            spec,
            prober,
            health,
        }
    }

    /// Watches over the present process until it is gone.
    async fn attend(&mut self, present: &mut Running) -> Gone {
        let mut next_probe = Instant::now();
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            if !wanted.run || wanted.generation > self.seen.borrow().generation {
                self.stop(present).await;
                return Gone::Stopped;
            }
            match self.next_event(present, next_probe).await {
                Event::Exited => return Gone::Died { reason: None },
                Event::HandedOver => return Gone::HandedOver,
                Event::Wanted | Event::Probed(None) => {}
                Event::Probed(Some(answer)) => {
                    if let Some(reason) = self.judge(present, answer) {
                        self.journal.note(
                            &self.name,
                            format_args!("killing pid {}: {reason}", present.process.pid()),
                        );
                        self.kill(&present.process).await;
                        return Gone::Died {
                            reason: Some(reason),
                        };
                    }
                    let pause = present
                        .prober
                        .as_ref()
                        .map(|prober| present.health.pause(prober.spec()));
                    next_probe = Instant::now() + pause.unwrap_or_default();
                }
            }
        }
    }

    async fn next_event(&mut self, present: &mut Running, next_probe: Instant) -> Event {
        let Running {
            process, prober, ..
        } = present;
        let probe = async {
            match prober {
                Some(prober) => {
                    tokio::time::sleep_until(next_probe.into()).await;
                    prober.ask().await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = process.exited() => Event::Exited,
            changed = self.wanted.changed() => if changed.is_ok() { Event::Wanted } else { Event::HandedOver },
            answer = probe => Event::Probed(answer),
        }
    }

    /// Takes an answer into the status; gives the reason if the process is to be replaced for it.
    fn judge(&mut self, present: &mut Running, answer: Answer) -> Option<String> {
        let spec = present.prober.as_ref()?.spec().clone();
        let verdict = present.health.record(&answer, &spec, Instant::now());
        let (outcome, role, detail) = match answer {
            Answer::Ready { role, detail } => (ProbeOutcome::Ready, role, detail),
            Answer::Alive { role, detail } => (ProbeOutcome::Alive, role, Some(detail)),
            Answer::Silent { detail } => (ProbeOutcome::Silent, None, Some(detail)),
        };
        let stopped =
            outcome == ProbeOutcome::Silent && present.process.kernel_state() == Some('T');
        let detail = if stopped {
            detail.map(|detail| format!("{detail}, and it is stopped (T)"))
        } else {
            detail
        };
        let report = ProbeReport {
            at: OffsetDateTime::now_utc(),
            outcome,
            detail,
            failures: present.health.failures(),
        };
        let (ready, was_ready) = (present.health.is_ready(), present.health.was_ready());
        if was_ready && self.seen.borrow().status.state == InstanceState::Starting {
            self.journal.note(
                &self.name,
                format_args!("pid {} is ready", present.process.pid()),
            );
        }
        self.seen.send_modify(|seen| {
            seen.status.state = if was_ready {
                InstanceState::Running
            } else {
                InstanceState::Starting
            };
            seen.status.ready = ready;
            // A process that is silent for a moment has not lost its role by that.
            if outcome != ProbeOutcome::Silent {
                seen.status.role = role;
            }
            seen.status.last_probe = Some(report);
        });
        match verdict {
            Verdict::Leave => None,
            Verdict::Replace { reason } => Some(reason),
        }
    }

    async fn stop(&mut self, present: &Running) {
        let stop = present.spec.stop;
        let pid = present.process.pid();
        self.journal
            .note(&self.name, format_args!("stopping pid {pid}"));
        self.seen.send_modify(|seen| seen.status.ready = false);
        present.process.ask_to_stop(stop.signal);
        if !present.process.exited_within(stop.timeout()).await {
            let seconds = stop.timeout_seconds;
            self.journal.note(
                &self.name,
                format_args!("pid {pid} did not end within {seconds} s: killing it"),
            );
            self.kill(&present.process).await;
        }
    }

    /// Kills a process and waits until it is gone: a second one must not start beside it.
    async fn kill(&self, process: &Process) {
        process.kill_with_descendants();
        while !process.exited_within(KILL_PATIENCE).await {
            let state = process.kernel_state().unwrap_or('?');
            let note = format_args!(
                "pid {} was killed and the kernel still holds it (state {state})",
                process.pid()
            )
            .to_string();
            self.journal.note(&self.name, note);
            process.kill_with_descendants();
        }
    }

    /// Does what a process that is gone leaves to do.
    fn bury(&mut self, present: &Running, reason: Option<String>, died: bool) {
        let pid = present.process.pid();
        let ending = present.process.bury();
        if died {
            let well_since = present.health.ready_since();
            let pause = self
                .backoff
                .pause(present.spec.restart, well_since, Instant::now());
            self.not_before = Some(Instant::now() + pause);
            let how = describe(ending);
            let milliseconds = pause.as_millis();
            self.journal.note(
                &self.name,
                format_args!("pid {pid} {how}; next start in {milliseconds} ms"),
            );
        } else {
            ProcessRecord::remove(&self.folder, &self.name);
            self.backoff.reset();
            self.not_before = None;
            self.journal
                .note(&self.name, format_args!("pid {pid} was stopped"));
        }
        self.died = died;
        let reason = reason.or_else(|| (!died).then(|| "stopped as wanted".to_owned()));
        self.show_gone(Exit {
            pid: Some(pid),
            code: ending.code,
            signal: ending.signal,
            at: OffsetDateTime::now_utc(),
            reason,
        });
    }

    fn fail_to_start(&mut self, error: &SupervisorError) {
        let spec = Arc::clone(&self.wanted.borrow().spec);
        let pause = self.backoff.pause(spec.restart, None, Instant::now());
        self.not_before = Some(Instant::now() + pause);
        self.journal.note(&self.name, error);
        let hint = error
            .hint()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        self.show_gone(Exit {
            pid: None,
            code: None,
            signal: None,
            at: OffsetDateTime::now_utc(),
            reason: Some(format!("{error}{hint}")),
        });
    }

    fn show_gone(&mut self, exit: Exit) {
        let run = self.wanted.borrow().run;
        self.seen.send_modify(|seen| {
            seen.status.state = if run {
                InstanceState::Failed
            } else {
                InstanceState::Stopped
            };
            seen.status.ready = false;
            seen.status.pid = None;
            seen.status.since = exit.at;
            seen.status.spec_hash = None;
            seen.status.last_exit = Some(exit);
        });
    }

    /// Waits until a process is wanted and the pause after a death is over. A change of what is wanted ends the pause.
    async fn wait_until_due(&mut self) -> Result<(), HandedOver> {
        loop {
            let run = self.wanted.borrow_and_update().run;
            if !run {
                self.died = false;
                self.seen.send_if_modified(|seen| {
                    let changed = seen.status.state != InstanceState::Stopped;
                    seen.status.state = InstanceState::Stopped;
                    changed
                });
                self.wanted.changed().await.map_err(|_| HandedOver)?;
                self.not_before = None;
                continue;
            }
            let Some(due) = self.not_before.filter(|&due| due > Instant::now()) else {
                self.not_before = None;
                return Ok(());
            };
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                changed = self.wanted.changed() => {
                    changed.map_err(|_| HandedOver)?;
                    self.not_before = None;
                    self.backoff.reset();
                }
            }
        }
    }
}

/// The supervisor ends and leaves the processes as they are.
struct HandedOver;

fn describe(ending: Ending) -> String {
    match (ending.code, ending.signal) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "ended".to_owned(),
    }
}
