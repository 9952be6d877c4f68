//! Proves that the shop works.

use super::Context;
use super::target::{local_failure, local_folder, local_only};
use crate::environment::Environment;
use crate::render::SecretSet;
use crate::shop::{Auditor, Shop};
use crate::smoke::{self, Outcome, SmokeReport};
use crate::target::local::load_secrets;
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Proves that the shop works.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    let environment = loaded.file.environment();
    local_only(environment)?;
    let folder = local_folder(context, environment)?;
    let not_up = || {
        Failure::new(format!(
            "failed to find the shop `{}`: it was never brought up",
            environment.name
        ))
        .hint("`shopctl up` brings it up")
    };
    if !folder.exists().map_err(local_failure)? {
        return Err(not_up());
    }
    let (secrets, missing) =
        load_secrets(&folder, environment, &loaded.catalogue).map_err(local_failure)?;
    if !missing.is_empty() {
        return Err(not_up());
    }
    super::block_on(async {
        let report = prove(context, environment, &secrets).await?;
        if context.ui.output() == OutputFormat::Json {
            context.ui.json(&report)?;
        } else {
            context.ui.data(&table(&report))?;
        }
        conclude(context, &report)
    })
}

/// Runs the smoke test and tells its steps.
pub(super) async fn prove(
    context: &Context,
    environment: &Environment,
    secrets: &SecretSet,
) -> Result<SmokeReport, Failure> {
    let shop = Shop::new(environment, secrets);
    let auditor = Auditor::new(environment, secrets);
    let observer = context.ui.observer();
    Ok(smoke::smoke(environment.name.as_str(), &shop, &auditor, &*observer).await?)
}

/// Says how it ended; a check that failed is exit code 1.
pub(super) fn conclude(context: &Context, report: &SmokeReport) -> Result<(), Failure> {
    let passed = report
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Passed)
        .count();
    let seconds = std::time::Duration::from_millis(report.milliseconds).as_secs_f64();
    if report.passed {
        context
            .ui
            .say(&format!("All {passed} checks passed in {seconds:.1} s"));
        return Ok(());
    }
    let failed: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Failed)
        .map(|check| check.name.as_str())
        .collect();
    context.ui.warn(&format!(
        "{} of {} checks did not pass: {}",
        report.checks.len() - passed,
        report.checks.len(),
        failed.join(", ")
    ));
    context
        .ui
        .hint("`shopctl status` shows what runs, `shopctl logs COMPONENT` what it says");
    Err(Failure::told(ExitCode::Failed))
}

fn table(report: &SmokeReport) -> String {
    let mut table = Table::new(["CHECK", "RESULT", "TIME", "FOUND"]);
    for check in &report.checks {
        table.row([
            check.name.as_str().into(),
            match check.outcome {
                Outcome::Passed => Cell::toned("passed", Tone::Good),
                Outcome::Failed => Cell::toned("failed", Tone::Bad),
                Outcome::Skipped => Cell::toned("skipped", Tone::Doubtful),
            },
            format!("{} ms", check.milliseconds).into(),
            check.detail.as_str().into(),
        ]);
    }
    table.render()
}
