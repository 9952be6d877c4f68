//! Who is broken, how, and what undoes it.

use std::sync::Arc;
use std::time::Duration;

use super::draw::draw;
use super::error::DrillError;
use super::history::{Fault, FaultKind, Micros, Record};
use super::journal::Journal;
use super::ready::instances;
use super::run::Drill;
use super::scenario::{self, ScenarioPlan};
use crate::supervisor::InstanceStatus;
use crate::target::local::{Strike, Struck, Victim};

/// A process that was told to go on does so at once; this is for one that the kernel holds.
const UNTIL_IT_GOES_ON: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Drill<'_> {
    /// Draws whom it hits.
    pub(super) async fn victims(&self, plan: &ScenarioPlan) -> Result<Vec<Victim>, DrillError> {
        let mut candidates: Vec<InstanceStatus> = instances(self.series.folder.run_dir())
            .await?
            .into_iter()
            .filter(|instance| instance.component == plan.victims.component)
            .filter(|instance| {
                plan.victims
                    .role
                    .is_none_or(|role| instance.role.as_deref() == Some(role))
            })
            .collect();
        candidates.sort_by(|one, two| one.instance.cmp(&two.instance));
        let first = draw(
            self.series.seed,
            (&scenario::name(self.scenario), self.run),
            "victim",
            candidates.len() as u64,
        );
        let candidate_count = candidates.len();
        if candidate_count > 0 {
            candidates.rotate_left(usize::try_from(first).unwrap_or(0) % candidate_count);
        }
        let victims: Vec<Victim> = candidates
            .iter()
            .take(plan.victims.count.of(candidate_count))
            .filter_map(Victim::of)
            .collect();
        if victims.is_empty() {
            return Err(DrillError::NoVictim {
                component: plan.victims.component.to_owned(),
                role: plan.victims.role.map(str::to_owned),
            });
        }
        Ok(victims)
    }
}

/// Those that are struck. Whatever ends the drill, what was stopped goes on; those that the supervisor has replaced are
/// gone.
pub(super) struct Breakage {
    victims: Vec<Victim>,
    journal: Arc<Journal>,
}

impl Breakage {
    pub(super) fn new(victims: Vec<Victim>, journal: &Arc<Journal>) -> Self {
        Self {
            victims,
            journal: Arc::clone(journal),
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self
            .victims
            .iter()
            .map(|victim| victim.instance.as_str())
            .collect();
        names.join(", ")
    }

    /// Strikes all at once, then looks at each and writes it down. Says which were not struck, and why.
    pub(super) async fn strike(&mut self, kind: FaultKind) -> Result<(), String> {
        let strike = match kind {
            FaultKind::Kill => Strike::Kill,
            FaultKind::Stop => Strike::Stop,
            FaultKind::Continue => Strike::Continue,
        };
        let sent: Vec<(Micros, Result<(), String>)> = self
            .victims
            .iter()
            .map(|victim| {
                let sent = victim.strike(strike);
                (self.journal.now(), sent)
            })
            .collect();
        let mut failed = Vec::new();
        for (victim, (at, sent)) in self.victims.iter_mut().zip(sent) {
            let struck = match sent {
                Ok(()) => victim.confirm(strike).await,
                Err(evidence) => Struck {
                    confirmed: false,
                    evidence,
                },
            };
            if !struck.confirmed {
                failed.push(format!("{}: {}", victim.instance, struck.evidence));
            }
            note(&self.journal, victim, kind, at, struck);
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// Whether anything of them is stopped still.
    pub(super) fn hangs(&self) -> bool {
        self.victims.iter().any(Victim::is_stopped)
    }

    /// Where all of it is written down.
    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }
}

fn note(journal: &Journal, victim: &Victim, kind: FaultKind, at: Micros, struck: Struck) {
    journal.write(Record::Fault(Fault {
        at,
        kind,
        instance: victim.instance.clone(),
        process: victim.name(),
        others: if kind == FaultKind::Kill {
            Vec::new()
        } else {
            victim.others()
        },
        evidence: Some(struck.evidence),
        confirmed: struck.confirmed,
    }));
}

impl Drop for Breakage {
    fn drop(&mut self) {
        for victim in &self.victims {
            if !victim.is_stopped() {
                continue;
            }
            let sent = victim.strike(Strike::Continue);
            let at = self.journal.now();
            let deadline = std::time::Instant::now() + UNTIL_IT_GOES_ON;
            let mut struck = victim.look(Strike::Continue);
            while sent.is_ok() && !struck.confirmed && std::time::Instant::now() < deadline {
                std::thread::sleep(LOOK_EVERY);
                struck = victim.look(Strike::Continue);
            }
            if let Err(reason) = sent {
                struck = Struck {
                    confirmed: false,
                    evidence: reason,
                };
            }
            note(&self.journal, victim, FaultKind::Continue, at, struck);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use time::OffsetDateTime;

    use super::*;
    use crate::drill::sample::honest;
    use crate::supervisor::InstanceState;

    fn sleeper() -> (Child, InstanceStatus) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let status = InstanceStatus {
            component: "sleeper".to_owned(),
            instance: "sleeper-0".to_owned(),
            role: None,
            state: InstanceState::Running,
            ready: true,
            address: String::new(),
            pid: i32::try_from(child.id()).ok(),
            restarts: 0,
            since: OffsetDateTime::now_utc(),
            spec_hash: None,
            last_exit: None,
            last_probe: None,
        };
        (child, status)
    }

    fn journal() -> Arc<Journal> {
        let journal = Journal::new(tempfile::tempfile().unwrap());
        journal.write(Record::Plan(honest().plan));
        Arc::new(journal)
    }

    #[tokio::test]
    async fn a_process_that_had_ended_before_is_written_down_as_not_struck() {
        let (mut child, status) = sleeper();
        let victim = Victim::of(&status).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let journal = journal();
        let mut breakage = Breakage::new(vec![victim], &journal);
        let refused = breakage.strike(FaultKind::Kill).await.unwrap_err();
        assert!(refused.contains("sleeper-0"), "{refused}");
        drop(breakage);
        let history = journal.history().unwrap();
        assert_eq!(history.faults.len(), 1);
        assert!(!history.faults[0].confirmed);
        assert_eq!(history.fault_at(), None);
    }

    #[tokio::test]
    async fn what_is_still_stopped_when_a_drill_ends_goes_on_and_that_is_written_down() {
        let (mut child, status) = sleeper();
        let journal = journal();
        let mut breakage = Breakage::new(vec![Victim::of(&status).unwrap()], &journal);
        breakage.strike(FaultKind::Stop).await.unwrap();
        assert!(breakage.hangs());
        drop(breakage);
        assert!(!Victim::of(&status).unwrap().is_stopped());
        let faults = journal.history().unwrap().faults;
        let kinds: Vec<(FaultKind, bool)> = faults
            .iter()
            .map(|fault| (fault.kind, fault.confirmed))
            .collect();
        assert_eq!(
            kinds,
            [(FaultKind::Stop, true), (FaultKind::Continue, true)]
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
