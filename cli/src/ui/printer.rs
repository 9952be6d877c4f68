//! Writes answers and talk.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use terminal_size::terminal_size_of;

use super::progress::{Lines, Spinners};
use super::{ExitCode, Failure, Table};
use crate::event::{Observer, Unobserved};

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document with stable field names.
    Json,
}

/// How to talk.
#[derive(Clone, Copy, Debug, Default)]
pub struct UiOptions {
    /// The form of answers.
    pub output: OutputFormat,
    /// Only answers and errors.
    pub quiet: bool,
    /// No colours, whatever the terminal can do.
    pub no_color: bool,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// The user's terminal, or whatever takes its place.
#[derive(Clone, Debug)]
pub struct Ui {
    options: UiOptions,
}

impl Ui {
    /// A user interface. Honours `NO_COLOR`, `CLICOLOR_FORCE` and pipes besides its options.
    pub fn new(options: UiOptions) -> Self {
        if options.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        Self { options }
    }

    /// The form of answers.
    pub fn output(&self) -> OutputFormat {
        self.options.output
    }

    /// Whether the answer goes to a terminal, as text.
    pub fn answers_to_people(&self) -> bool {
        self.options.output == OutputFormat::Text && io::stdout().is_terminal()
    }

    /// Writes a part of the answer, as it is, with a line's end if it has none.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        answered(write!(stdout, "{text}{end}").and_then(|()| stdout.flush()))
    }

    /// Writes a table as a part of the answer, within the width of the terminal if there is one.
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        let width = terminal_size_of(io::stdout()).map_or(usize::MAX, |(width, _)| width.0.into());
        self.data(&table.render_within(width))
    }

    /// Writes the answer as JSON.
    pub fn json(&self, answer: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(answer).map_err(|error| {
            Failure::new("failed to write the answer as JSON").cause(error.to_string())
        })?;
        self.data(&text)
    }

    /// Says something that is no answer: what to do next, what was found.
    pub fn say(&self, text: &str) {
        if !self.options.quiet {
            talk(format_args!("{text}"));
        }
    }

    /// Warns; also when quiet.
    pub fn warn(&self, text: &str) {
        talk(format_args!("{WARNING}warning{WARNING:#}: {text}"));
    }

    /// Says what to do next.
    pub fn hint(&self, text: &str) {
        if !self.options.quiet {
            talk(format_args!("{HINT}hint{HINT:#}: {text}"));
        }
    }

    /// Shows what is wrong with the command line, as its parser words it.
    pub fn complain(&self, text: &str) {
        talk(format_args!("{}", text.trim_end()));
    }

    /// Shows a failure and gives back how the process ends.
    pub fn fail(&self, failure: &Failure) -> ExitCode {
        if failure.is_silent() {
            return failure.exit;
        }
        if !failure.details.is_empty() {
            talk(format_args!("{}", failure.details.trim_end_matches('\n')));
            talk(format_args!(""));
        }
        talk(format_args!("{ERROR}error{ERROR:#}: {}", failure.message));
        for cause in &failure.causes {
            talk(format_args!("  cause: {cause}"));
        }
        for hint in &failure.hints {
            talk(format_args!("{HINT}hint{HINT:#}: {hint}"));
        }
        failure.exit
    }

    /// Asks a question that is answered with yes or no. Where nobody can answer, the answer is no.
    pub fn confirm(&self, question: &str) -> bool {
        if !io::stdin().is_terminal() {
            return false;
        }
        let mut stderr = anstream::stderr().lock();
        if write!(stderr, "{question} [y/N] ")
            .and_then(|()| stderr.flush())
            .is_err()
        {
            return false;
        }
        drop(stderr);
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).is_ok()
            && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Somebody to report the events of a command to whose answer tells them all again. On a terminal they pass by.
    pub fn passing_observer(&self) -> Arc<dyn Observer> {
        if io::stderr().is_terminal() && self.answers_to_people() && !self.options.quiet {
            Arc::new(Spinners::passing())
        } else {
            self.observer()
        }
    }

    /// Somebody to report events to: bars on a terminal, lines elsewhere, nobody when quiet.
    pub fn observer(&self) -> Arc<dyn Observer> {
        if self.options.quiet {
            Arc::new(Unobserved)
        } else if io::stderr().is_terminal() {
            Arc::new(Spinners::new())
        } else {
            Arc::new(Lines::default())
        }
    }
}

fn talk(text: std::fmt::Arguments<'_>) {
    // When stderr is closed there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn answered(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::reader_gone()),
        Err(error) => Err(Failure::new("failed to write the answer").cause(error.to_string())),
    }
}
