//! Scripts that complete the command line in a shell.

use clap::CommandFactory;

use super::{Invocation, Shell};

/// The completion script of a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Invocation::command(), "shopctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
