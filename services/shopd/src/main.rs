//! `shopd`: the shop's services in one binary, one service a process.
//!
//! Parses arguments, reads the service's file, starts logging and the runtime, and hands over to the service's own
//! crate. Not here: anything that a service does.

mod args;
mod memory;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    memory::give_back_large_blocks();
    let args = args::Args::parse();
    match run::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
