//! A drill from its beginning to its end: all well, a fault, recovery, and the books.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::draw::draw;
use super::ending;
use super::error::DrillError;
use super::history::{
    BookedOrder, Fault, FaultKind, HISTORY_VERSION, History, Micros, OrderSeen, Outcome, Phase,
    Plan, ProductStock, Record,
};
use super::journal::Journal;
use super::measure::measure;
use super::recorder::Recorder;
use super::scenario::{self, ScenarioPlan};
use super::series::DrillSeries;
use super::stage::{self, Stage};
use super::watch::{self, Watching};
use crate::environment::DrillScenario;
use crate::interrupt::Interrupt;
use crate::load::{LoadPlan, LoadTest, LoadWish};
use crate::shop::{Ledger, Request, test_data};
use crate::supervisor::{Client, InstanceStatus};
use crate::target::local::{Strike, Victim};

/// Users of the background load arrive, connections open, plans are cached: this is not measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// The fault comes at a moment that nobody can expect, this late at most.
const LATEST: u64 = 1_000_000;
/// How often the history is looked at to see whether all is well again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The sweeper of holds comes by every second; this is its turn and its work.
const HOLD_GRACE: Duration = Duration::from_secs(3);
/// How long holds may take to run out at the end.
const DRAIN: Duration = Duration::from_secs(30);
/// How long removing what the drill made may take.
const REMOVAL: Duration = Duration::from_secs(30);
/// The largest share of operations that may fail before the fault.
const STEADY_ERRORS: f64 = 0.001;

/// One drill of a series.
pub(super) struct Drill<'a> {
    /// The series: the shop, the profile, the seed, who is told.
    pub series: &'a DrillSeries<'a>,
    /// What is broken.
    pub scenario: DrillScenario,
    /// Which of several runs this is, from 1.
    pub run: u32,
}

impl Drill<'_> {
    /// Runs it. The history goes to `file`. Gives what a person should know besides.
    pub(super) async fn run(&self, file: File) -> Result<Vec<String>, DrillError> {
        all_ready(self.series.folder.run_dir()).await?;
        let journal = Arc::new(Journal::new(file));
        let (tag, admin) = Stage::tag(self.series.shop)?;
        let outcome = self.staged(&journal, &tag, &admin).await;
        let removed = test_data::remove(
            &tag,
            &admin,
            Instant::now() + REMOVAL,
            async |request: &Request<'_>| self.series.shop.ask(request).await,
        )
        .await;
        let mut notes = outcome?;
        if let Err(left) = removed {
            notes.push(left.to_string());
        }
        if let Some(reason) = journal.failure() {
            return Err(DrillError::History(reason));
        }
        Ok(notes)
    }

    async fn staged(
        &self,
        journal: &Arc<Journal>,
        tag: &str,
        admin: &str,
    ) -> Result<Vec<String>, DrillError> {
        let step = "prepare";
        self.series.observer.started(step);
        let stage = match Stage::set(self.series.shop, tag, admin).await {
            Ok(stage) => Arc::new(stage),
            Err(error) => {
                self.series.observer.failed(step, error.to_string());
                return Err(error.into());
            }
        };
        let plan = ScenarioPlan::new(self.scenario, &self.series.environment.objectives.drills);
        journal.write(Record::Plan(self.plan(&plan, &stage)));
        self.series.observer.done(step, true);
        let watching = Watching::start(
            self.series.folder.run_dir(),
            self.series.redis,
            self.series.auditor,
            tag,
            [stage.plenty, stage.scarce],
            journal,
        );
        let notes = self.under_load(&plan, &stage, journal).await?;
        drop(watching);
        Ok(notes)
    }

    fn plan(&self, plan: &ScenarioPlan, stage: &Stage) -> Plan {
        Plan {
            version: HISTORY_VERSION,
            scenario: scenario::name(self.scenario),
            hypothesis: plan.hypothesis.clone(),
            run: self.run,
            seed: self.series.seed,
            environment: self.series.environment.name.to_string(),
            operations_per_second: self.series.profile.orders_per_second,
            hold_grace_micros: micros(HOLD_GRACE),
            products: vec![
                ProductStock {
                    product: stage.plenty,
                    pieces: i64::from(stage::PLENTY),
                },
                ProductStock {
                    product: stage.scarce,
                    pieces: i64::from(stage::SCARCE),
                },
            ],
            objectives: plan.objectives.clone(),
        }
    }

    /// k6 loads the shop from before the first operation until after the last.
    async fn under_load(
        &self,
        plan: &ScenarioPlan,
        stage: &Arc<Stage>,
        journal: &Arc<Journal>,
    ) -> Result<Vec<String>, DrillError> {
        if self.series.profile.vus == 0 {
            self.operations(plan, stage, journal).await?;
            return Ok(vec!["there was no load in the background".to_owned()]);
        }
        let longest = self.series.profile.steady.to_std()
            + self.series.profile.deadline.to_std()
            + 2 * WARM_UP;
        let wish = LoadWish {
            vus: Some(self.series.profile.vus),
            duration: Some(crate::value::Duration::from_milliseconds(
                u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
            )),
            ..LoadWish::default()
        };
        let load_plan = LoadPlan::of(self.series.environment, &wish)?;
        let quiet = crate::event::Unobserved;
        let (stop, stopped) = Interrupt::by_hand();
        let load = LoadTest {
            environment: self.series.environment,
            catalogue: self.series.catalogue,
            folder: self.series.folder,
            shop: self.series.shop,
            auditor: self.series.auditor,
            plan: &load_plan,
            observer: &quiet,
            interrupt: &stopped,
        };
        let drill = async {
            let outcome = self.operations(plan, stage, journal).await;
            stop.press();
            outcome
        };
        let (load, drill) = tokio::join!(load.run("drill"), drill);
        drill?;
        Ok(match load {
            Ok(outcome) => vec![format!(
                "in the background, {} users sent {} requests",
                self.series.profile.vus,
                crate::report::LoadReport::assemble(outcome.facts, &outcome.samples)
                    .totals
                    .requests
            )],
            Err(error) => return Err(DrillError::Load(error)),
        })
    }

    async fn operations(
        &self,
        plan: &ScenarioPlan,
        stage: &Arc<Stage>,
        journal: &Arc<Journal>,
    ) -> Result<(), DrillError> {
        let recorder = Recorder::new(
            self.series.shop.clone(),
            Arc::clone(journal),
            Arc::clone(stage),
        );
        let (end, ended) = oneshot::channel::<()>();
        let rate = self.series.profile.orders_per_second;
        let recording = {
            let recorder = Arc::clone(&recorder);
            tokio::spawn(async move {
                recorder
                    .record(rate, async {
                        let _ = ended.await;
                    })
                    .await;
            })
        };
        let interrupted = tokio::select! {
            outcome = self.break_and_wait(plan, journal) => {
                outcome?;
                false
            }
            () = self.series.interrupt.pressed() => true,
        };
        let end_at = journal.phase(Phase::Draining);
        let _ = end.send(());
        let _ = recording.await;
        if interrupted {
            return Err(DrillError::Interrupted);
        }
        self.account(&recorder, stage, journal, end_at).await
    }

    /// Steady, fault, recovery.
    async fn break_and_wait(
        &self,
        plan: &ScenarioPlan,
        journal: &Arc<Journal>,
    ) -> Result<(), DrillError> {
        let step = "steady state";
        self.series.observer.started(step);
        self.series.observer.waiting(step, "customers to arrive");
        sleep(WARM_UP).await;
        journal.phase(Phase::Steady);
        self.series.observer.waiting(
            step,
            format!("{} without a failure", self.series.profile.steady),
        );
        sleep(self.series.profile.steady.to_std()).await;
        let moment = draw(self.series.seed, self.run, "moment", LATEST);
        sleep(Duration::from_micros(moment)).await;
        if let Err(reason) = is_steady(&journal.history(Some(journal.now()))?) {
            self.series.observer.failed(step, reason.clone());
            return Err(DrillError::NotSteady(reason));
        }
        self.series.observer.done(step, true);
        let victims = self.victims(plan).await?;
        journal.phase(Phase::Faulty);
        let mend = self.strike(plan, &victims, journal).await;
        self.recovery(journal).await?;
        drop(mend);
        Ok(())
    }

    /// Strikes all victims at once, then looks at each.
    async fn strike(&self, plan: &ScenarioPlan, victims: &[Victim], journal: &Journal) -> Mend {
        let (strike, signal) = match plan.fault {
            FaultKind::Kill => (Strike::Kill, "SIGKILL"),
            FaultKind::Stop => (Strike::Stop, "SIGSTOP"),
            FaultKind::Continue => (Strike::Continue, "SIGCONT"),
        };
        let names: Vec<&str> = victims
            .iter()
            .map(|victim| victim.instance.as_str())
            .collect();
        let step = format!("{signal} to {}", names.join(", "));
        self.series.observer.started(&*step);
        let mend = Mend {
            stopped: if strike == Strike::Stop {
                victims.to_vec()
            } else {
                Vec::new()
            },
        };
        let sent: Vec<(Micros, Result<(), String>)> = victims
            .iter()
            .map(|victim| {
                let sent = victim.strike(strike);
                (journal.now(), sent)
            })
            .collect();
        let mut failed = Vec::new();
        for (victim, (at, sent)) in victims.iter().zip(sent) {
            let (confirmed, evidence) = match sent {
                Ok(()) => {
                    let struck = victim.confirm(strike).await;
                    (struck.confirmed, struck.evidence)
                }
                Err(reason) => (false, reason),
            };
            if !confirmed {
                failed.push(format!("{}: {evidence}", victim.instance));
            }
            journal.write(Record::Fault(Fault {
                at,
                kind: plan.fault,
                instance: victim.instance.clone(),
                process: victim.name(),
                evidence: Some(evidence),
                confirmed,
            }));
        }
        if failed.is_empty() {
            self.series.observer.done(&*step, true);
        } else {
            self.series.observer.failed(&*step, failed.join("; "));
        }
        mend
    }

    /// Waits until all has been well for long enough, or the time is up.
    async fn recovery(&self, journal: &Journal) -> Result<(), DrillError> {
        let step = "recovery";
        self.series.observer.started(step);
        let deadline = Instant::now() + self.series.profile.deadline.to_std();
        loop {
            sleep(LOOK_EVERY).await;
            let history = journal.history(Some(journal.now()))?;
            let figures = measure(&history);
            if let Some(after) = figures.steady_again {
                let seconds = Duration::from_micros(after).as_secs_f64();
                self.series.observer.waiting(
                    step,
                    format!("as before since {seconds:.1} s after the fault"),
                );
                self.series.observer.done(step, true);
                return Ok(());
            }
            let last: Vec<&str> = history
                .operations
                .iter()
                .rev()
                .take(20)
                .filter(|operation| operation.outcome != Outcome::Ok)
                .filter_map(|operation| operation.reason.as_deref())
                .collect();
            self.series.observer.waiting(
                step,
                match last.first() {
                    Some(reason) => format!("requests that fail: {reason}"),
                    None => "ten seconds as good as before".to_owned(),
                },
            );
            if Instant::now() >= deadline {
                self.series.observer.failed(
                    step,
                    format!("not as before within {}", self.series.profile.deadline),
                );
                return Ok(());
            }
        }
    }

    /// Open keys, holds, books, and how the shop was left.
    async fn account(
        &self,
        recorder: &Recorder,
        stage: &Stage,
        journal: &Journal,
        end_at: Micros,
    ) -> Result<(), DrillError> {
        let step = "settle open keys";
        self.series.observer.started(step);
        let history = journal.history(None)?;
        let fault = history.fault_at().unwrap_or(end_at);
        let mut operations = history.operations;
        // Where it hurt most is asked first.
        operations.sort_by_key(|operation| operation.began.abs_diff(fault));
        recorder.settle(&operations).await;
        self.series.observer.done(step, true);
        let step = "read the books";
        self.series.observer.started(step);
        let ending = ending::wait(self.series.folder.run_dir(), self.series.redis, journal).await;
        let outcome = self.books(stage, journal).await;
        match &outcome {
            Ok(()) => self.series.observer.done(step, true),
            Err(error) => self.series.observer.failed(step, error.to_string()),
        }
        journal.write(Record::Ending(ending));
        outcome
    }

    async fn books(&self, stage: &Stage, journal: &Journal) -> Result<(), DrillError> {
        let products = [stage.plenty, stage.scarce];
        let deadline = Instant::now() + DRAIN;
        journal.phase(Phase::Accounting);
        loop {
            let look = Ledger::default()
                .look(self.series.auditor, &stage.tag, &products)
                .await;
            let drained = match &look {
                Ok(seen) => {
                    let page = watch::page(seen, journal);
                    let held: i64 = page.products.iter().map(|product| product.held).sum();
                    journal.write(Record::Books(page));
                    held == 0
                }
                Err(_) => false,
            };
            if drained {
                break;
            }
            if Instant::now() >= deadline {
                look?;
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        for order in Ledger::orders(self.series.auditor, &stage.tag).await? {
            journal.write(Record::Order(BookedOrder {
                customer: order.customer,
                key: order.key,
                order: OrderSeen {
                    id: order.id,
                    product: order.product,
                    quantity: order.quantity,
                    unit_price_minor: order.unit_price_minor,
                    currency: order.currency,
                },
            }));
        }
        Ok(())
    }

    async fn victims(&self, plan: &ScenarioPlan) -> Result<Vec<Victim>, DrillError> {
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
            self.run,
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

/// Whether everything serves.
pub(super) async fn all_ready(run_dir: &Path) -> Result<(), DrillError> {
    let not_ready = not_ready(run_dir).await?;
    if not_ready.is_empty() {
        Ok(())
    } else {
        Err(DrillError::NotReady(not_ready))
    }
}

/// The instances that do not serve.
pub(super) async fn not_ready(run_dir: &Path) -> Result<Vec<String>, DrillError> {
    Ok(instances(run_dir)
        .await?
        .into_iter()
        .filter(|instance| !instance.ready)
        .map(|instance| instance.instance)
        .collect())
}

/// Lets stopped processes go on, whatever ends the drill. Those that the supervisor has replaced are gone.
struct Mend {
    stopped: Vec<Victim>,
}

impl Drop for Mend {
    fn drop(&mut self) {
        for victim in &self.stopped {
            let _ = victim.strike(Strike::Continue);
        }
    }
}

/// The instances as the supervisor has them.
pub(super) async fn instances(run_dir: &Path) -> Result<Vec<InstanceStatus>, DrillError> {
    let status = Client::connect(run_dir).await?.status().await?;
    Ok(status.instances)
}

/// Whether all was well since the steady part began.
fn is_steady(history: &History) -> Result<(), String> {
    let Some(steady) = history.began(Phase::Steady) else {
        return Err("it never began".to_owned());
    };
    let since: Vec<_> = history
        .operations
        .iter()
        .filter(|operation| operation.began >= steady)
        .collect();
    let bad: Vec<_> = since
        .iter()
        .filter(|operation| operation.outcome != Outcome::Ok)
        .collect();
    if bad.len() as f64 > since.len() as f64 * STEADY_ERRORS {
        let reason = bad
            .iter()
            .find_map(|operation| operation.reason.clone())
            .unwrap_or_default();
        return Err(format!(
            "{} of {} requests failed before anything was broken: {reason}",
            bad.len(),
            since.len()
        ));
    }
    if !since
        .iter()
        .any(|operation| operation.acknowledged().is_some())
    {
        return Err("no order was acknowledged".to_owned());
    }
    Ok(())
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
