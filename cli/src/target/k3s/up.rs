//! Plans a shop on a cluster, and brings it up: hosts, objects, readiness, products.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::declared::{Unfinished, unfinished};
use super::image::{ShopImage, shop_image};
use super::machines::{Machines, Reaching, with_problems};
use super::objects::{Doing, ObjectSight, Objects};
use super::plan::{Note, ShopPlan, destroyed};
use super::registry::{self, Pushing, access};
use super::secrets::{ClusterSecrets, load, note_known};
use super::{Entrance, K3sError, NAMESPACE, certificate};
use crate::bootstrap::Problem;
use crate::catalogue::Catalogue;
use crate::cluster::{
    Cluster, ClusterError, Deed, Lease, LeaseRequest, ObjectChange, ObjectKey, ObjectPlan,
};
use crate::environment::Environment;
use crate::event::Observer;
use crate::host::SudoPasswords;
use crate::interrupt::Interrupt;
use crate::registry::{Access, RegistryError};
use crate::render::{ClusterInput, SecretSet, render_objects};
use crate::shop::{Shop, ShopError, seed};
use crate::target::local::LocalFolder;

/// A k3s that was started again says for a moment of pods that ran on that they are not ready.
const TOLD_ANEW: Duration = Duration::from_secs(5);

/// How long a shop whose objects are ready may take to answer, and how often it is asked.
const SETTLING: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What is wanted, and where the state of it is.
pub struct Wanting<'a> {
    /// The environment.
    pub environment: &'a Environment,
    /// What each component is, and its templates.
    pub catalogue: &'a Catalogue,
    /// The state folder.
    pub folder: &'a LocalFolder,
    /// The folder of the environment file, from which its paths are seen.
    pub beside: &'a Path,
    /// Who knows passwords for sudo.
    pub passwords: &'a dyn SudoPasswords,
}

/// What is missing, what is rotated, and what differs.
type Seen = (Vec<String>, Vec<Unfinished>, ObjectPlan);

/// Everything that was seen while planning.
pub struct Planned {
    /// What would be done.
    pub plan: ShopPlan,
    machines: Machines,
    image: ShopImage,
    pushing: Option<Pushing>,
}

impl Wanting<'_> {
    /// Looks at hosts and cluster, and plans. Changes nothing.
    pub async fn plan(&self) -> Result<Planned, K3sError> {
        self.folder.claim()?;
        let image = self.image()?;
        // A template that is wrong is found before the first host is asked.
        let unborn = load(None, NAMESPACE, self.environment, self.catalogue).await?;
        let all_new = self.rendered(&unborn.set, &image, None).await?;
        let (access, errors) = match access(self.environment, self.beside) {
            Ok(access) => (access, Vec::new()),
            Err(errors) => (None, errors),
        };
        let mut problems: Vec<Problem> = errors.iter().map(registry::problem).collect();
        let reaching = self.reaching(Some(&image), access.as_ref());
        let (machines, pushing, seen) = tokio::join!(
            Machines::look(&reaching),
            Pushing::look(access.as_ref(), &image),
            self.look(&image)
        );
        let is_held = |machines: &Machines| {
            let pulled = image.pulled.as_ref();
            pulled.is_some_and(|pulled| machines.all_hold(&pulled.name))
                && !machines.plan().iter().any(|step| step.needed)
        };
        let mut notes = Vec::new();
        let pushing = pushing.unwrap_or_else(|error| {
            match &error {
                // One that answers that something is wrong is not to be put into every host's configuration.
                RegistryError::Unreachable { .. } if machines.as_ref().is_ok_and(is_held) => {
                    notes.push(registry::unneeded(&error));
                }
                _ => problems.push(registry::problem(&error)),
            }
            None
        });
        let machines = with_problems(machines, problems)?;
        notes.extend(Note::of_strangers(&machines.strangers()));
        let hosts = machines.plan();
        let looked = seen.is_some();
        if !looked && machines.is_running() {
            notes.push(Note::of_unasked());
        }
        let (secrets, rotations, objects) = if let Some(seen) = seen {
            seen?
        } else {
            let objects = all_created(&all_new, &unborn);
            (unborn.missing, Vec::new(), objects)
        };
        Ok(Planned {
            plan: ShopPlan {
                environment: self.environment.name.to_string(),
                hosts,
                push: pushing.as_ref().and_then(Pushing::plan),
                secrets,
                objects,
                rotations,
                notes,
                looked,
            },
            machines,
            image,
            pushing,
        })
    }

    /// What differs in a running cluster, without a look at the hosts.
    pub async fn pending(&self, cluster: &Cluster) -> Result<ObjectPlan, K3sError> {
        let image = self.image()?;
        let secrets = load(Some(cluster), NAMESPACE, self.environment, self.catalogue).await?;
        let objects = self.objects(cluster, &secrets, &image).await?;
        Ok(objects.look().await?.plan)
    }

    /// Takes k3s off its hosts. Says whether there was anything to do.
    pub async fn leave(
        &self,
        refuse: bool,
        observer: &dyn Observer,
        interrupt: Interrupt,
    ) -> Result<bool, K3sError> {
        self.folder.claim()?;
        // Whoever leaves needs neither images nor a registry.
        let machines = Machines::look_to_leave(&self.reaching(None, None)).await?;
        let steps = machines.plan_removal();
        if steps.iter().any(|step| step.needed) {
            let request = LeaseRequest {
                environment: self.environment.name.as_str(),
                command: "down --cluster",
                refuse,
                interrupt: &interrupt,
            };
            self.wait_for_others(&request, observer).await?;
        }
        machines.carry_out(&steps, observer, interrupt).await?;
        Ok(steps.iter().any(|step| step.needed))
    }

    /// Waits until nobody else is at work in the cluster, if it answers. A lease cannot be kept while k3s is stopped; so
    /// whoever begins in the moment between is met, and finds a cluster that goes away.
    async fn wait_for_others(
        &self,
        request: &LeaseRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<(), K3sError> {
        if let Some(cluster) = self.running_cluster().await {
            Lease::take(&cluster, request, observer)
                .await?
                .release()
                .await?;
        }
        Ok(())
    }

    pub(super) fn image(&self) -> Result<ShopImage, K3sError> {
        shop_image(self.folder.state_dir(), self.environment.registry.as_ref())
    }

    /// The hosts, and what they are to be given with this image; without one nothing.
    fn reaching<'b>(
        &'b self,
        image: Option<&ShopImage>,
        registry: Option<&'b Access>,
    ) -> Reaching<'b> {
        let pulled = image.and_then(|image| image.pulled.as_ref());
        let archived = image.filter(|image| image.pulled.is_none());
        Reaching {
            environment: self.environment,
            beside: self.beside,
            folders: (self.folder.state_dir(), self.folder.run_dir()),
            is_left: image.is_none(),
            archives: archived
                .map(|image| image.archive.clone())
                .into_iter()
                .collect(),
            pulled: pulled
                .map(|pulled| pulled.name.clone())
                .into_iter()
                .collect(),
            registry,
            passwords: self.passwords,
        }
    }

    /// The secrets that are missing in the cluster, the rotations that are under way and what differs there; none if no
    /// cluster answers.
    async fn look(&self, image: &ShopImage) -> Option<Result<Seen, K3sError>> {
        let cluster = self.running_cluster().await?;
        Some(
            async {
                let secrets =
                    load(Some(&cluster), NAMESPACE, self.environment, self.catalogue).await?;
                let objects = self.objects(&cluster, &secrets, image).await?;
                let rotations = unfinished(&secrets, self.environment, self.catalogue);
                let plan = objects.look().await?.plan;
                Ok((secrets.missing.clone(), rotations, plan))
            }
            .await,
        )
    }

    async fn rendered(
        &self,
        secrets: &SecretSet,
        image: &ShopImage,
        cluster: Option<&Cluster>,
    ) -> Result<Vec<serde_json::Value>, K3sError> {
        let tls = certificate::wanted(cluster, self.environment, self.beside).await?;
        let objects = render_objects(&ClusterInput {
            environment: self.environment,
            catalogue: self.catalogue,
            secrets,
            shop_image: &image.name,
            tls: tls.as_ref(),
            version: (env!("CARGO_PKG_VERSION"), crate::COMMIT),
        })
        .map_err(K3sError::Render)?;
        Ok(objects
            .into_iter()
            .map(crate::render::Object::into_value)
            .collect())
    }

    pub(super) async fn objects<'b>(
        &'b self,
        cluster: &'b Cluster,
        secrets: &'b ClusterSecrets,
        image: &ShopImage,
    ) -> Result<Objects<'b>, K3sError> {
        let rendered = self.rendered(&secrets.set, image, Some(cluster)).await?;
        Ok(Objects::new(
            cluster,
            self.environment.name.as_str(),
            rendered,
            secrets,
        ))
    }
}

fn all_created(objects: &[serde_json::Value], secrets: &ClusterSecrets) -> ObjectPlan {
    ObjectPlan {
        changes: objects
            .iter()
            .filter(|object| !secrets.hold(object))
            .filter_map(ObjectKey::of)
            .map(|object| ObjectChange {
                object,
                deed: Deed::Create,
                fields: Vec::new(),
                conflicts: Vec::new(),
                refusal: None,
            })
            .collect(),
    }
}

/// How a plan is carried out.
pub struct Upping<'a> {
    /// Take fields back from others.
    pub force: bool,
    /// Fail at once if somebody else is at work.
    pub refuse: bool,
    /// What may be destroyed; none: everything that has to be.
    pub confirmed: Option<BTreeSet<ObjectKey>>,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

impl Upping<'_> {
    /// Refuses to destroy what nobody was asked about: a plan that was made without the cluster knows of none of it, and
    /// others may have been at work since.
    pub(super) fn refuse_unasked(&self, plan: &ObjectPlan) -> Result<(), K3sError> {
        let Some(confirmed) = &self.confirmed else {
            return Ok(());
        };
        let unasked: Vec<String> = destroyed(plan)
            .into_iter()
            .filter(|change| !confirmed.contains(&change.object))
            .map(|change| change.object.to_string())
            .collect();
        if unasked.is_empty() {
            return Ok(());
        }
        Err(K3sError::Unasked(unasked.join(", ")))
    }
}

/// A shop that is up.
pub struct Brought {
    /// The cluster.
    pub cluster: Cluster,
    /// Keeps others from changing the shop; held until the proof is over, too.
    pub lease: Lease,
    /// Its secrets, for whoever proves that it works.
    pub secrets: SecretSet,
    /// The way in.
    pub entrance: Entrance,
    /// The shop, as its clients see it.
    pub shop: Shop,
    /// What runs, for the mark of a proof.
    pub digest: String,
    /// Whether anything was changed.
    pub changed: bool,
}

impl Planned {
    /// Refuses what would stop in its midst, before anything is touched.
    pub fn refuse_hopeless(&self, force: bool) -> Result<(), K3sError> {
        refuse_hopeless(&self.plan.objects, force)
    }

    /// Carries it out: the image's push, hosts, then objects under the cluster's lease, then readiness and products.
    pub async fn carry_out(
        &self,
        wanting: &Wanting<'_>,
        upping: &Upping<'_>,
    ) -> Result<Brought, K3sError> {
        let request = LeaseRequest {
            environment: wanting.environment.name.as_str(),
            command: "up",
            refuse: upping.refuse,
            interrupt: upping.interrupt,
        };
        if self.plan.touches_hosts() {
            wanting.wait_for_others(&request, upping.observer).await?;
        }
        // Nothing was done on a host yet: one that pulls finds what it asks for.
        if let Some(pushing) = &self.pushing {
            pushing.carry_out(upping.observer, upping.interrupt).await?;
        }
        let steps = &self.plan.hosts;
        self.machines
            .carry_out(steps, upping.observer, upping.interrupt.clone())
            .await?;
        let state_dir = wanting.folder.state_dir();
        let cluster = wanting.connect().await?;
        // The shop does not need it, so what is in its way is told and no more.
        match super::tell_kubectl(state_dir, wanting.environment.name.as_str()) {
            Ok(None) => {}
            Ok(Some(path)) => upping.observer.note(format!(
                "kubectl finds the cluster as `{}` in {}",
                wanting.environment.name,
                path.display()
            )),
            Err(error) => upping
                .observer
                .note(format!("{error}; kubectl is not told of the cluster")),
        }
        let lease = Lease::take(&cluster, &request, upping.observer).await?;
        let outcome = tokio::select! {
            biased;
            lost = lease.lost() => Err(lost.into()),
            outcome = self.bring(wanting, upping, &cluster) => outcome,
        };
        match outcome {
            Ok((secrets, entrance, shop, digest, changed)) => Ok(Brought {
                cluster,
                lease,
                secrets,
                entrance,
                shop,
                digest,
                changed,
            }),
            Err(error) => {
                // The next run would find out by itself, only later.
                let _ = lease.release().await;
                Err(error)
            }
        }
    }

    async fn bring(
        &self,
        wanting: &Wanting<'_>,
        upping: &Upping<'_>,
        cluster: &Cluster,
    ) -> Result<(SecretSet, Entrance, Shop, String, bool), K3sError> {
        let environment = wanting.environment;
        let secrets = load(Some(cluster), NAMESPACE, environment, wanting.catalogue).await?;
        let objects = wanting.objects(cluster, &secrets, &self.image).await?;
        let doing = Doing {
            force: upping.force,
            deadline: Duration::from_secs_f64(environment.k3s.rollout.deadline.seconds()),
            interrupt: upping.interrupt,
        };
        let mut changed = self.plan.has_work();
        if changed {
            // Others may have been at work since the plan was shown.
            let seen: ObjectSight = objects.look().await?;
            refuse_hopeless(&seen.plan, upping.force)?;
            upping.refuse_unasked(&seen.plan)?;
            objects.carry_out(&seen, &doing, upping.observer).await?;
            let ran_before = seen.plan.of(Deed::Keep).next().is_some();
            if self.plan.touches_hosts() && ran_before {
                tokio::time::sleep(TOLD_ANEW).await;
                objects.wait(&doing, upping.observer).await?;
            }
        } else {
            objects.wait(&doing, upping.observer).await?;
        }
        note_known(cluster, NAMESPACE, &secrets).await?;
        let entrance = Entrance::find(cluster, environment).await?;
        let shop = Shop::behind(&entrance.host, entrance.address, &secrets.set);
        changed |= self.seed(environment, &shop, upping).await?;
        if self.plan.has_work() {
            // One that was ready may have become so again since, as whatever it needs was made anew.
            objects.wait(&doing, upping.observer).await?;
        }
        let digest = objects.digest().await?;
        Ok((secrets.set.clone(), entrance, shop, digest, changed))
    }

    /// Makes the products that are not there.
    async fn seed(
        &self,
        environment: &Environment,
        shop: &Shop,
        upping: &Upping<'_>,
    ) -> Result<bool, K3sError> {
        let observer = upping.observer;
        let missing = missing(environment, shop, upping).await?;
        if missing.is_empty() {
            return Ok(false);
        }
        let step = "seed the catalogue";
        observer.started(step);
        let made = seed::make(shop, &environment.seed)
            .await
            .map_err(|error| unseeded(&error));
        match &made {
            Ok(_) => observer.done(step, true),
            Err(error) => observer.failed(step, error.to_string()),
        }
        made.map(|made| made > 0)
    }
}

/// The products that are not there, as soon as the shop answers.
async fn missing(
    environment: &Environment,
    shop: &Shop,
    upping: &Upping<'_>,
) -> Result<Vec<String>, K3sError> {
    let observer = upping.observer;
    let settle = "wait until the shop answers";
    let deadline = Instant::now() + SETTLING;
    let mut waits = false;
    let missing = loop {
        match seed::missing(shop, &environment.seed).await {
            // Services notice a moment after it was ready again that their database was away.
            Err(error) if error.is_passing() && Instant::now() < deadline => {
                if !std::mem::replace(&mut waits, true) {
                    observer.started(settle);
                }
                observer.waiting(settle, error.to_string());
            }
            Err(error) => {
                if waits {
                    observer.failed(settle, error.to_string());
                }
                return Err(unseeded(&error));
            }
            Ok(missing) => break missing,
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = upping.interrupt.pressed() => {
                observer.failed(settle, "stopped by Ctrl-C");
                return Err(ClusterError::Interrupted.into());
            }
        }
    };
    if waits {
        observer.done(settle, false);
    }
    Ok(missing)
}

fn unseeded(error: &ShopError) -> K3sError {
    K3sError::Seed {
        reason: error.to_string(),
    }
}

pub(super) fn refuse_hopeless(plan: &ObjectPlan, force: bool) -> Result<(), K3sError> {
    let refused: Vec<ObjectChange> = plan.refused().cloned().collect();
    if !refused.is_empty() {
        return Err(K3sError::Refused(refused));
    }
    let contested: Vec<ObjectChange> = plan.contested().cloned().collect();
    if !force && !contested.is_empty() {
        return Err(K3sError::Contested(contested));
    }
    Ok(())
}
