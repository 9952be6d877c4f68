//! Loads the shop and leaves a report.

use time::OffsetDateTime;

use super::Context;
use super::target::{brought_up, is_meant};
use crate::args::LoadtestArgs;
use crate::environment::Target;
use crate::interrupt::Interrupt;
use crate::load::{
    LoadError, LoadOutcome, LoadPlan, LoadTest, LoadWish, PlanError, WayIn, ensure_room,
};
use crate::report::{Comparison, Draft, LoadReport, Reports, StoreError, Verdict, report_id};
use crate::shop::{Auditor, Shop};
use crate::ui::{ExitCode, Failure, OutputFormat, Table};

/// k6's own summary, among the files of the report.
const K6_SUMMARY: &str = "k6-summary.json";

/// Loads the shop and leaves a report.
pub(super) fn run(args: &LoadtestArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    is_meant(environment, args.i_mean.as_deref(), "load")?;
    let wish = LoadWish {
        profile: Some(args.profile.clone()),
        vus: args.vus,
        duration: args.duration,
        rate: args.rate,
        script: args.script.clone(),
    };
    let plan = LoadPlan::of(environment, &wish).map_err(plan_failure)?;
    let reports = Reports::at(&args.reports_dir);
    if environment.target == Target::K3s {
        return super::k3s::loadtest(&plan, &reports, context, &loaded);
    }
    let (folder, secrets) = brought_up(context, &loaded)?;
    super::block_on(async {
        let interrupt = Interrupt::watch();
        let shop = Shop::new(environment, &secrets)?;
        let test = LoadTest {
            environment,
            catalogue: &loaded.catalogue,
            folder: &folder,
            shop: &shop,
            way: WayIn::direct(&shop),
            auditor: &Auditor::new(environment, &secrets)?,
            plan: &plan,
            observer: &*context.ui.observer(),
            interrupt: &interrupt,
        };
        measure(&test, &reports, context).await
    })
}

/// Runs a load test, and keeps its report.
pub(super) async fn measure(
    test: &LoadTest<'_>,
    reports: &Reports,
    context: &Context,
) -> Result<(), Failure> {
    test.check().await.map_err(load_failure)?;
    let id = report_id(OffsetDateTime::now_utc(), &test.plan.name);
    let draft = reports
        .begin(test.environment.name.as_str(), &id)
        .map_err(|error| unwritable(&error))?;
    let outcome = match ensure_room(draft.path()) {
        Ok(()) => test.run(draft.id()).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(outcome) => conclude(context, draft, outcome),
        Err(error) => {
            // Nothing was measured, so nothing is kept.
            let _ = std::fs::remove_dir_all(draft.path());
            Err(load_failure(error))
        }
    }
}

/// What a user is told when there is no plan.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn plan_failure(error: PlanError) -> Failure {
    Failure::of(&error).exit(ExitCode::Usage).hint(error.hint())
}

/// What a user is told when there is no report.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn load_failure(error: LoadError) -> Failure {
    let failure = Failure::of(&error);
    match &error {
        LoadError::NoGenerator(_) => failure
            .exit(ExitCode::Missing)
            .hint("`shopctl doctor --install` installs it"),
        LoadError::Down { .. } => failure.hint(
            "`shopctl status` shows what runs, `shopctl up` brings it up; nothing was loaded",
        ),
        LoadError::Busy { .. } => failure.hint("wait for it to end: two would measure each other"),
        LoadError::Interrupted => failure.exit(ExitCode::Unknown),
        LoadError::NoScript { .. } => failure
            .exit(ExitCode::Usage)
            .hint("--script names a file that k6 can run; nothing was loaded"),
        LoadError::Refused { said, .. } => said
            .iter()
            .fold(failure, |failure, line| failure.cause(line.clone()))
            .exit(ExitCode::Usage),
        LoadError::NothingAsked { said, .. } => said
            .iter()
            .fold(failure, |failure, line| failure.cause(line.clone())),
        LoadError::DiskFull { .. } => {
            failure.hint("free some space, or name another folder with --reports-dir")
        }
        _ => failure,
    }
}

/// What a user is told when a report cannot be begun.
fn unwritable(error: &StoreError) -> Failure {
    Failure::of(error)
        .hint("nothing was loaded; --reports-dir names another folder")
        .exit(ExitCode::Usage)
}

/// Makes the report, keeps it, and says in short what it shows.
fn conclude(context: &Context, draft: Draft, outcome: LoadOutcome) -> Result<(), Failure> {
    for note in &outcome.notes {
        context.ui.warn(note);
    }
    let report = LoadReport::assemble(outcome.facts, &outcome.samples);
    let place = draft.path().display().to_string();
    let summary = outcome
        .summary
        .map_or(Ok(()), |summary| draft.write(K6_SUMMARY, &summary));
    let kept = summary.and_then(|()| draft.finish_load(&report, &outcome.samples));
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&report)?;
    } else {
        context.ui.data(&in_short(&report))?;
    }
    if let Err(error) = kept {
        return Err(Failure::of(&error)
            .cause("what was measured stands above, and nowhere else")
            .hint("--reports-dir names another folder"));
    }
    context.ui.say(&format!("The report is in {place}"));
    context
        .ui
        .hint("`shopctl report show` shows it, `shopctl report verify` checks it");
    match report.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::told(ExitCode::Failed)),
        Verdict::Unknown => Err(Failure::told(ExitCode::Unknown)),
    }
}

/// The verdict, its reasons, and the figures that people ask for first.
fn in_short(report: &LoadReport) -> String {
    let totals = &report.totals;
    let mut table = Table::new(["", "MEASURED", "OBJECTIVE"]);
    let objective = |name: &str| {
        report
            .objectives
            .iter()
            .find(|objective| objective.name == name)
            .map_or_else(String::new, |objective| {
                let side = match objective.comparison {
                    Comparison::AtMost => "at most",
                    Comparison::AtLeast => "at least",
                };
                let unit = if objective.unit == "ratio" {
                    String::new()
                } else {
                    format!(" {}", objective.unit)
                };
                format!("{side} {}{unit}", objective.limit)
            })
    };
    table.row([
        "requests a second".into(),
        format!("{:.0}", totals.requests_per_second).into(),
        objective("requestsPerSecond").into(),
    ]);
    if let Some(latency) = &report.latency {
        for (name, value, limit) in [
            ("p50", latency.p50, "latencyP50"),
            ("p95", latency.p95, "latencyP95"),
            ("p99", latency.p99, "latencyP99"),
        ] {
            table.row([
                name.into(),
                format!("{value:.1} ms").into(),
                objective(limit).into(),
            ]);
        }
    }
    table.row([
        "requests".into(),
        format!("{}, {} failed", totals.requests, totals.failed_requests).into(),
        objective("errorRatio").into(),
    ]);
    table.row([
        "checks".into(),
        format!(
            "{}, {} failed",
            totals.checks.passed + totals.checks.failed,
            totals.checks.failed
        )
        .into(),
        "".into(),
    ]);
    if let Some(accounting) = &report.accounting {
        let held = accounting
            .checks
            .iter()
            .filter(|check| check.verdict == Verdict::Pass)
            .count();
        table.row([
            "orders".into(),
            format!(
                "{} confirmed, {held} of {} counts exact",
                accounting.acknowledged,
                accounting.checks.len()
            )
            .into(),
            "".into(),
        ]);
    }
    let reasons: Vec<String> = report
        .reasons
        .iter()
        .map(|reason| format!("\n  {}: {}", reason.verdict, reason.text))
        .collect();
    format!(
        "{}\n{}{}\n",
        table.render(),
        report.verdict,
        reasons.concat()
    )
}
