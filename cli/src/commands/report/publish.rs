//! Keeps a report in the repository.

use serde_json::json;

use super::super::Context;
use super::store_failure;
use crate::args::ReportPublishArgs;
use crate::report::figures::bytes;
use crate::report::{BEGIN, END, PublishError, Reports, Verdict, publish, verify};
use crate::ui::{ExitCode, Failure, OutputFormat};

pub(super) fn run(
    reports: &Reports,
    args: &ReportPublishArgs,
    context: &Context,
) -> Result<(), Failure> {
    let folder = reports.find(&args.report).map_err(store_failure)?;
    let report = folder.report().map_err(store_failure)?;
    let verified = verify(&folder).map_err(store_failure)?;
    if !args.anyway {
        if verified.verdict != Verdict::Pass {
            return Err(Failure::new(format!(
                "failed to publish {}: it does not verify",
                report.id()
            ))
            .hint(format!(
                "`shopctl report verify {}` says what does not agree",
                folder.path().display()
            ))
            .hint("`--anyway` publishes it all the same"));
        }
        if report.verdict() == Verdict::Unknown {
            return Err(Failure::new(format!(
                "failed to publish {}: it shows nothing, its verdict is UNKNOWN",
                report.id()
            ))
            .hint(format!(
                "`shopctl report show {}` says why",
                folder.path().display()
            ))
            .hint("`--anyway` publishes it all the same"));
        }
    }
    let published = publish(reports, &folder, &args.readme).map_err(failure)?;
    let path = published.folder.path().display().to_string();
    if context.ui.output() == OutputFormat::Json {
        let left_out: Vec<&String> = published.left_out.iter().map(|(name, _)| name).collect();
        return context.ui.json(&json!({
            "id": report.id(),
            "path": path,
            "leftOut": left_out,
            "readmeChanged": published.readme_changed,
        }));
    }
    context.ui.data(&path)?;
    for (name, size) in &published.left_out {
        let size = bytes(u64::try_from(*size).unwrap_or(u64::MAX));
        context.ui.warn(&format!(
            "{name} is left out: {size} are too much for the repository"
        ));
    }
    let readme = args.readme.display();
    if published.readme_changed {
        context.ui.say(&format!("{readme} shows it now"));
        context.ui.hint(&format!("git add {readme} {path}"));
    } else {
        context.ui.say(&format!("{readme} shows it already"));
    }
    Ok(())
}

fn failure(error: PublishError) -> Failure {
    match error {
        PublishError::Store(error) => store_failure(error),
        PublishError::Name { .. } => {
            Failure::of(&error).hint("`shopctl loadtest` never writes such a report")
        }
        PublishError::Markers { .. } => Failure::of(&error).exit(ExitCode::Usage).hint(format!(
            "the table stands between the lines {BEGIN} and {END}: add them where it belongs"
        )),
    }
}
