//! Carries a plan out, step by step, and tells what it does.

use std::time::Duration;

use super::binary::ShopProgram;
use super::ready::{end_of, wait_ready, what_is_awaited};
use super::specs::spec;
use super::up::Up;
use super::{LocalError, ServerUser, files, secrets, tasks};
use crate::catalogue::ComponentKind;
use crate::event::Event;
use crate::plan::{Action, Plan, Step, Wave};
use crate::render::{RenderedInstance, SecretSet};
use crate::shop::{Shop, seed};
use crate::supervisor::{Client, WaitError, ensure_running};

/// Everything that carrying out the plan needs.
pub(super) struct Work<'a> {
    pub(super) up: &'a Up<'a>,
    pub(super) user: ServerUser,
    pub(super) secrets: SecretSet,
    pub(super) program: ShopProgram,
    pub(super) instances: Vec<RenderedInstance>,
    pub(super) client: Option<Client>,
    pub(super) shop: Shop,
}

impl Work<'_> {
    /// Carries out what is needed, and ends early at Ctrl-C.
    pub(super) async fn carry_out(&mut self, plan: &Plan) -> Result<(), LocalError> {
        for step in plan.steps.iter().filter(|step| step.needed) {
            self.up.observer.started(&*step.name);
            match self.carry_out_to_its_end(step).await {
                Ok(()) => self.up.observer.observe(Event::StepDone {
                    step: step.name.clone(),
                    changed: true,
                    detail: (!step.detail.is_empty()).then(|| step.detail.clone()),
                }),
                Err(error) => {
                    self.up.observer.failed(&*step.name, error.in_short());
                    return Err(error);
                }
            }
            if self.up.interrupt.is_pressed() {
                return Err(LocalError::Interrupted {
                    after: step.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Carries a step out, and says that Ctrl-C was heard if the step has to end first.
    async fn carry_out_to_its_end(&mut self, step: &Step) -> Result<(), LocalError> {
        let up = self.up;
        let mut carried_out = std::pin::pin!(self.carry_out_step(step));
        tokio::select! {
            biased;
            outcome = &mut carried_out => return outcome,
            () = up.interrupt.pressed() => {}
        }
        if !matches!(step.action, Action::Apply { .. }) {
            up.observer
                .note(format!("Ctrl-C: ends after the step \"{}\"", step.name));
        }
        carried_out.await
    }

    async fn carry_out_step(&mut self, step: &Step) -> Result<(), LocalError> {
        let folder = self.up.folder;
        match &step.action {
            Action::MakeUser => self.user = ServerUser::make()?,
            Action::MakeFolders => {
                let names: Vec<String> = self
                    .instances
                    .iter()
                    .map(|instance| instance.name.clone())
                    .collect();
                folder.make(&names, self.user)?;
            }
            Action::MakeSecrets { names } => {
                secrets::write(folder, &self.secrets, names, self.user)?;
            }
            Action::PlaceProgram => self.program.place()?,
            Action::WriteFiles { instances } => {
                for instance in &self.instances {
                    if instances.contains(&instance.name) {
                        files::write(folder, instance, self.user)?;
                    }
                }
            }
            Action::EnsureSupervisor => {
                self.client().await?;
            }
            Action::Apply { wave, stop_first } => {
                // What was begun goes on in the supervisor; only the wait for it ends.
                let interrupt = self.up.interrupt.clone();
                tokio::select! {
                    biased;
                    outcome = self.apply_again(step, *wave, stop_first) => outcome?,
                    () = interrupt.pressed() => {
                        let step = step.name.clone();
                        return Err(LocalError::InterruptedDuring { step });
                    }
                }
            }
            Action::RunTask { instance, name } => {
                let found = self.instances.iter().find(|found| found.name == *instance);
                if let Some((instance, task)) = found.and_then(|instance| {
                    Some((
                        instance,
                        instance.tasks.iter().find(|task| task.name == *name)?,
                    ))
                }) {
                    tasks::run(folder, self.user, instance, task).await?;
                }
            }
            Action::Seed => {
                seed::make(&self.shop, &self.up.environment.seed)
                    .await
                    .map_err(|error| LocalError::Seed {
                        reason: error.to_string(),
                    })?;
            }
        }
        Ok(())
    }

    /// A connection to a supervisor of this program, which is started or replaced if needed.
    async fn client(&mut self) -> Result<&mut Client, LocalError> {
        let client = if let Some(client) = self.client.take() {
            client
        } else {
            let own = std::env::current_exe().map_err(|error| LocalError::Program {
                program: "the supervisor".to_owned(),
                reason: error.to_string(),
            })?;
            ensure_running(self.up.folder.names(), &own, crate::COMMIT)
                .await?
                .0
        };
        Ok(self.client.insert(client))
    }

    /// Applies, and once more if the supervisor is lost meanwhile: another one adopts what lives and goes on.
    async fn apply_again(
        &mut self,
        step: &Step,
        wave: Wave,
        stop_first: &[String],
    ) -> Result<(), LocalError> {
        match self.apply(step, wave, stop_first).await {
            Err(error) if error.is_lost_supervisor() => {
                self.up
                    .observer
                    .note("the supervisor was lost on the way: another one goes on");
                self.client = None;
                self.apply(step, wave, stop_first).await
            }
            outcome => outcome,
        }
    }

    /// Starts, replaces and stops instances, and waits until those that are wanted are ready.
    async fn apply(
        &mut self,
        step: &Step,
        wave: Wave,
        stop_first: &[String],
    ) -> Result<(), LocalError> {
        let last = wave == Wave::Services;
        let instances: Vec<&RenderedInstance> = self
            .instances
            .iter()
            .filter(|instance| last || instance.kind != ComponentKind::Service)
            .collect();
        let specs: Vec<_> = instances
            .iter()
            .map(|instance| spec(self.up.folder, self.user, instance))
            .collect();
        let names: Vec<String> = instances
            .iter()
            .map(|instance| instance.name.clone())
            .collect();
        let patience: u64 = instances
            .iter()
            .filter_map(|instance| instance.probe.as_ref())
            .map(|probe| probe.start_seconds)
            .max()
            .unwrap_or(30);
        let observer = self.up.observer;
        let client = self.client().await?;
        if !stop_first.is_empty() {
            client.stop(stop_first).await?;
        }
        let applied = client.apply(&specs, last).await?;
        // Replacements go one by one, and each may take as long as a start.
        let turns = 1 + u64::try_from(applied.replacing.len()).unwrap_or(u64::MAX);
        let limit = Duration::from_secs(patience.saturating_mul(turns));
        let ready = wait_ready(client, &names, limit, |status| {
            if let Some(waiting_for) = what_is_awaited(status, &names) {
                observer.waiting(&*step.name, waiting_for);
            }
        });
        ready.await.map_err(|error| self.not_ready(error))?;
        if last {
            self.program.remove_others(self.up.folder)?;
        }
        Ok(())
    }

    /// The error of a wait, with the ends of the logs of those that were waited for.
    fn not_ready(&self, error: WaitError) -> LocalError {
        let late: Vec<&str> = match &error {
            WaitError::TimedOut { instances, .. } => instances
                .iter()
                .map(|instance| instance.instance.as_str())
                .collect(),
            WaitError::RolloutStopped { instance, .. } => vec![instance],
            WaitError::Supervisor(_) => Vec::new(),
        };
        let logs = late
            .into_iter()
            .filter_map(|name| {
                let end = end_of(&self.up.folder.log(name))?;
                Some(format!("the end of {name}'s log:\n{end}"))
            })
            .collect();
        LocalError::NotReady { error, logs }
    }
}
