//! Finds out what this machine lacks, and installs it.

use super::target::{local_folder, local_only};
use super::{Context, block_on};
use crate::args::DoctorArgs;
use crate::doctor::{
    Check, InstallError, Installation, Installer, Outcome, Report, Step, Topic, examine, prepare,
};
use crate::project::Loaded;
use crate::target::local::status;
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

/// Finds out what this machine lacks, and installs it.
pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    local_only(loaded.file.environment())?;
    let installer = Installer::of_this_machine();
    let mut report = look(&loaded, context)?;
    let mut installation = prepare(&report.wanted, &installer);
    if args.install && !report.wanted.is_empty() {
        install(args, &installation, &installer, context)?;
        report = look(&loaded, context)?;
        installation = prepare(&report.wanted, &installer);
    }
    report.install = installation.steps.iter().map(Step::shown).collect();
    show(&report, context)?;
    if args.install && report.wanted.is_empty() {
        // What was asked for is done. What no package manager can change is said, and is for `up` to refuse.
        for check in report.missing() {
            context
                .ui
                .warn(&format!("{}: {}", name(check), check.detail));
        }
        return Ok(());
    }
    verdict(&report, context)
}

fn look(loaded: &Loaded, context: &Context) -> Result<Report, Failure> {
    let environment = loaded.file.environment();
    let folder = local_folder(context, environment)?;
    // Processes that cannot be told apart from others are others.
    let ours: Vec<i32> = block_on(async { Ok(status(&folder, |_| false).await) })?
        .map(|status| status.instances.iter().filter_map(|row| row.pid).collect())
        .unwrap_or_default();
    Ok(examine(environment, &loaded.catalogue, &folder, &ours))
}

fn show(report: &Report, context: &Context) -> Result<(), Failure> {
    match context.ui.output() {
        OutputFormat::Text => context.ui.data(&table(report).render()),
        OutputFormat::Json => context.ui.json(report),
    }
}

fn verdict(report: &Report, context: &Context) -> Result<(), Failure> {
    let missing: Vec<String> = report.missing().map(name).collect();
    if missing.is_empty() {
        context
            .ui
            .hint("nothing is missing: `shopctl up` brings the shop up");
        return Ok(());
    }
    let failure =
        Failure::new(format!("not ready: {}", missing.join(", "))).exit(ExitCode::Missing);
    if report.install.is_empty() {
        return Err(failure);
    }
    let commands = report.install.join("\n  ");
    Err(failure.hint(format!(
        "`shopctl doctor --install` runs what installs it:\n  {commands}"
    )))
}

fn table(report: &Report) -> Table {
    let mut table = Table::new(["", "CHECK", "FOUND"]);
    for check in &report.checks {
        let (mark, tone) = match check.outcome {
            Outcome::Ok => ("✓", Tone::Good),
            Outcome::Warning => ("!", Tone::Doubtful),
            Outcome::Missing => ("✗", Tone::Bad),
        };
        table.row([
            Cell::toned(mark, tone),
            name(check).into(),
            check.detail.clone().into(),
        ]);
        if let Some(fix) = &check.fix {
            table.row([
                "".into(),
                "".into(),
                Cell::toned(format!("→ {fix}"), Tone::Faint),
            ]);
        }
    }
    table
}

fn name(check: &Check) -> String {
    match check.topic {
        Topic::Port if check.name != "ports" => format!("port {}", check.name),
        Topic::Disk => "disk space".to_owned(),
        _ => check.name.clone(),
    }
}

fn install(
    args: &DoctorArgs,
    installation: &Installation,
    installer: &Installer,
    context: &Context,
) -> Result<(), Failure> {
    let ui = &context.ui;
    for program in &installation.impossible {
        ui.warn(&format!(
            "{program} cannot be installed from here: no package manager that is known has it"
        ));
    }
    if installation.steps.is_empty() {
        return Ok(());
    }
    ui.say("This is what will be run:");
    for step in &installation.steps {
        ui.say(&format!("  {}", step.shown()));
    }
    for note in &installation.notes {
        ui.say(&format!("Note: {note}"));
    }
    if !args.yes && !ui.confirm("Run these commands?") {
        return Err(Failure::new(
            "failed to install: it was not confirmed, and nothing was touched",
        )
        .exit(ExitCode::Missing)
        .hint("answer y, or use `--yes` in scripts"));
    }
    for step in &installation.steps {
        ui.say(&format!("── {}", step.shown()));
        installer.run(step).map_err(|error| {
            let failure = Failure::of(&error).exit(ExitCode::Missing);
            match (&error, step.as_root()) {
                (InstallError::Failed { .. }, None) => failure.hint("its own messages stand above"),
                (InstallError::Failed { .. }, Some(command)) => failure.hint(format!(
                    "its own messages stand above; who may not use sudo asks root to run\n  {command}"
                )),
                (InstallError::Run { .. }, Some(command)) => failure.hint(format!(
                    "without sudo, let root run this, and then begin again:\n  {command}"
                )),
                (InstallError::Run { .. }, None) => failure,
            }
        })?;
    }
    Ok(())
}
