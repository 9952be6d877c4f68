//! Brings this machine to what an environment says: looks, plans, and carries the plan out step by step.

use std::collections::BTreeMap;

use super::binary::{ShopProgram, beside_shopctl};
use super::fault::wake;
use super::lock::{LockPatience, WorkLock};
use super::observe::{Sight, look};
use super::preflight::{preflight, taken_ports};
use super::programs::program_file;
use super::proof::{Proof, forget_proof};
use super::work::Work;
use super::{LocalError, LocalFolder, ServerUser, files, load_secrets, tasks};
use crate::catalogue::Catalogue;
use crate::environment::Environment;
use crate::event::{Observer, Unobserved};
use crate::interrupt::Interrupt;
use crate::plan::{self, Observed, Plan, Wanted, WantedInstance, WantedTask};
use crate::render::{Place, ProgramFile, RenderInput, RenderedInstance, SecretSet, render};
use crate::shop::{Shop, seed};

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

/// Brings the shop up.
pub async fn up(up: &Up<'_>) -> Result<UpOutcome, LocalError> {
    up.folder.exists()?;
    let user = ServerUser::find()?;
    let programs =
        preflight(up.environment, up.catalogue, up.folder, user).map_err(LocalError::Unprepared)?;
    let lock = WorkLock::take(up.folder, "up", up.patience, up.observer, &up.interrupt).await?;
    // Whoever had the lock may have made this folder another shop's.
    up.folder.exists()?;

    let (secrets, missing_secrets) = load_secrets(up.folder, up.environment, up.catalogue)?;
    let program = ShopProgram::find(up.folder)?;
    let place = place(up.folder, programs, &program)?;
    let sight = look(up.folder).await?;
    // Its probes may not have failed yet, and whatever comes next would wait for it.
    for instance in wake(&sight.instances) {
        up.observer
            .note(format!("{instance} was stopped and goes on"));
    }
    let (plan, instances, shop) = Wanting {
        up,
        user,
        place: &place,
        program: &program,
        secrets: &secrets,
        missing_secrets,
    }
    .plan(&sight)
    .await?;
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

/// Plans without carrying anything out, and without waiting for whoever is at work.
pub async fn plan(
    environment: &Environment,
    catalogue: &Catalogue,
    folder: &LocalFolder,
) -> Result<Plan, LocalError> {
    folder.exists()?;
    let user = ServerUser::find()?;
    let programs =
        preflight(environment, catalogue, folder, user).map_err(LocalError::Unprepared)?;
    let (secrets, missing_secrets) = load_secrets(folder, environment, catalogue)?;
    let program = ShopProgram::find(folder)?;
    let place = place(folder, programs, &program)?;
    let sight = look(folder).await?;
    let up = Up {
        environment,
        catalogue,
        folder,
        patience: LockPatience::Refuse,
        observer: &Unobserved,
        interrupt: Interrupt::never(),
    };
    let mut wanting = Wanting {
        up: &up,
        user,
        place: &place,
        program: &program,
        secrets: &secrets,
        missing_secrets,
    };
    let (plan, _, _) = wanting.plan(&sight).await?;
    Ok(plan)
}

/// Everything that a plan is made from, but for what there is.
struct Wanting<'a> {
    up: &'a Up<'a>,
    user: ServerUser,
    place: &'a Place,
    program: &'a ShopProgram,
    secrets: &'a SecretSet,
    missing_secrets: Vec<String>,
}

impl Wanting<'_> {
    /// The plan, the instances in the order in which they start, and the shop as its clients see it.
    async fn plan(
        &mut self,
        sight: &Sight,
    ) -> Result<(Plan, Vec<RenderedInstance>, Shop), LocalError> {
        let up = self.up;
        let rendered = render(&RenderInput {
            environment: up.environment,
            catalogue: up.catalogue,
            place: self.place,
            secrets: self.secrets,
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
        let shop = Shop::new(up.environment, self.secrets).map_err(|error| LocalError::Seed {
            reason: error.to_string(),
        })?;
        let mut observed = observe(up, self.user, sight, &instances, self.program)?;
        observed.secrets = std::mem::take(&mut self.missing_secrets);
        let is_up =
            sight.supervisor_pid.is_some() && sight.instances.iter().all(|instance| instance.ready);
        if is_up && !instances.is_empty() {
            observed.missing_products = seed::missing(&shop, &up.environment.seed).await.ok();
        }
        Ok((plan::plan(&wanted(&instances), &observed), instances, shop))
    }
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
