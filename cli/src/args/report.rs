//! `report` and what it takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What proofs left behind.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The folder of reports
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SHOPCTL_REPORTS_DIR",
        hide_env = true,
        default_value = "reports"
    )]
    pub reports_dir: PathBuf,
    /// What to do with them.
    #[command(subcommand)]
    pub command: ReportCommand,
}

/// What to do with reports.
#[derive(Clone, Debug, Subcommand)]
pub enum ReportCommand {
    /// The reports that there are, newest first
    #[command(after_help = LIST)]
    List(ReportListArgs),
    /// A report in short, and where its page is
    #[command(after_help = SHOW)]
    Show(ReportArg),
    /// What changed between two load tests or two drills, and what is noise
    #[command(after_help = COMPARE)]
    Compare(ReportCompareArgs),
    /// Compute a report again from its raw samples, and check that no file was changed
    #[command(after_help = VERIFY)]
    Verify(ReportArg),
    /// Keep a report in the repository and show its figures in the README
    #[command(after_help = PUBLISH)]
    Publish(ReportPublishArgs),
    /// Print the JSON Schema of report.json
    #[command(after_help = SCHEMA)]
    Schema,
}

/// The reports that there are.
#[derive(Clone, Debug, Args)]
pub struct ReportListArgs {
    /// Only those of this environment
    #[arg(value_name = "ENVIRONMENT")]
    pub of: Option<String>,
}

/// One report.
#[derive(Clone, Debug, Args)]
pub struct ReportArg {
    /// Its name, the path of its folder, or `latest`
    #[arg(value_name = "REPORT", default_value = "latest")]
    pub report: String,
}

/// Two reports.
#[derive(Clone, Debug, Args)]
pub struct ReportCompareArgs {
    /// The one before
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The one after
    #[arg(value_name = "AFTER", default_value = "latest")]
    pub after: String,
}

/// Keep a report.
#[derive(Clone, Debug, Args)]
pub struct ReportPublishArgs {
    /// Its name, the path of its folder, or `latest`
    #[arg(value_name = "REPORT", default_value = "latest")]
    pub report: String,
    /// The file with the table
    #[arg(long, value_name = "FILE", default_value = "README.md")]
    pub readme: PathBuf,
    /// Also a report that does not verify or that shows nothing
    #[arg(long)]
    pub anyway: bool,
}

const LIST: &str = "\
Examples:
  shopctl report list             all of them, with their verdicts
  shopctl report list local -o json | jq '.reports[0].path'";

const SHOW: &str = "\
Examples:
  shopctl report show             the newest one
  shopctl report show -o json | jq .totals";

const COMPARE: &str = "\
Says faster or slower only where the data of the two runs show it (block bootstrap, 95 %), and warns where the runs
did not have the same conditions. A machine that is busy with something else is not noticed: run both more than once. Of two reports of drills each
scenario's runs are compared.

Examples:
  shopctl report compare 20261121T144205Z-browse latest";

const VERIFY: &str = "\
Names each figure that does not follow from the raw samples and each file that was changed; exit code 1 if there is any.

Examples:
  shopctl report verify
  shopctl report verify reports/published/local/20261121T144205Z-browse";

const PUBLISH: &str = "\
Copies the report to reports/published/, without files over 1 MiB, and writes the newest figures of each environment and
profile or scenario between <!-- evidence:begin --> and <!-- evidence:end -->.

Examples:
  shopctl report publish          the newest report";

const SCHEMA: &str = "\
Examples:
  shopctl report schema > reports/report.schema.json";
