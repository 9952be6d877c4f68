//! `shopctl`: takes bare hosts, or this machine, to a running shop, and proves that it holds.
//!
//! The binary in `main.rs` only calls [`run`]. `commands` wires the modules together; how they depend on each other
//! stands in ARCHITECTURE.md.

pub mod args;
pub mod bootstrap;
pub mod catalogue;
pub mod causes;
pub mod cluster;
pub mod commands;
pub mod doctor;
pub mod document;
pub mod drill;
pub mod environment;
pub mod event;
pub mod host;
pub mod image;
pub mod interrupt;
pub mod journal;
pub mod load;
pub mod plan;
pub mod project;
pub mod registry;
pub mod render;
pub mod report;
pub mod shop;
pub mod smoke;
pub mod supervisor;
pub mod target;
pub mod ui;
pub mod value;

use ui::{ExitCode, Ui, UiOptions};

/// The version and the commit that this binary was built from: `0.1.0 (1a2b3c4d5e6f)`.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SHOPCTL_COMMIT"), ")");

/// The commit that this binary was built from.
pub const COMMIT: &str = env!("SHOPCTL_COMMIT");

/// Runs the command line and gives back how the process ends.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    match args::parse(arguments) {
        Ok(invocation) => {
            let context = commands::Context::new(&invocation.global);
            match commands::dispatch(invocation.command, &context) {
                Ok(()) => ExitCode::Done,
                Err(failure) => context.ui.fail(&failure),
            }
        }
        Err(answer) => answer.give(&Ui::new(UiOptions::default())),
    }
}
