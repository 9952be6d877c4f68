//! The only place that prints: answers on stdout, everything that is said meanwhile on stderr.
//!
//! Knows colors, terminals and JSON. Not here: deciding what to say when; commands do that.

mod diagnostics;
mod failure;
mod load;
mod password;
mod printer;
mod progress;
mod sourced;
mod table;

pub use failure::{ExitCode, Failure};
pub use password::AskedPassword;
pub use printer::{OutputFormat, Ui, UiOptions};
pub use sourced::SourcedLines;
pub use table::{Cell, Table, Tone};
