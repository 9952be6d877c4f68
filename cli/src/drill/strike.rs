//! Who is broken, how, and what undoes it.

use std::sync::Arc;

use futures_util::future::join_all;

use super::draw::draw;
use super::error::DrillError;
use super::ground::{Struck, Victim};
use super::history::{Fault, FaultKind, Record};
use super::journal::Journal;
use super::run::Drill;
use super::scenario::{self, ScenarioPlan};

impl Drill<'_> {
    /// Draws whom it hits.
    pub(super) async fn victims(
        &self,
        plan: &ScenarioPlan,
    ) -> Result<Vec<Box<dyn Victim>>, DrillError> {
        let name = scenario::name(self.scenario);
        let drawn = |below| draw(self.series.seed, (&name, self.run), "victim", below);
        self.series
            .ground
            .victims(plan.victims, plan.fault, &drawn)
            .await
    }
}

/// Those that are struck. Whatever ends the drill, what can be mended at once is mended then; those that were replaced are
/// gone.
pub(super) struct Breakage {
    victims: Vec<Box<dyn Victim>>,
    undone_by: Option<FaultKind>,
    journal: Arc<Journal>,
}

impl Breakage {
    /// Nobody is broken yet.
    pub(super) fn new(journal: &Arc<Journal>) -> Self {
        Self {
            victims: Vec::new(),
            undone_by: None,
            journal: Arc::clone(journal),
        }
    }

    /// These are to be broken.
    pub(super) fn of(&mut self, victims: Vec<Box<dyn Victim>>) {
        self.victims = victims;
    }

    /// Their names.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.victims.iter().map(|victim| victim.name()).collect();
        names.join(", ")
    }

    /// Strikes all at once, looks at each and writes it down. Says which were not struck, and why.
    pub(super) async fn strike(&mut self, kind: FaultKind) -> Result<(), String> {
        self.undone_by = kind.undone_by().or(self.undone_by);
        let clock = {
            let journal = Arc::clone(&self.journal);
            move || journal.now()
        };
        let striking = self
            .victims
            .iter_mut()
            .map(|victim| victim.strike(kind, &clock));
        let all = join_all(striking).await;
        let mut failed = Vec::new();
        for (victim, struck) in self.victims.iter().zip(all) {
            if !struck.confirmed {
                failed.push(format!("{}: {}", victim.name(), struck.evidence));
            }
            note(&self.journal, &**victim, kind, &struck);
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// Mends what is still broken. Says what could not be mended, and why.
    pub(super) async fn mend(&mut self) -> Result<(), String> {
        match self.undone_by {
            Some(kind) if self.is_broken() => {
                self.victims.retain(|victim| victim.is_broken());
                self.strike(kind).await
            }
            _ => Ok(()),
        }
    }

    /// Whether anything of them is broken still.
    pub(super) fn is_broken(&self) -> bool {
        self.victims.iter().any(|victim| victim.is_broken())
    }

    /// Whether one of them was told to end and has not done so yet.
    pub(super) fn is_ending(&self) -> bool {
        self.victims.iter().any(|victim| victim.is_ending())
    }

    /// Where all of it is written down.
    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }
}

fn note(journal: &Journal, victim: &dyn Victim, kind: FaultKind, struck: &Struck) {
    for hit in victim.hits() {
        journal.write(Record::Fault(Fault {
            at: struck.at,
            kind,
            instance: hit.instance,
            process: hit.process,
            others: if kind == FaultKind::Kill {
                Vec::new()
            } else {
                hit.others
            },
            evidence: Some(struck.evidence.clone()),
            confirmed: struck.confirmed,
        }));
    }
}

impl Drop for Breakage {
    fn drop(&mut self) {
        let journal = Arc::clone(&self.journal);
        for victim in &mut self.victims {
            if let Some(struck) = victim.mend_at_once(&|| journal.now())
                && let Some(kind) = self.undone_by
            {
                note(&self.journal, &**victim, kind, &struck);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::ground::sleeper;
    use crate::drill::sample::honest;

    fn journal() -> Arc<Journal> {
        let journal = Journal::new(tempfile::tempfile().unwrap());
        journal.write(Record::Plan(honest().plan));
        Arc::new(journal)
    }

    fn breakage(victim: Box<dyn Victim>, journal: &Arc<Journal>) -> Breakage {
        let mut breakage = Breakage::new(journal);
        breakage.of(vec![victim]);
        breakage
    }

    fn kinds(journal: &Journal) -> Vec<(FaultKind, bool)> {
        let faults = journal.history().unwrap().faults;
        faults
            .iter()
            .map(|fault| (fault.kind, fault.confirmed))
            .collect()
    }

    const BROKEN_AND_MENDED: [(FaultKind, bool); 2] =
        [(FaultKind::Stop, true), (FaultKind::Continue, true)];

    #[tokio::test]
    async fn a_process_that_had_ended_before_is_written_down_as_not_struck() {
        let (mut child, victim) = sleeper();
        child.kill().unwrap();
        child.wait().unwrap();
        let journal = journal();
        let mut breakage = breakage(victim, &journal);
        let refused = breakage.strike(FaultKind::Kill).await.unwrap_err();
        assert!(refused.contains("sleeper-0"), "{refused}");
        drop(breakage);
        assert_eq!(kinds(&journal), [(FaultKind::Kill, false)]);
        assert_eq!(journal.history().unwrap().fault_at(), None);
    }

    #[tokio::test]
    async fn what_is_still_stopped_when_a_drill_is_dropped_goes_on_and_that_is_written_down() {
        let (mut child, victim) = sleeper();
        let journal = journal();
        let mut breakage = breakage(victim, &journal);
        breakage.strike(FaultKind::Stop).await.unwrap();
        assert!(breakage.is_broken());
        drop(breakage);
        assert_eq!(kinds(&journal), BROKEN_AND_MENDED);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn what_is_mended_is_not_mended_again() {
        let (mut child, victim) = sleeper();
        let journal = journal();
        let mut breakage = breakage(victim, &journal);
        breakage.strike(FaultKind::Stop).await.unwrap();
        breakage.mend().await.unwrap();
        assert!(!breakage.is_broken());
        breakage.mend().await.unwrap();
        drop(breakage);
        assert_eq!(kinds(&journal), BROKEN_AND_MENDED);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
