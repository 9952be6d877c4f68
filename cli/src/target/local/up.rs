//! Brings this machine to what an environment says: looks, plans, and carries the plan out step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use super::binary::{ShopProgram, beside_shopctl};
use super::lock::{LockPatience, WorkLock};
use super::observe::{Sight, look};
use super::preflight::{preflight, taken_ports};
use super::programs::program_file;
use super::proof::{Proof, forget_proof};
use super::ready::{end_of, wait_ready, what_is_awaited};
use super::specs::spec;
use super::{LocalError, LocalFolder, ServerUser, files, load_secrets, secrets, tasks};
use crate::catalogue::{Catalogue, ComponentKind};
use crate::environment::Environment;
use crate::event::{Event, Observer};
use crate::interrupt::Interrupt;
use crate::plan::{self, Action, Observed, Plan, Step, Wanted, WantedInstance, WantedTask, Wave};
use crate::render::{Place, ProgramFile, RenderInput, RenderedInstance, SecretSet, render};
use crate::shop::{Shop, seed};
use crate::supervisor::{Client, WaitError, ensure_running};

/// What `up` starts from.
pub struct Up<'a> {
    /// What is wanted.
    pub environment: &'a Environment,
    /// What each component is, and its templates.
    pub catalogue: &'a Catalogue,
    /// Where it all lives.
    pub folder: &'a LocalFolder,
    /// What to do when somebody else is at work.
    pub patience: LockPatience,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// Ctrl-C: ends it after the step that is under way, or while that one waits for others.
    pub interrupt: Interrupt,
}

/// What came of it.
#[derive(Debug)]
pub struct UpOutcome {
    /// Whether anything was changed.
    pub changed: bool,
    /// Whether what runs is what the last smoke test proved.
    pub proved: bool,
    /// The plan that was carried out.
    pub plan: Plan,
    /// The running shop, as a client sees it.
    pub shop: Shop,
    /// Its secrets, for whoever proves that it works.
    pub secrets: SecretSet,
    /// Keeps others from changing the shop. Held until the proof is over, too.
    pub lock: WorkLock,
}

/// Everything that carrying out the plan needs.
struct Work<'a> {
    up: &'a Up<'a>,
    user: ServerUser,
    secrets: SecretSet,
    program: ShopProgram,
    instances: Vec<RenderedInstance>,
    client: Option<Client>,
    shop: Shop,
}

/// Brings the shop up.
pub async fn up(up: &Up<'_>) -> Result<UpOutcome, LocalError> {
    up.folder.exists()?;
    let user = ServerUser::find()?;
    let programs =
        preflight(up.environment, up.catalogue, up.folder, user).map_err(LocalError::Unprepared)?;
    up.folder.make_state_dir()?;
    let lock = WorkLock::take(up.folder, "up", up.patience, up.observer, &up.interrupt).await?;

    let (secrets, missing_secrets) = load_secrets(up.folder, up.environment, up.catalogue)?;
    let program = ShopProgram::find(up.folder)?;
    let place = place(up.folder, programs, &program)?;
    let sight = look(up.folder).await?;
    let rendered = render(&RenderInput {
        environment: up.environment,
        catalogue: up.catalogue,
        place: &place,
        secrets: &secrets,
        version: (env!("CARGO_PKG_VERSION"), crate::COMMIT),
    })
    .map_err(LocalError::Render)?;
    let instances = plan::in_start_order(rendered, up.catalogue, |instance| {
        sight.leads(&instance.name)
    });
    let taken = taken_ports(&instances, &sight.pids());
    if !taken.is_empty() {
        return Err(LocalError::Unprepared(taken));
    }

    let shop = Shop::new(up.environment, &secrets);
    let mut observed = observe(up, user, &sight, &instances, &program)?;
    observed.secrets = missing_secrets;
    let is_up =
        sight.supervisor_pid.is_some() && sight.instances.iter().all(|instance| instance.ready);
    if is_up && !instances.is_empty() {
        observed.missing_products = seed::missing(&shop, &up.environment.seed).await.ok();
    }
    let plan = plan::plan(&wanted(&instances), &observed);
    let mut work = Work {
        up,
        user,
        secrets,
        program,
        instances,
        client: None,
        shop,
    };
    let changed = plan.has_work();
    let proof = Proof::load(up.folder)?;
    let proved = !changed && proof.is_some_and(|proof| proof.holds_for(&sight.instances));
    if !proved {
        forget_proof(up.folder)?;
    }
    work.carry_out(&plan).await?;
    Ok(UpOutcome {
        changed,
        proved,
        plan,
        shop: work.shop,
        secrets: work.secrets,
        lock,
    })
}

fn place(
    folder: &LocalFolder,
    mut programs: BTreeMap<String, ProgramFile>,
    program: &ShopProgram,
) -> Result<Place, LocalError> {
    // The copy is as new as its source: its own time of change says nothing.
    let fingerprint = program_file(&beside_shopctl()?).fingerprint;
    let path = program.copy.to_string_lossy().into_owned();
    programs.insert("shopd".to_owned(), ProgramFile { path, fingerprint });
    Ok(folder.place(programs))
}

fn wanted(instances: &[RenderedInstance]) -> Wanted {
    Wanted {
        instances: instances
            .iter()
            .map(|instance| WantedInstance {
                name: instance.name.clone(),
                kind: instance.kind,
                digest: instance.digest(),
                address: instance.address.clone(),
            })
            .collect(),
        tasks: instances
            .iter()
            .flat_map(|instance| instance.tasks.iter().map(move |task| (instance, task)))
            .map(|(instance, task)| WantedTask {
                instance: instance.name.clone(),
                name: task.name.clone(),
                about: task.about.clone(),
                digest: task.digest(&instance.programs),
            })
            .collect(),
    }
}

fn observe(
    up: &Up<'_>,
    user: ServerUser,
    sight: &Sight,
    instances: &[RenderedInstance],
    program: &ShopProgram,
) -> Result<Observed, LocalError> {
    let names: Vec<String> = instances
        .iter()
        .map(|instance| instance.name.clone())
        .collect();
    let shown = |paths: Vec<std::path::PathBuf>| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    };
    let mut observed = Observed {
        user_missing: user == ServerUser::Missing,
        folders: shown(up.folder.lacking(&names, user)?),
        program_stale: !program.is_placed(),
        supervisor: sight.supervisor.clone(),
        instances: sight.observed(),
        ..Observed::default()
    };
    for instance in instances {
        let differing = files::differing(up.folder, instance, user)?;
        if !differing.is_empty() {
            observed
                .files
                .insert(instance.name.clone(), shown(differing));
        }
        if !instance.tasks.is_empty() {
            for (task, digest) in tasks::done(up.folder, &instance.name)? {
                observed
                    .tasks
                    .insert(format!("{}/{task}", instance.name), digest);
            }
        }
    }
    Ok(observed)
}

impl Work<'_> {
    async fn carry_out(&mut self, plan: &Plan) -> Result<(), LocalError> {
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
                    outcome = self.apply(step, *wave, stop_first) => outcome?,
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
