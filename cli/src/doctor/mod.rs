//! What this machine lacks for running an environment, and how to install it.
//!
//! Examining changes nothing. What can be installed is told as commands that anybody can run by hand; `install` runs
//! the same ones. Not here: the short check before `up` (`target`), and asking the user (`commands`).

mod examine;
mod install;
mod tools;

pub use examine::{Check, Outcome, Report, Topic, examine};
pub use install::{InstallError, Installation, Installer, Step, Wanted, prepare};
pub use tools::{find_tool, tools_folder};
