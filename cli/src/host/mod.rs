//! Hosts: commands as argv, and files, on a machine that is reached over ssh or is this one.
//!
//! | file | does |
//! |---|---|
//! | `command`, `error` | what is run, what came of it, what went wrong |
//! | `quote` | the one place where a command line is built for a shell |
//! | `process` | a process of this machine with input, deadline and limits |
//! | `ssh/`, `local`, `fake` | the hosts: the system's ssh, this machine, a scripted one for tests |
//! | `sudo` | becoming root, with and without a password |
//! | `files`, `push` | small files written whole or not at all, and large ones that survive a cut connection |
//! | `connect` | all hosts of an environment at once |
//!
//! Not here: what is done on a host (`bootstrap`).

mod command;
mod connect;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod files;
mod local;
mod process;
mod push;
mod quote;
mod spec;
mod ssh;
mod sudo;

pub use command::{Command, Exit, Input, Output};
pub use connect::{Connecting, connect_all};
pub use error::{ChangedKey, HostError};
pub use files::{Mode, read_file, remove_file, write_file};
pub use local::LocalHost;
pub use push::{Push, push_file, sha256_of};
pub use quote::shell_line;
pub use spec::{Connection, HostSpec};
pub use ssh::{SshFolder, SshHost};
pub use sudo::{GivenPassword, NoPassword, Password, SudoPasswords};

use futures_util::future::BoxFuture;

/// A machine that commands are run on.
pub trait Host: Send + Sync {
    /// Its name in the environment.
    fn name(&self) -> &str;

    /// Where this machine reaches it.
    fn address(&self) -> &str;

    /// Runs a command to its end. That it ended with an error is no error of this.
    fn run(&self, command: Command) -> BoxFuture<'_, Result<Output, HostError>>;
}

impl dyn Host + '_ {
    /// Runs a command that must end well.
    pub async fn run_well(&self, command: Command) -> Result<Output, HostError> {
        let about = command.about().to_owned();
        let output = self.run(command).await?;
        if output.is_success() {
            return Ok(output);
        }
        Err(HostError::of_output(self.name(), about, &output))
    }
}
