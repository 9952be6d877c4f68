//! The only place that prints: answers on stdout, everything that is said meanwhile on stderr.
//!
//! Knows colours, terminals and JSON. Not here: deciding what to say when; commands do that.

mod failure;
mod printer;
mod progress;

pub use failure::{ExitCode, Failure};
pub use printer::{OutputFormat, Ui, UiOptions};
