//! Breaks the shop on purpose, and reports what held.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;

use super::Context;
use super::report::changes;
use super::target::{brought_up, is_meant, local_failure};
use crate::args::{DrillArgs, Scenarios};
use crate::catalogue::Catalogue;
use crate::drill::compare::compare_drills;
use crate::drill::ground::{Ground, LocalGround, can_break};
use crate::drill::history::{FaultKind, Figure};
use crate::drill::report::{DrillReport, DrillRun, limit, show, words};
use crate::drill::scenario::{Count, ScenarioPlan, name};
use crate::drill::{DrillError, DrillOutcome, DrillSeries, Healed, heal};
use crate::environment::{DrillProfile, DrillScenario, Environment, Target};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::load::WayIn;
use crate::project::Loaded;
use crate::report::{Draft, Report, Reports, StoreError, Verdict, report_id};
use crate::shop::{Auditor, RedisAccess, Shop};
use crate::target::local::{LocalError, LocalFolder, LockPatience, WorkLock};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Breaks the shop on purpose, or undoes what a killed drill left.
pub(super) fn run(args: &DrillArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    if args.list {
        return list(context, environment, &loaded.catalogue);
    }
    // Healing breaks nothing.
    if !args.heal {
        is_meant(environment, args.i_mean.as_deref(), "break")?;
    }
    let profile = profile(environment, args)?;
    if environment.target == Target::K3s {
        return super::k3s::drill(args, &profile, context, &loaded);
    }
    let (folder, secrets) = brought_up(context, &loaded)?;
    let shop = Shop::new(environment, &secrets).map_err(|error| Failure::of(&error))?;
    let auditor = Auditor::new(environment, &secrets).map_err(|error| Failure::of(&error))?;
    let redis = RedisAccess::new(environment, &secrets);
    let ground = LocalGround::new(folder.run_dir(), environment, &loaded.catalogue);
    let ground: Arc<dyn Ground> = Arc::new(ground);
    let observer = context.ui.observer();
    if args.heal {
        let work = async |interrupt: Interrupt| {
            let _lock = alone(&folder, "failover-drill --heal", &*observer, &interrupt).await?;
            let healed = heal(&*ground, &shop, &auditor, &redis, &*observer, &interrupt)
                .await
                .map_err(drill_failure)?;
            tell_healed(context, &healed)
        };
        return super::block_on_interruptible(work, given_up);
    }
    let work = async |interrupt: Interrupt| {
        let _lock = alone(&folder, "failover-drill", &*observer, &interrupt).await?;
        let drilling = Drilling {
            args,
            profile: &profile,
            context,
            loaded: &loaded,
            folder: &folder,
            ground: Arc::clone(&ground),
            shop: &shop,
            way: WayIn::direct(&shop),
            auditor: &auditor,
            redis: &redis,
            observer: &*observer,
            interrupt: &interrupt,
        };
        drilling.run().await
    };
    super::block_on_interruptible(work, given_up)
}

/// Drills of a shop, wherever it runs.
pub(super) struct Drilling<'a> {
    pub(super) args: &'a DrillArgs,
    pub(super) profile: &'a DrillProfile,
    pub(super) context: &'a Context,
    pub(super) loaded: &'a Loaded,
    pub(super) folder: &'a LocalFolder,
    pub(super) ground: Arc<dyn Ground>,
    pub(super) shop: &'a Shop,
    pub(super) way: WayIn<'a>,
    pub(super) auditor: &'a Auditor,
    pub(super) redis: &'a RedisAccess,
    pub(super) observer: &'a dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

impl Drilling<'_> {
    /// Runs them, and keeps a report. Whoever calls it holds the shop's lock.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let environment = self.loaded.file.environment();
        let reports = Reports::at(&self.args.reports_dir);
        let series = DrillSeries {
            environment,
            catalogue: &self.loaded.catalogue,
            folder: self.folder,
            ground: Arc::clone(&self.ground),
            shop: self.shop,
            way: self.way,
            auditor: self.auditor,
            redis: self.redis,
            profile_name: &self.args.profile,
            profile: self.profile,
            seed: self
                .args
                .seed
                .unwrap_or_else(|| u64::from(rand::random::<u32>())),
            observer: self.observer,
            interrupt: self.interrupt,
        };
        series.check().await.map_err(drill_failure)?;
        let what = match self.profile.scenarios.as_slice() {
            [one] => name(*one),
            _ => "drills".to_owned(),
        };
        let id = report_id(OffsetDateTime::now_utc(), &what);
        let draft = reports
            .begin(environment.name.as_str(), &id)
            .map_err(|error| unwritable(&error))?;
        match series.run(&draft).await {
            Ok(outcome) => conclude(self.context, &reports, draft, &outcome),
            Err(error) => {
                // An empty folder is no report. What stands in one is kept, whatever went wrong.
                let _ = std::fs::remove_dir(draft.path());
                Err(drill_failure(error))
            }
        }
    }
}

/// Takes the lock of everything that changes the shop: two drills would break each other's shop, an `up` would mend what is
/// being broken, and healing would remove the data of a drill that runs.
pub(super) async fn alone(
    folder: &LocalFolder,
    command: &str,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<WorkLock, Failure> {
    WorkLock::take(folder, command, LockPatience::Refuse, observer, interrupt)
        .await
        .map_err(|error| match &error {
            LocalError::Locked { .. } => {
                Failure::of(&error).hint("wait until it has ended; nothing was broken")
            }
            _ => local_failure(error),
        })
}

/// What a user is told after the second Ctrl-C.
fn given_up() -> Failure {
    Failure::new("failed to end the drill: given up at the second Ctrl-C")
        .hint("what was stopped goes on; `shopctl failover-drill --heal` waits until the shop is whole and removes the test data")
        .exit(ExitCode::Unknown)
}

pub(super) fn tell_healed(context: &Context, healed: &Healed) -> Result<(), Failure> {
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(healed);
    }
    for instance in &healed.continued {
        context
            .ui
            .say(&format!("{instance} was broken and goes on"));
    }
    match healed.removed.len() {
        0 => {}
        1 => context.ui.say("Removed the test data of a drill"),
        drills => context
            .ui
            .say(&format!("Removed the test data of {drills} drills")),
    }
    context.ui.say("The shop is whole");
    Ok(())
}

/// The profile, with what the command line says otherwise.
fn profile(environment: &Environment, args: &DrillArgs) -> Result<DrillProfile, Failure> {
    let profiles = &environment.drill_profiles;
    let mut profile = profiles.get(&args.profile).cloned().ok_or_else(|| {
        let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
        Failure::new(format!(
            "failed to find the drill profile `{}`",
            args.profile
        ))
        .hint(format!("the profiles are: {}", known.join(", ")))
        .exit(ExitCode::Usage)
    })?;
    if !args.scenarios.is_empty() {
        profile.scenarios.clear();
        for scenario in args.scenarios.iter().flat_map(|scenario| match scenario {
            Scenarios::One(scenario) => vec![*scenario],
            Scenarios::All => DrillScenario::on(environment.target)
                .filter(|scenario| can_break(environment, *scenario).is_ok())
                .collect(),
        }) {
            if !profile.scenarios.contains(&scenario) {
                profile.scenarios.push(scenario);
            }
        }
    }
    if let Some(runs) = args.runs {
        profile.runs = runs;
    }
    if environment.target == Target::Local
        && let Some(one) = profile
            .scenarios
            .iter()
            .find(|scenario| scenario.needs_a_cluster())
    {
        return Err(Failure::new(format!(
            "failed to drill `{}`: there are neither pods nor hosts to break with `target: local`",
            name(*one)
        ))
        .hint("`shopctl failover-drill --list` shows what can be broken here")
        .exit(ExitCode::Usage));
    }
    for scenario in &profile.scenarios {
        can_break(environment, *scenario).map_err(drill_failure)?;
    }
    Ok(profile)
}

/// What `--list -o json` gives.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedAll<'a> {
    scenarios: &'a [Listed],
}

/// A scenario as `--list -o json` gives it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    scenario: String,
    breaks: String,
    hypothesis: String,
    objectives: Vec<String>,
}

fn list(
    context: &Context,
    environment: &Environment,
    catalogue: &Catalogue,
) -> Result<(), Failure> {
    let listed: Vec<Listed> = DrillScenario::on(environment.target)
        .map(|scenario| {
            let plan = ScenarioPlan::new(scenario, environment, catalogue);
            let component = plan.victims.component;
            let who = match (plan.victims.count, plan.victims.role) {
                (Count::One, Some(role)) => format!("the {component} that is {role}"),
                (Count::One, None) => format!("one {component}"),
                (Count::Majority, _) => format!("a majority of {component}"),
                (Count::All, _) => format!("every {component}"),
            };
            Listed {
                scenario: name(scenario),
                breaks: match plan.fault {
                    FaultKind::Stop => format!("stops {who} as if it hung"),
                    FaultKind::Delete => format!("deletes the pod of {who}"),
                    FaultKind::PowerOff => "takes the power from an agent".to_owned(),
                    FaultKind::Unplug => "takes the network from an agent".to_owned(),
                    _ => format!("kills {who}"),
                },
                hypothesis: plan.hypothesis,
                objectives: plan
                    .objectives
                    .iter()
                    .map(|objective| {
                        let limit = limit(objective.figure, objective.limit, objective.over);
                        format!("{}: {limit}", words(objective.figure))
                    })
                    .collect(),
            }
        })
        .collect();
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&ListedAll { scenarios: &listed });
    }
    let mut table = Table::new(["SCENARIO", "WHAT IT DOES, WHAT IS EXPECTED, AND THE LIMITS"]);
    for scenario in &listed {
        let mut text = format!("It {}. {}", scenario.breaks, scenario.hypothesis);
        if !scenario.objectives.is_empty() {
            let _ = write!(text, " Limits: {}.", scenario.objectives.join(", "));
        }
        table.row([scenario.scenario.as_str().into(), text.into()]);
    }
    context.ui.table(&table)
}

/// What a user is told when a drill could not be run.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(super) fn drill_failure(error: DrillError) -> Failure {
    let failure = Failure::of(&error);
    match &error {
        DrillError::NoMachine { .. } => failure.exit(ExitCode::Usage).hint(
            "add them to an agent in `hosts:`, such as the commands of its power strip or its management board; \
             nothing was broken",
        ),
        DrillError::Broken(_) => failure
            .exit(ExitCode::Unknown)
            .hint("`shopctl failover-drill --heal` tries it again"),
        DrillError::NotReady(_) | DrillError::Supervisor(_) | DrillError::Cluster(_) => failure.hint(
            "`shopctl status` shows what runs, `shopctl up` brings it up; nothing was broken",
        ),
        DrillError::Interrupted => failure
            .exit(ExitCode::Unknown)
            .hint("`shopctl failover-drill --heal` waits until the shop is whole"),
        DrillError::NotSteady(_) => {
            failure.hint("nothing was broken; `shopctl smoke` shows what does not work")
        }
        DrillError::Load(crate::load::LoadError::NoGenerator(_)) => failure
            .exit(ExitCode::Missing)
            .hint("`shopctl doctor --install` installs it"),
        DrillError::File { .. } | DrillError::History(_) => failure
            .exit(ExitCode::Unknown)
            .hint("what was recorded until then is kept beside the other reports, if there was room for it"),
        DrillError::Load(crate::load::LoadError::Busy { .. }) => {
            failure.hint("wait for it to end; nothing was broken")
        }
        _ => failure,
    }
}

/// What a user is told when a report cannot be begun.
fn unwritable(error: &StoreError) -> Failure {
    Failure::of(error)
        .hint("nothing was broken; --reports-dir names another folder")
        .exit(ExitCode::Usage)
}

/// Keeps the report, and says in short what it shows.
fn conclude(
    context: &Context,
    reports: &Reports,
    draft: Draft,
    outcome: &DrillOutcome,
) -> Result<(), Failure> {
    let report = &outcome.report;
    let before = run_before(reports, report);
    let place = draft.path().display().to_string();
    let kept = draft.finish_drill(report);
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(report)?;
    } else {
        context.ui.data(&in_short(report))?;
        if let Some(before) = &before {
            context.ui.data(&compared(before, report))?;
        }
    }
    if let Err(error) = kept {
        return Err(Failure::of(&error).hint("--reports-dir names another folder"));
    }
    context.ui.say(&format!("The report is in {place}"));
    context
        .ui
        .hint("`shopctl report show` shows it, `shopctl report verify` computes it again from the raw history");
    match report.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::told(ExitCode::Failed)),
        Verdict::Unknown => Err(Failure::told(ExitCode::Unknown)),
    }
}

/// The newest finished report of the same environment in which one of these scenarios was broken.
fn run_before(reports: &Reports, report: &DrillReport) -> Option<Box<DrillReport>> {
    let shared = |before: &DrillReport| {
        before.scenarios.iter().any(|one| {
            report
                .scenarios
                .iter()
                .any(|other| one.scenario == other.scenario)
        })
    };
    // Reports that cannot be read are no hindrance: there is only less to compare with.
    reports
        .list()
        .ok()?
        .into_iter()
        .find_map(|listed| match listed.report {
            Ok(Report::Drill(before))
                if before.origin.environment == report.origin.environment && shared(&before) =>
            {
                Some(before)
            }
            _ => None,
        })
}

/// What changed since the run before, in the figures that people ask for first.
fn compared(before: &DrillReport, report: &DrillReport) -> String {
    let mut comparing = compare_drills(before, report);
    comparing.figures.retain(|change| {
        matches!(
            change.figure,
            Figure::Writable | Figure::OrderGap | Figure::FailedOrders
        )
    });
    format!(
        "\nCompared with {} ({}):\n\n{}",
        comparing.before.id,
        comparing.before.verdict,
        changes(&comparing.figures).render()
    )
}

/// The figures of the runs, and why it is not a pass. Fits into 80 columns.
pub(super) fn in_short(report: &DrillReport) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    if report.runs.len() > report.scenarios.len() {
        text.push_str(&over_runs(report));
    } else if !report.runs.is_empty() {
        text.push_str(&each_run(report));
    }
    let _ = writeln!(text, "{}", report.verdict);
    for reason in &report.reasons {
        let _ = writeln!(text, "  {}: {}", reason.verdict, reason.text);
    }
    text
}

/// A line a run, and its times.
fn each_run(report: &DrillReport) -> String {
    let mut outcomes = Table::new([
        "SCENARIO",
        "VERDICT",
        "WITHOUT ORDERS",
        "FAILED ORDERS",
        "WELL AGAIN",
    ]);
    let mut times = Table::new([
        "SCENARIO",
        "NOTICED",
        "REPLACED",
        "REDIS WRITABLE",
        "FIRST ORDER",
    ]);
    for run in &report.runs {
        let figure = |figure| -> Cell { figure_of(run, figure).into() };
        let name = || -> Cell { run.scenario.as_str().into() };
        // Of one run the limits of the median are its own.
        let verdict = report
            .scenarios
            .iter()
            .find(|scenario| scenario.scenario == run.scenario)
            .map_or(run.verdict, |scenario| scenario.verdict);
        outcomes.row([
            name(),
            Cell::toned(verdict.to_string(), tone(verdict)),
            figure(Figure::OrderGap),
            figure(Figure::FailedOrders),
            figure(Figure::SteadyAgain),
        ]);
        times.row([
            name(),
            figure(Figure::Detected),
            figure(Figure::Promoted),
            figure(Figure::Writable),
            figure(Figure::FirstOrder),
        ]);
    }
    format!(
        "{}\nFrom the fault on; well again means as fast and as free of errors as before:\n\n{}\n",
        outcomes.render(),
        times.render()
    )
}

/// A line a scenario: medians, and the largest.
fn over_runs(report: &DrillReport) -> String {
    let mut table = Table::new([
        "SCENARIO",
        "RUNS",
        "PASS",
        "WITHOUT ORDERS",
        "FAILED ORDERS",
        "REDIS WRITABLE",
        "WELL AGAIN",
    ]);
    for scenario in &report.scenarios {
        let figure = |figure| -> Cell {
            scenario
                .figures
                .get(&figure)
                .map_or_else(
                    || "-".to_owned(),
                    |spread| match (show(figure, spread.p50), show(figure, spread.max)) {
                        (median, most) if median == most => median,
                        (median, most) => format!("{median}, {most}"),
                    },
                )
                .into()
        };
        let passed = report
            .runs
            .iter()
            .filter(|run| run.scenario == scenario.scenario && run.verdict == Verdict::Pass)
            .count() as u64;
        table.row([
            scenario.scenario.as_str().into(),
            scenario.runs.to_string().into(),
            Cell::toned(passed.to_string(), tone(scenario.verdict)),
            figure(Figure::OrderGap),
            figure(Figure::FailedOrders),
            figure(Figure::Writable),
            figure(Figure::SteadyAgain),
        ]);
    }
    format!(
        "{}\nMedian and largest of the runs; {}\n\n",
        table.render(),
        report.summary()
    )
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::Unknown => Tone::Doubtful,
    }
}

fn figure_of(run: &DrillRun, figure: Figure) -> String {
    run.judgement
        .figures
        .get(figure)
        .map_or_else(|| "-".to_owned(), |value| show(figure, value))
}
