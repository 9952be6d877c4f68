//! Proves that the shop works.

use super::target::{local_failure, local_folder};
use super::{Context, k3s};
use crate::args::SmokeArgs;
use crate::environment::{Environment, Target};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::project::Loaded;
use crate::render::SecretSet;
use crate::shop::{Auditor, Shop};
use crate::smoke::{self, Outcome, SmokeReport};
use crate::target::local::{
    LocalFolder, LockPatience, RunningDigest, WorkLock, forget_proof, load_secrets, note_proof,
};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Proves that the shop works.
pub(super) fn run(args: &SmokeArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    if loaded.file.environment().target == Target::K3s {
        return k3s::smoke(args, context, &loaded);
    }
    super::block_on_interruptible(
        |interrupt| test(args, context, &loaded, interrupt),
        || given_up("a later smoke test removes test data that is left"),
    )
}

async fn test(
    args: &SmokeArgs,
    context: &Context,
    loaded: &Loaded,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let environment = loaded.file.environment();
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
    let observer = context.ui.passing_observer();
    let patience = LockPatience::of(args.no_wait);
    let lock = WorkLock::take(&folder, "smoke", patience, &*observer, &interrupt)
        .await
        .map_err(local_failure)?;
    let (secrets, missing) =
        load_secrets(&folder, environment, &loaded.catalogue).map_err(local_failure)?;
    if !missing.is_empty() {
        return Err(not_up());
    }
    let proving = Proving {
        environment,
        folder: &folder,
        secrets: &secrets,
        observer: &*observer,
        interrupt: &interrupt,
    };
    let report = prove(&proving, &lock).await?;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&report)?;
    } else {
        context.ui.table(&table(&report))?;
    }
    conclude(context, &report)
}

/// What a user is told who did not wait for the end that the first Ctrl-C asked for.
pub(super) fn given_up(hint: &str) -> Failure {
    Failure::new("failed to end cleanly: a second Ctrl-C ended it at once").hint(hint)
}

/// What a proof needs.
pub(super) struct Proving<'a> {
    pub environment: &'a Environment,
    pub folder: &'a LocalFolder,
    pub secrets: &'a SecretSet,
    pub observer: &'a dyn Observer,
    pub interrupt: &'a Interrupt,
}

/// Runs the smoke test, tells its steps, and notes how it ended. Nobody else changes the shop meanwhile: the lock is
/// held.
pub(super) async fn prove(proving: &Proving<'_>, _lock: &WorkLock) -> Result<SmokeReport, Failure> {
    let Proving {
        environment,
        folder,
        secrets,
        observer,
        interrupt,
    } = proving;
    let shop = Shop::new(environment, secrets)?;
    let auditor = Auditor::new(environment, secrets)?;
    let running = RunningDigest::look(folder).await.map_err(local_failure)?;
    let name = environment.name.as_str();
    let report = smoke::smoke(name, &shop, &auditor, *observer, interrupt).await?;
    if report.passed {
        note_proof(folder, &running).await
    } else if report.interrupted {
        Ok(())
    } else {
        forget_proof(folder)
    }
    .map_err(local_failure)?;
    Ok(report)
}

/// Says how it ended; a check that failed is exit code 1, and so is Ctrl-C.
pub(super) fn conclude(context: &Context, report: &SmokeReport) -> Result<(), Failure> {
    let named = |outcome: Outcome| -> Vec<&str> {
        report
            .checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .map(|check| check.name.as_str())
            .collect()
    };
    let failed = named(Outcome::Failed);
    let passed = named(Outcome::Passed).len();
    let seconds = std::time::Duration::from_millis(report.milliseconds).as_secs_f64();
    if report.passed {
        context
            .ui
            .say(&format!("All {passed} checks passed in {seconds:.1} s"));
        return Ok(());
    }
    if report.interrupted {
        let left = if failed.contains(&smoke::CLEAN_UP) {
            "its test data may be left"
        } else {
            "its test data are removed"
        };
        return Err(Failure::new(format!(
            "failed to finish the smoke test: stopped by Ctrl-C; {left}"
        ))
        .hint("`shopctl up` goes on with it, `shopctl smoke` repeats it"));
    }
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

pub(super) fn table(report: &SmokeReport) -> Table {
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
    table
}
