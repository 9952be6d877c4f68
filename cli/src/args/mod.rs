//! The command line. Only this module knows clap; what commands get are plain types.

mod commands;
mod completions;
mod drill;
mod image;
mod loadtest;
mod report;
mod secrets;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Args, Parser, ValueEnum};

pub use commands::*;
pub use completions::completions;
pub use drill::{DrillArgs, Scenarios};
pub use image::{ImageCommand, ImagePackArgs};
pub use loadtest::LoadtestArgs;
pub use report::*;
pub use secrets::{RotateArgs, SecretsCommand};

use crate::ui::{ExitCode, OutputFormat, Ui};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 something is missing, 4 changes are pending,
5 not known: what was asked could not really be measured.
`shopctl COMMAND --help` shows examples.";

/// From bare Linux hosts, or this one machine, to a running shop, and the proof that it holds.
#[derive(Debug, Parser)]
#[command(name = "shopctl", version = crate::VERSION, styles = STYLES, after_help = AFTER_HELP)]
#[command(
    disable_help_subcommand = true,
    propagate_version = false,
    max_term_width = 100
)]
pub struct Invocation {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; nothing: say what this is and what to do next.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::doc_markdown, reason = "these are help texts")]
pub struct Global {
    /// The environment: a name (see `shopctl env list`), or the path of a file, whose shop is called as its `name:` says or else as the file is
    #[arg(
        short,
        long,
        global = true,
        env = "SHOPCTL_ENV",
        value_name = "NAME|PATH",
        default_value = "local",
        hide_env_values = true
    )]
    pub environment: String,
    /// The form of the answer
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Keep state in this folder [default: /var/lib/shopctl/NAME as root, else $XDG_STATE_HOME/shopctl/NAME]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SHOPCTL_STATE_DIR",
        hide_env = true
    )]
    pub state_dir: Option<PathBuf>,
    /// Say nothing but answers, warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// No colors (so does the variable NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// The form of an answer, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

// By hand: a derived one explains each value and makes every command's help three times as long.
impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

impl From<Format> for OutputFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

/// What the command line itself has for an answer: help, a version, or what is wrong with it.
#[derive(Debug)]
pub struct Answer(clap::Error);

impl Answer {
    /// Gives the answer and how the process ends.
    pub fn give(&self, ui: &Ui) -> ExitCode {
        let text = self.0.render().ansi().to_string();
        match self.0.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match ui.data(&text) {
                Ok(()) => ExitCode::Done,
                Err(failure) => ui.fail(&failure),
            },
            _ => {
                ui.complain(&text);
                ExitCode::Usage
            }
        }
    }
}

/// Reads the command line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Answer> {
    Invocation::try_parse_from(arguments).map_err(Answer)
}
