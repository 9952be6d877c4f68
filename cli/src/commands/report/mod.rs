//! Reports: list, show, compare, verify, publish, schema.

mod compare;
mod list;
mod publish;
mod show;
mod verify;

pub(in crate::commands) use compare::changes;

use super::Context;
use crate::args::{ReportArgs, ReportCommand};
use crate::report::{ReadReportError, Reports, StoreError, Verdict, report_schema};
use crate::ui::{Cell, ExitCode, Failure, Tone};

/// Runs a command about reports.
pub(super) fn run(args: &ReportArgs, context: &Context) -> Result<(), Failure> {
    let reports = Reports::at(&args.reports_dir);
    match &args.command {
        ReportCommand::List(args) => list::run(&reports, args, context),
        ReportCommand::Show(args) => show::run(&reports, args, context),
        ReportCommand::Compare(args) => compare::run(&reports, args, context),
        ReportCommand::Verify(args) => verify::run(&reports, args, context),
        ReportCommand::Publish(args) => publish::run(&reports, args, context),
        ReportCommand::Schema => context.ui.json(&report_schema()),
    }
}

/// What a user is told when a report cannot be found, read or written.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(in crate::commands) fn store_failure(error: StoreError) -> Failure {
    let failure = Failure::of(&error);
    match &error {
        StoreError::NotFound { .. } | StoreError::Empty { .. } => failure
            .exit(ExitCode::Usage)
            .hint("`shopctl report list` shows the reports that there are; `shopctl loadtest` and `shopctl failover-drill` make one"),
        StoreError::Ambiguous { paths, .. } => {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            failure.exit(ExitCode::Usage).hint(format!("name one by its path: {}", paths.join(", ")))
        }
        StoreError::Unfinished { .. } => failure.hint(
            "its run was killed or is still going on, or it is no report's folder; `shopctl report list` shows all",
        ),
        StoreError::Report { source: ReadReportError::Newer { .. } | ReadReportError::Kind { .. }, .. } => {
            failure.hint("use the shopctl that made it, or a newer one: report.md and report.html beside it can be read as they are")
        }
        StoreError::Write { .. } => failure.hint("check that the folder may be written by this user and that the disk is not full"),
        _ => failure,
    }
}

/// A verdict as a cell of a table.
fn cell(verdict: Verdict) -> Cell {
    Cell::toned(verdict.to_string(), tone(verdict))
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::Unknown => Tone::Doubtful,
    }
}

/// What a person is told of a report that cannot be read.
fn unreadable(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unfinished { .. } => "not finished",
        StoreError::Report {
            source: ReadReportError::Newer { .. } | ReadReportError::Kind { .. },
            ..
        } => "made by a newer shopctl",
        _ => "not readable",
    }
}
