//! Checks a report.

use super::super::Context;
use super::{cell, store_failure};
use crate::args::ReportArg;
use crate::report::{FileState, Reports, Verdict, Verification, verify};
use crate::ui::{Cell, ExitCode, Failure, OutputFormat, Table, Tone};

pub(super) fn run(reports: &Reports, args: &ReportArg, context: &Context) -> Result<(), Failure> {
    let folder = reports.find(&args.report).map_err(store_failure)?;
    let verification = verify(&folder).map_err(store_failure)?;
    if context.ui.output() == OutputFormat::Json {
        context.ui.json(&verification)?;
    } else {
        context.ui.data(&text(&verification))?;
    }
    match verification.verdict {
        Verdict::Pass => {
            context
                .ui
                .say("Every figure follows from the raw samples, and no file was changed");
            Ok(())
        }
        Verdict::Fail => {
            context
                .ui
                .warn(&format!("the report {} does not verify", verification.id));
            Err(Failure::told(ExitCode::Failed))
        }
        Verdict::Unknown => {
            context.ui.warn(&format!(
                "not all of the report {} can be verified",
                verification.id
            ));
            Err(Failure::told(ExitCode::Failed))
        }
    }
}

fn text(verification: &Verification) -> String {
    let mut table = Table::new(["CHECKED", "RESULT", ""]);
    for file in &verification.files {
        let (words, tone) = match file.state {
            FileState::Same => ("unchanged", Tone::Good),
            FileState::Changed => ("CHANGED", Tone::Bad),
            FileState::Missing => ("MISSING", Tone::Bad),
            FileState::Added => ("NOT PART OF IT", Tone::Bad),
            FileState::LeftOut => ("left out when published", Tone::Faint),
        };
        table.row([file.name.as_str().into(), Cell::toned(words, tone)]);
    }
    for part in &verification.recomputed {
        table.row([part.part.as_str().into(), cell(part.verdict)]);
        for detail in &part.detail {
            table.row(["".into(), "".into(), detail.as_str().into()]);
        }
    }
    table.render()
}
