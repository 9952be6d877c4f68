//! A drill from its beginning to its end: all well, a fault, recovery, and the books.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::error::DrillError;
use super::history::{Background, HISTORY_VERSION, Micros, Phase, Plan, Record, SaleTerms};
use super::journal::Journal;
use super::progress::Progress;
use super::ready::until_whole;
use super::recorder::Recorder;
use super::scenario::{self, Replaced, ScenarioPlan};
use super::series::DrillSeries;
use super::stage::Stage;
use super::stale_lock::{OrderProcess, Provocation};
use super::strike::Breakage;
use super::watch::Watching;
use crate::environment::DrillScenario;
use crate::event::{Event, Observer};
use crate::interrupt::Interrupt;
use crate::load::{LoadOutcome, LoadPlan, LoadTest, LoadWish};
use crate::report::{LoadReport, Verdict};
use crate::shop::{Request, test_data};

/// The sweeper of holds comes by every second; this is its turn and its work.
const HOLD_GRACE: Duration = Duration::from_secs(3);
/// How long removing what the drill made may take.
const REMOVAL: Duration = Duration::from_secs(30);
/// Orders that a process has taken in are decided or given up by then.
const UNTIL_NOTHING_COMES: Duration = Duration::from_secs(1);
/// The setting of the service with sale locks that says how long one lives that nobody releases.
const LOCK_LIFETIME: &str = "saleLock";

/// The load in the background ends with the drill; this is for what a drill waits for besides its two times: thousands of
/// open keys after an outage.
const MARGIN: Duration = Duration::from_mins(4);

/// One drill of a series.
pub(super) struct Drill<'a> {
    /// The series: the shop, the profile, the seed, who is told.
    pub series: &'a DrillSeries<'a>,
    /// What is broken.
    pub scenario: DrillScenario,
    /// Which of several runs of the scenario this is, from 1.
    pub run: u32,
    /// Which drill of the series this is, from 1.
    pub number: u32,
    /// How many drills the series is to have.
    pub of: u32,
}

impl Drill<'_> {
    /// Runs it. The history goes to `file`. Gives what a person should know besides.
    pub(super) async fn run(&self, file: File) -> Result<Vec<String>, DrillError> {
        let prepared = self.prepare().await?;
        let journal = Arc::new(Journal::new(file));
        let (tag, admin) = Stage::tag(self.series.shop)?;
        let outcome = self.staged(&journal, &tag, &admin).await;
        let step = "remove the test data";
        self.series.observer.started(step);
        let removed = self.remove(&tag, &admin, outcome.is_err()).await;
        let left = match removed {
            Ok(()) => {
                self.series.observer.done(step, true);
                None
            }
            Err(left) => {
                self.series.observer.failed(step, left.to_string());
                Some(left.to_string())
            }
        };
        let mut notes = outcome?;
        notes.extend(prepared);
        notes.extend(left);
        if let Some(reason) = journal.failure() {
            return Err(DrillError::History(reason));
        }
        Ok(notes)
    }

    /// Waits until the shop is whole and like new. Says what had to be done for that.
    async fn prepare(&self) -> Result<Vec<String>, DrillError> {
        let series = self.series;
        let whole = || {
            until_whole(
                &*series.ground,
                series.redis,
                series.observer,
                series.interrupt,
            )
        };
        whole().await?;
        let mut prepared = Vec::new();
        while let Some(done) = series.ground.prepare().await? {
            prepared.push(done);
            whole().await?;
        }
        Ok(prepared)
    }

    /// Removes what the drill made. Of one that did not come to its end orders may still be under way, in a process that
    /// has just gone on: these are looked for too.
    async fn remove(
        &self,
        tag: &str,
        admin: &str,
        may_grow: bool,
    ) -> Result<(), test_data::TestDataLeft> {
        let deadline = Instant::now() + REMOVAL;
        loop {
            let ask = async |request: &Request<'_>| self.series.shop.ask(request).await;
            test_data::remove(tag, admin, deadline, ask).await?;
            if !may_grow {
                return Ok(());
            }
            sleep(UNTIL_NOTHING_COMES).await;
            let left = self.series.auditor.tags(tag).await;
            if left.is_ok_and(|left| left.is_empty()) || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    async fn staged(
        &self,
        journal: &Arc<Journal>,
        tag: &str,
        admin: &str,
    ) -> Result<Vec<String>, DrillError> {
        let step = "prepare";
        self.series.observer.started(step);
        let plan = ScenarioPlan::new(
            self.scenario,
            self.series.environment,
            self.series.catalogue,
        );
        let stage = match Stage::set(self.series.shop, tag, admin, plan.stale_locks).await {
            Ok(stage) => Arc::new(stage),
            Err(error) => {
                self.series.observer.failed(step, error.to_string());
                return Err(error.into());
            }
        };
        journal.write(Record::Plan(self.plan(&plan, &stage)));
        self.series.observer.done(step, true);
        let watching = Watching::start(
            &self.series.ground,
            self.series.redis,
            self.series.auditor,
            tag,
            stage.product_ids(),
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
            number: self.number,
            of: self.of,
            users: self.series.profile.vus,
            seed: self.series.seed,
            environment: self.series.environment.name.to_string(),
            operations_per_second: self.series.profile.orders_per_second,
            hold_grace_micros: micros(HOLD_GRACE),
            products: stage.products(),
            objectives: plan.objectives.clone(),
            expected: plan.expected.clone(),
            sale: stage.sale.as_ref().map(|sale| SaleTerms {
                product: sale.product,
                limit_per_customer: i64::from(sale.limit),
                lock_micros: micros(self.lock_lifetime(plan)),
            }),
        }
    }

    /// How long a sale lock lives that nobody releases.
    fn lock_lifetime(&self, plan: &ScenarioPlan) -> Duration {
        self.series
            .environment
            .components
            .get(plan.victims.component)
            .and_then(|service| service.settings.get(LOCK_LIFETIME)?.as_str())
            .and_then(|text| text.parse::<crate::value::Duration>().ok())
            .map_or(Duration::ZERO, crate::value::Duration::to_std)
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
            + plan.lasts.unwrap_or_default()
            + self.deadline(plan)
            + MARGIN;
        let wish = LoadWish {
            vus: Some(self.series.profile.vus),
            duration: Some(crate::value::Duration::from_milliseconds(
                u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
            )),
            ..LoadWish::default()
        };
        let load_plan = LoadPlan::of(self.series.environment, &wish)?;
        let quiet = Beginning(Notify::new());
        let (stop, stopped) = Interrupt::by_hand();
        let load = LoadTest {
            environment: self.series.environment,
            catalogue: self.series.catalogue,
            folder: self.series.folder,
            shop: self.series.shop,
            way: self.series.way,
            auditor: self.series.auditor,
            plan: &load_plan,
            observer: &quiet,
            interrupt: &stopped,
        };
        let drill = async {
            let arrival = "load in the background";
            self.series.observer.started(arrival);
            let outcome = tokio::select! {
                () = quiet.0.notified() => {
                    self.series.observer.done(arrival, true);
                    self.operations(plan, stage, journal).await
                }
                () = self.series.interrupt.pressed() => Err(DrillError::Interrupted),
            };
            stop.press();
            outcome
        };
        let mut load = Box::pin(load.run("drill"));
        let mut drill = Box::pin(drill);
        // A load that cannot begin is known before anything is broken, and then nothing is.
        let (load, lasted, drill) = tokio::select! {
            load = &mut load => match load {
                Ok(outcome) => (Ok(outcome), false, drill.await),
                Err(error) => return Err(DrillError::Load(error)),
            },
            drill = &mut drill => (load.await, true, drill),
        };
        // What was wrong with the load matters more than that the drill was ended.
        let background = load
            .map(|outcome| background(outcome, lasted))
            .map_err(DrillError::Load);
        if let Ok(background) = &background {
            journal.write(Record::Background(background.clone()));
        }
        drill?;
        let requests = background?.requests;
        Ok(vec![format!(
            "in the background, {} users sent {requests} requests",
            self.series.profile.vus
        )])
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
        // Ends with this drill, however that ends: later answers would tell of a shop whose test data are being removed.
        let mut recording = JoinSet::new();
        recording.spawn({
            let recorder = Arc::clone(&recorder);
            async move {
                recorder
                    .record(rate, async {
                        let _ = ended.await;
                    })
                    .await;
            }
        });
        let mut breakage = Breakage::new(journal);
        let outcome = tokio::select! {
            outcome = self.break_and_wait(plan, &recorder, stage, &mut breakage) => Some(outcome),
            () = self.series.interrupt.pressed() => None,
        };
        // What is still broken is mended here, at the latest.
        let mended = self.mend(&mut breakage).await;
        drop(breakage);
        mended?;
        let interrupted = outcome.is_none();
        outcome.transpose()?;
        if interrupted {
            self.series
                .observer
                .note("Interrupted: the drill ends, and what it has seen is kept");
        }
        let end_at = journal.phase(Phase::Draining);
        let _ = end.send(());
        recording.join_all().await;
        if interrupted {
            return Err(DrillError::Interrupted);
        }
        tokio::select! {
            outcome = self.account(&recorder, stage, journal, end_at) => outcome,
            () = self.series.interrupt.pressed() => Err(DrillError::Interrupted),
        }
    }

    /// Steady, fault, recovery.
    async fn break_and_wait(
        &self,
        plan: &ScenarioPlan,
        recorder: &Arc<Recorder>,
        stage: &Arc<Stage>,
        breakage: &mut Breakage,
    ) -> Result<(), DrillError> {
        let journal = Arc::clone(breakage.journal());
        let mut progress = Progress::new(&journal)?;
        self.steady(&journal, &mut progress).await?;
        breakage.of(self.victims(plan).await?);
        journal.phase(Phase::Faulty);
        let step = plan.fault.done_to(&breakage.names());
        self.series.observer.started(&*step);
        let struck = if plan.stale_locks {
            self.provoke(plan, recorder, stage, breakage, &step).await
        } else {
            breakage.strike(plan.fault).await
        };
        match struck {
            Ok(()) => self.series.observer.done(&*step, true),
            Err(reason) => self.series.observer.failed(&*step, reason),
        }
        // Nothing recovers from what did not happen.
        if progress.history()?.fault_at().is_none() {
            return Ok(());
        }
        if let Some(lasts) = plan.lasts {
            self.outage(lasts, &mut progress).await?;
            self.mend(breakage).await?;
            // Its return is part of the drill: it is met by customers, and whatever was seen before does not count.
            let (ground, redis) = (&*self.series.ground, self.series.redis);
            let whole =
                until_whole(ground, redis, self.series.observer, self.series.interrupt).await;
            if let Err(error) = whole {
                self.series.observer.note(error.to_string());
            }
            progress.judge_again_from(journal.now())?;
        }
        self.recovery(&mut progress, breakage, self.deadline(plan))
            .await
    }

    /// Mends what is still broken, and what nobody else mends.
    async fn mend(&self, breakage: &mut Breakage) -> Result<(), DrillError> {
        if !breakage.is_broken() {
            return Ok(());
        }
        let step = format!("mend {}", breakage.names());
        self.series.observer.started(&*step);
        match breakage.mend().await {
            Ok(()) => {
                self.series.observer.done(&*step, true);
                Ok(())
            }
            Err(reason) => {
                self.series.observer.failed(&*step, reason.clone());
                Err(DrillError::Broken(reason))
            }
        }
    }

    /// How long recovery may take. A machine has to boot, and its pods come one after the other.
    fn deadline(&self, plan: &ScenarioPlan) -> Duration {
        let deadline = self.series.profile.deadline.to_std();
        if plan.fault.hits_a_machine() {
            deadline.max(self.series.ground.patience())
        } else {
            deadline
        }
    }

    /// Makes the victim hang in the midst of orders, until their locks are somebody else's.
    async fn provoke(
        &self,
        plan: &ScenarioPlan,
        recorder: &Arc<Recorder>,
        stage: &Arc<Stage>,
        breakage: &mut Breakage,
        step: &str,
    ) -> Result<(), String> {
        let journal = Arc::clone(breakage.journal());
        let replaced = Replaced::of(
            self.series.environment,
            self.series.catalogue,
            plan.victims.component,
        );
        let provocation = Provocation {
            recorder: Arc::clone(recorder),
            stage: Arc::clone(stage),
            redis: self.series.redis,
            journal: &journal,
            lock_lifetime: self.lock_lifetime(plan),
            replaced_after: replaced.map_or(Duration::MAX, |replaced| replaced.earliest),
            tell: &|what| self.series.observer.waiting(step, what),
        };
        let releases = self.series.ground.stale_releases(&breakage.names()).await;
        let mut process = OrderProcess { breakage, releases };
        provocation.run(&mut process).await
    }
}

/// Is told of a load, and says when its first requests are under way.
struct Beginning(Notify);

impl Observer for Beginning {
    fn observe(&self, event: Event) {
        if let Event::LoadTicked(_) = event {
            self.0.notify_one();
        }
    }
}

/// What a load brought, as far as a drill is concerned.
fn background(outcome: LoadOutcome, lasted: bool) -> Background {
    let report = LoadReport::assemble(outcome.facts, &outcome.samples);
    let accounting = report.accounting.unwrap_or_default();
    Background {
        requests: report.totals.requests,
        lasted,
        acknowledged: accounting.acknowledged,
        wrong: accounting
            .checks
            .iter()
            .filter(|check| check.verdict == Verdict::Fail)
            .map(|check| format!("{}: {}", check.name, check.detail))
            .collect(),
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
