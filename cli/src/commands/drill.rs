//! Breaks the shop on purpose, and reports what held.

use std::fmt::Write as _;

use serde::Serialize;
use time::OffsetDateTime;

use super::Context;
use super::target::{brought_up, is_meant, local_only};
use crate::args::{DrillArgs, Scenarios};
use crate::drill::history::{FaultKind, Figure};
use crate::drill::report::{DrillReport, DrillRun, show, words};
use crate::drill::scenario::{Count, ScenarioPlan, name};
use crate::drill::{DrillError, DrillOutcome, DrillSeries, heal};
use crate::environment::{DrillObjectives, DrillProfile, DrillScenario, Environment};
use crate::interrupt::Interrupt;
use crate::report::{Draft, Reports, StoreError, Verdict, report_id};
use crate::shop::{Auditor, RedisAccess, Shop};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Breaks the shop on purpose, or undoes what a killed drill left.
pub(super) fn run(args: &DrillArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    if args.list {
        return list(context, &environment.objectives.drills);
    }
    local_only(environment)?;
    is_meant(environment, args.i_mean.as_deref(), "break")?;
    let profile = profile(environment, args)?;
    let (folder, secrets) = brought_up(context, &loaded)?;
    let shop = Shop::new(environment, &secrets).map_err(|error| Failure::of(&error))?;
    let auditor = Auditor::new(environment, &secrets).map_err(|error| Failure::of(&error))?;
    if args.heal {
        return super::block_on(async {
            let healed = heal(&folder, &shop, &auditor)
                .await
                .map_err(drill_failure)?;
            for instance in &healed.continued {
                context
                    .ui
                    .say(&format!("{instance} was stopped and goes on"));
            }
            if !healed.removed.is_empty() {
                let drills = healed.removed.len();
                context
                    .ui
                    .say(&format!("Removed the test data of {drills} drills"));
            }
            context.ui.say("The shop is whole");
            Ok(())
        });
    }
    let observer = context.ui.observer();
    let redis = RedisAccess::new(environment, &secrets);
    let reports = Reports::at(&args.reports_dir);
    super::block_on(async {
        let interrupt = Interrupt::watch();
        let series = DrillSeries {
            environment,
            catalogue: &loaded.catalogue,
            folder: &folder,
            shop: &shop,
            auditor: &auditor,
            redis: &redis,
            profile_name: &args.profile,
            profile: &profile,
            seed: args
                .seed
                .unwrap_or_else(|| u64::from(rand::random::<u32>())),
            observer: &*observer,
            interrupt: &interrupt,
        };
        series.check().await.map_err(drill_failure)?;
        let what = match profile.scenarios.as_slice() {
            [one] => name(*one),
            _ => "drills".to_owned(),
        };
        let id = report_id(OffsetDateTime::now_utc(), &what);
        let draft = reports
            .begin(environment.name.as_str(), &id)
            .map_err(|error| unwritable(&error))?;
        match series.run(&draft).await {
            Ok(outcome) => conclude(context, draft, &outcome),
            Err(error) => {
                // Nothing was broken, so nothing is kept.
                let _ = std::fs::remove_dir_all(draft.path());
                Err(drill_failure(error))
            }
        }
    })
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
        profile.scenarios = args
            .scenarios
            .iter()
            .flat_map(|scenario| match scenario {
                Scenarios::One(scenario) => vec![*scenario],
                Scenarios::All => DrillScenario::ALL.to_vec(),
            })
            .collect();
    }
    if let Some(runs) = args.runs {
        profile.runs = runs;
    }
    Ok(profile)
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

fn list(context: &Context, limits: &DrillObjectives) -> Result<(), Failure> {
    let listed: Vec<Listed> = DrillScenario::ALL
        .into_iter()
        .map(|scenario| {
            let plan = ScenarioPlan::new(scenario, limits);
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
                    _ => format!("kills {who}"),
                },
                hypothesis: plan.hypothesis,
                objectives: plan
                    .objectives
                    .iter()
                    .map(|objective| {
                        let limit = show(objective.figure, objective.limit);
                        format!("{}: at most {limit}", words(objective.figure))
                    })
                    .collect(),
            }
        })
        .collect();
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(&listed);
    }
    let mut text = String::new();
    for scenario in &listed {
        let _ = writeln!(text, "{}: {}", scenario.scenario, scenario.breaks);
        let _ = writeln!(text, "    {}", scenario.hypothesis);
        for objective in &scenario.objectives {
            let _ = writeln!(text, "    {objective}");
        }
    }
    context.ui.data(&text)
}

/// What a user is told when a drill could not be run.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn drill_failure(error: DrillError) -> Failure {
    let failure = Failure::of(&error);
    match &error {
        DrillError::NotReady(_) | DrillError::Supervisor(_) => failure.hint(
            "`shopctl status` shows what runs, `shopctl up` brings it up; nothing was broken",
        ),
        DrillError::NotSteady(_) => {
            failure.hint("nothing was broken; `shopctl smoke` shows what does not work")
        }
        DrillError::Load(crate::load::LoadError::NoGenerator(_)) => failure
            .exit(ExitCode::Missing)
            .hint("`shopctl doctor --install` installs it"),
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
fn conclude(context: &Context, draft: Draft, outcome: &DrillOutcome) -> Result<(), Failure> {
    let report = &outcome.report;
    let place = draft.path().display().to_string();
    let kept = draft.finish_drill(report);
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(report)?;
    } else {
        context.ui.data(&in_short(report))?;
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

/// A line a run, and why it is not a pass.
pub(super) fn in_short(report: &DrillReport) -> String {
    let mut table = Table::new([
        "SCENARIO",
        "RUN",
        "VERDICT",
        "DETECTED",
        "PROMOTED",
        "WRITABLE",
        "FIRST ORDER",
        "AS BEFORE",
        "LONGEST GAP",
        "FAILED ORDERS",
    ]);
    for run in &report.runs {
        let figure = |figure| -> Cell { figure_of(run, figure).into() };
        table.row([
            run.scenario.as_str().into(),
            run.run.to_string().into(),
            Cell::toned(
                run.verdict.to_string(),
                match run.verdict {
                    Verdict::Pass => Tone::Good,
                    Verdict::Fail => Tone::Bad,
                    Verdict::Unknown => Tone::Doubtful,
                },
            ),
            figure(Figure::Detected),
            figure(Figure::Promoted),
            figure(Figure::Writable),
            figure(Figure::FirstOrder),
            figure(Figure::SteadyAgain),
            figure(Figure::OrderGap),
            figure(Figure::FailedOrders),
        ]);
    }
    let mut text = table.render();
    let _ = writeln!(text, "\n{}", report.verdict);
    for reason in &report.reasons {
        let _ = writeln!(text, "  {}: {}", reason.verdict, reason.text);
    }
    text
}

fn figure_of(run: &DrillRun, figure: Figure) -> String {
    run.judgement
        .figures
        .get(figure)
        .map_or_else(|| "-".to_owned(), |value| show(figure, value))
}
