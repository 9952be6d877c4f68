//! What the supervisor knows and does, without the socket: the wanted instances, a task for each, and the orders that
//! change them.
//!
//! An order is first saved and then set in motion, so that a supervisor that is killed in between goes on from what
//! was saved and from the processes that it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::desired::{Desired, DesiredEntry, Want};
use super::error::SupervisorError;
use super::folder::StateFolder;
use super::instance::{Keeper, Seen, Wanted};
use super::journal::Journal;
use super::process::sweep_leftovers;
use super::record::ProcessRecord;
use super::rollout;
use super::spec::InstanceSpec;
use super::status::{Applied, InstanceStatus, Rollout, SupervisorStatus};

/// The supervisor behind its socket.
pub(super) struct Core {
    folder: Arc<StateFolder>,
    journal: Arc<Journal>,
    commit: String,
    since: OffsetDateTime,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    desired: Desired,
    instances: BTreeMap<String, Instance>,
    rollout: Option<Rollout>,
    replacing: Option<JoinHandle<()>>,
}

/// The two channels of an instance's task.
struct Instance {
    wanted: watch::Sender<Wanted>,
    seen: watch::Receiver<Seen>,
}

impl Instance {
    fn start(folder: &Arc<StateFolder>, journal: &Arc<Journal>, entry: &DesiredEntry) -> Self {
        let (wanted, receiver) = watch::channel(Wanted {
            run: entry.want == Want::Running,
            spec: Arc::new(entry.spec.clone()),
            generation: 0,
        });
        let seen = Keeper::start(Arc::clone(folder), Arc::clone(journal), receiver);
        Self { wanted, seen }
    }

    fn has_process(&self) -> bool {
        self.seen.borrow().status.pid.is_some()
    }

    /// Whether its process was started with something else than is wanted now.
    fn is_outdated(&self) -> bool {
        let wanted = self.wanted.borrow();
        let seen = self.seen.borrow();
        wanted.run
            && seen
                .status
                .spec_hash
                .as_ref()
                .is_some_and(|hash| *hash != wanted.spec.spec_hash)
    }
}

impl Core {
    /// Takes up what is wanted and what lives.
    pub(super) fn start(
        folder: Arc<StateFolder>,
        journal: Arc<Journal>,
        commit: String,
    ) -> Result<Arc<Self>, SupervisorError> {
        let mut desired = Desired::load(&folder)?;
        add_strays(&folder, &journal, &mut desired);
        let core = Arc::new(Self {
            folder,
            journal,
            commit,
            since: OffsetDateTime::now_utc(),
            inner: Mutex::default(),
        });
        let leaving: Vec<String> = {
            let mut inner = core.lock();
            for entry in &desired.entries {
                let instance = Instance::start(&core.folder, &core.journal, entry);
                inner.instances.insert(entry.spec.name.clone(), instance);
            }
            let leaving = desired
                .entries
                .iter()
                .filter(|entry| entry.want == Want::Gone);
            let leaving = leaving.map(|entry| entry.spec.name.clone()).collect();
            inner.desired = desired;
            leaving
        };
        core.forget_when_stopped(leaving);
        core.replace_outdated();
        Ok(core)
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// All files that instances print to.
    pub(super) fn logs(&self) -> Vec<std::path::PathBuf> {
        self.lock().logs()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half-done where a panic could strike, and a supervisor must go on.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything at this moment.
    pub(super) fn status(&self) -> SupervisorStatus {
        let inner = self.lock();
        SupervisorStatus {
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            since: self.since,
            commit: self.commit.clone(),
            instances: inner.statuses(),
            rollout: inner.rollout.clone(),
        }
    }

    /// Makes the given specifications the wanted ones.
    pub(super) fn apply(
        self: &Arc<Self>,
        specs: Vec<InstanceSpec>,
        stop_missing: bool,
    ) -> Result<Applied, SupervisorError> {
        check(&specs)?;
        let (applied, leaving) = {
            let mut inner = self.lock();
            let desired = inner.merged(specs.clone(), stop_missing);
            if desired != inner.desired {
                desired.save(&self.folder)?;
                inner.desired = desired;
            }
            let mut applied = Applied::default();
            for spec in specs {
                let name = spec.name.clone();
                match inner.want_running(&self.folder, &self.journal, spec) {
                    Motion::Start => applied.started.push(name),
                    Motion::Replace => applied.replacing.push(name),
                    Motion::None => applied.unchanged.push(name),
                }
            }
            let leaving = inner.dismiss();
            applied.stopping.clone_from(&leaving);
            (applied, leaving)
        };
        if !applied.is_empty() {
            self.journal.note("apply", summary(&applied));
        }
        self.forget_when_stopped(leaving);
        self.replace_outdated();
        Ok(applied)
    }

    /// Stops the instances and waits until they have.
    pub(super) async fn stop(&self, names: &[String]) -> Result<(), SupervisorError> {
        let watched = self.change(names, Want::Stopped)?;
        for mut seen in watched {
            // An instance that is forgotten meanwhile has stopped, too.
            let _ = seen.wait_for(|seen| seen.status.pid.is_none()).await;
        }
        Ok(())
    }

    /// Wants stopped instances to run again, with the specification that they have.
    pub(super) fn start_instances(
        self: &Arc<Self>,
        names: &[String],
    ) -> Result<(), SupervisorError> {
        self.change(names, Want::Running).map(|_| ())
    }

    /// Replaces one process and waits until the new one is there.
    pub(super) async fn restart(&self, name: &str) -> Result<(), SupervisorError> {
        self.change(&[name.to_owned()], Want::Running)?;
        let (generation, mut seen) = {
            let inner = self.lock();
            let instance = inner.instance(name)?;
            instance.wanted.send_modify(|wanted| wanted.generation += 1);
            (instance.wanted.borrow().generation, instance.seen.clone())
        };
        let _ = seen
            .wait_for(|seen| seen.generation >= generation && seen.status.pid.is_some())
            .await;
        Ok(())
    }

    /// Stops everything, the components in the reverse of the order in which they were given.
    pub(super) async fn stop_all(&self) -> Result<(), SupervisorError> {
        let groups = self.lock().groups();
        let names: Vec<String> = groups.iter().flatten().cloned().collect();
        // All at once in the file: a supervisor that is killed half-way must not bring anything back.
        self.save_want(&names, Want::Stopped)?;
        for group in groups.iter().rev() {
            // One that leaves may be forgotten by now.
            let known: Vec<String> = {
                let inner = self.lock();
                let names = group.iter();
                names
                    .filter(|name| inner.desired.entry(name).is_some())
                    .cloned()
                    .collect()
            };
            self.stop(&known).await?;
        }
        Ok(())
    }

    fn save_want(&self, names: &[String], want: Want) -> Result<(), SupervisorError> {
        let mut inner = self.lock();
        let mut desired = inner.desired.clone();
        for name in names {
            let entry = desired
                .entry_mut(name)
                .ok_or_else(|| SupervisorError::UnknownInstance(name.clone()))?;
            if entry.want != Want::Gone {
                entry.want = want;
            }
        }
        if desired != inner.desired {
            desired.save(&self.folder)?;
            inner.desired = desired;
        }
        Ok(())
    }

    fn change(
        &self,
        names: &[String],
        want: Want,
    ) -> Result<Vec<watch::Receiver<Seen>>, SupervisorError> {
        self.save_want(names, want)?;
        let inner = self.lock();
        let mut watched = Vec::new();
        for name in names {
            let instance = inner.instance(name)?;
            let run = want == Want::Running;
            instance
                .wanted
                .send_if_modified(|wanted| std::mem::replace(&mut wanted.run, run) != run);
            watched.push(instance.seen.clone());
        }
        Ok(watched)
    }

    /// Forgets instances that leave, once each has no process.
    fn forget_when_stopped(self: &Arc<Self>, names: Vec<String>) {
        for name in names {
            let Some(mut seen) = self
                .lock()
                .instances
                .get(&name)
                .map(|instance| instance.seen.clone())
            else {
                continue;
            };
            let core = Arc::clone(self);
            tokio::spawn(async move {
                let _ = seen.wait_for(|seen| seen.status.pid.is_none()).await;
                core.forget(&name);
            });
        }
    }

    fn forget(&self, name: &str) {
        let mut inner = self.lock();
        // It may have been wanted again meanwhile.
        if inner
            .desired
            .entry(name)
            .is_some_and(|entry| entry.want == Want::Gone)
        {
            inner
                .desired
                .entries
                .retain(|entry| entry.spec.name != name);
            inner.instances.remove(name);
            if let Err(error) = inner.desired.save(&self.folder) {
                // The entry that stays in the file says `gone`: the next supervisor finds no process and forgets it.
                self.journal.note(name, error);
            }
        }
    }

    /// Begins to replace what runs with an old specification, instead of what is being replaced now.
    fn replace_outdated(self: &Arc<Self>) {
        let mut inner = self.lock();
        let outdated = inner.outdated();
        if let Some(replacing) = inner.replacing.take() {
            replacing.abort();
        }
        inner.rollout = None;
        if !outdated.is_empty() {
            let ordered = rollout::order(outdated);
            inner.replacing = Some(tokio::spawn(rollout::replace(Arc::clone(self), ordered)));
        }
    }

    /// Shows how far the replacing is.
    pub(super) fn show_rollout(&self, rollout: Option<Rollout>) {
        self.lock().rollout = rollout;
    }

    /// Has the process of an instance replaced if it was started with another specification. Gives what to wait for;
    /// none if the instance is not wanted, or wanted otherwise, any more.
    pub(super) fn replace_process(
        &self,
        spec: &InstanceSpec,
    ) -> Option<(u64, watch::Receiver<Seen>)> {
        let inner = self.lock();
        let instance = inner.instances.get(&spec.name)?;
        if !instance.wanted.borrow().run || *instance.wanted.borrow().spec != *spec {
            return None;
        }
        if instance.is_outdated() {
            instance.wanted.send_modify(|wanted| wanted.generation += 1);
        }
        let generation = instance.wanted.borrow().generation;
        Some((generation, instance.seen.clone()))
    }
}

/// What becomes of an instance that is wanted.
enum Motion {
    Start,
    Replace,
    None,
}

impl Inner {
    fn instance(&self, name: &str) -> Result<&Instance, SupervisorError> {
        self.instances
            .get(name)
            .ok_or_else(|| SupervisorError::UnknownInstance(name.to_owned()))
    }

    fn statuses(&self) -> Vec<InstanceStatus> {
        let entries = self.desired.entries.iter();
        entries
            .filter_map(|entry| {
                Some(
                    self.instances
                        .get(&entry.spec.name)?
                        .seen
                        .borrow()
                        .status
                        .clone(),
                )
            })
            .collect()
    }

    /// What is to be replaced. A replica that is not ready belongs to it even if it is what is wanted: the next one is
    /// taken down only when this one serves.
    fn outdated(&self) -> Vec<(Arc<InstanceSpec>, Seen)> {
        let entries = self.desired.entries.iter();
        let instances: Vec<&Instance> = entries
            .filter_map(|entry| self.instances.get(&entry.spec.name))
            .collect();
        let component = |instance: &Instance| instance.wanted.borrow().spec.component.clone();
        let changing: BTreeSet<String> = instances
            .iter()
            .filter(|instance| instance.is_outdated())
            .map(|instance| component(instance))
            .collect();
        instances
            .into_iter()
            .filter(|instance| {
                let waited_for =
                    instance.wanted.borrow().run && !instance.seen.borrow().status.ready;
                instance.is_outdated() || (waited_for && changing.contains(&component(instance)))
            })
            .map(|instance| {
                (
                    Arc::clone(&instance.wanted.borrow().spec),
                    instance.seen.borrow().clone(),
                )
            })
            .collect()
    }

    /// All files that instances print to.
    fn logs(&self) -> Vec<std::path::PathBuf> {
        self.desired
            .entries
            .iter()
            .map(|entry| entry.spec.log.clone())
            .collect()
    }

    /// The names by component, in the order given.
    fn groups(&self) -> Vec<Vec<String>> {
        let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
        for entry in &self.desired.entries {
            let component = entry.spec.component.as_str();
            match groups.iter_mut().find(|(name, _)| *name == component) {
                Some((_, names)) => names.push(entry.spec.name.clone()),
                None => groups.push((component, vec![entry.spec.name.clone()])),
            }
        }
        groups.into_iter().map(|(_, names)| names).collect()
    }

    /// What is wanted after `specs` are applied. A complete list also gives the order.
    fn merged(&self, specs: Vec<InstanceSpec>, complete: bool) -> Desired {
        let mut entries = if complete {
            Vec::new()
        } else {
            self.desired.entries.clone()
        };
        for spec in specs {
            let entry = DesiredEntry {
                want: Want::Running,
                spec,
            };
            match entries
                .iter_mut()
                .find(|known| known.spec.name == entry.spec.name)
            {
                Some(known) => *known = entry,
                None => entries.push(entry),
            }
        }
        if complete {
            let named: BTreeSet<String> = entries
                .iter()
                .map(|entry| entry.spec.name.clone())
                .collect();
            let missing = self
                .desired
                .entries
                .iter()
                .filter(|entry| !named.contains(&entry.spec.name));
            let leaving = missing.cloned().map(|entry| DesiredEntry {
                want: Want::Gone,
                ..entry
            });
            entries.extend(leaving.collect::<Vec<_>>());
        }
        Desired { entries }
    }

    fn want_running(
        &mut self,
        folder: &Arc<StateFolder>,
        journal: &Arc<Journal>,
        spec: InstanceSpec,
    ) -> Motion {
        let Some(instance) = self.instances.get(&spec.name) else {
            let entry = DesiredEntry {
                want: Want::Running,
                spec,
            };
            let instance = Instance::start(folder, journal, &entry);
            // A process without an entry may have been found by its record: then nothing is started.
            let motion = if instance.is_outdated() {
                Motion::Replace
            } else if instance.has_process() {
                Motion::None
            } else {
                Motion::Start
            };
            self.instances.insert(entry.spec.name, instance);
            return motion;
        };
        let present = instance.wanted.borrow().clone();
        if !present.run || *present.spec != spec {
            // A task that is stopping a process starts the next one when it is done.
            instance.wanted.send_modify(|wanted| {
                wanted.run = true;
                wanted.spec = Arc::new(spec);
            });
        }
        if !present.run || !instance.has_process() {
            Motion::Start
        } else if instance.is_outdated() {
            Motion::Replace
        } else {
            Motion::None
        }
    }

    /// Tells the tasks of those that leave to stop; gives their names.
    fn dismiss(&self) -> Vec<String> {
        let leaving = self
            .desired
            .entries
            .iter()
            .filter(|entry| entry.want == Want::Gone);
        let names: Vec<String> = leaving.map(|entry| entry.spec.name.clone()).collect();
        for name in &names {
            if let Some(instance) = self.instances.get(name) {
                instance
                    .wanted
                    .send_if_modified(|wanted| std::mem::replace(&mut wanted.run, false));
            }
        }
        names
    }
}

/// Refuses a list of which not all can be run; nothing of it is then set in motion.
fn check(specs: &[InstanceSpec]) -> Result<(), SupervisorError> {
    let mut names = BTreeSet::new();
    for spec in specs {
        spec.check()?;
        if !names.insert(&spec.name) {
            return Err(SupervisorError::Unacceptable {
                instance: spec.name.clone(),
                reason: "it is given twice".to_owned(),
            });
        }
    }
    Ok(())
}

/// Adds living processes that are recorded but not wanted, to be stopped: what a supervisor left behind that was
/// killed between forgetting and stopping.
fn add_strays(folder: &StateFolder, journal: &Journal, desired: &mut Desired) {
    let others = ProcessRecord::load_others(folder, |name| desired.entry(name).is_some());
    for (name, record) in others {
        match record {
            Ok(record) if record.identity().is_alive() && record.spec.name == name => {
                journal.note(
                    &name,
                    format_args!("pid {} lives and is not wanted", record.pid),
                );
                desired.entries.push(DesiredEntry {
                    want: Want::Gone,
                    spec: record.spec,
                });
            }
            Ok(record) => sweep_leftovers(&record.identity()),
            Err(error) => journal.note(&name, error),
        }
    }
}

fn summary(applied: &Applied) -> String {
    let part = |verb: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
    };
    let parts = [
        part("starting", &applied.started),
        part("replacing", &applied.replacing),
        part("stopping", &applied.stopping),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
