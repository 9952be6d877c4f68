//! This machine as a host.

use futures_util::future::BoxFuture;
use tokio::process::Command as Process;

use super::process::{self, Ended, Trouble};
use super::sudo::{STANDING, Standing, Sudo, SudoPasswords};
use super::{Command, Host, HostError, HostSpec, Output};

/// This machine.
#[derive(Debug)]
pub struct LocalHost {
    spec: HostSpec,
    sudo: Sudo,
}

impl LocalHost {
    /// Finds out how to become root here.
    pub async fn new(spec: HostSpec, passwords: &dyn SudoPasswords) -> Result<Self, HostError> {
        let mut host = Self {
            spec,
            sudo: Sudo::Root,
        };
        let script = format!("{STANDING}\nprintf '%s' \"$standing\"");
        let about = "see who we are";
        let output = host
            .execute(Command::script(about, &script, [] as [&str; 0]))
            .await?;
        let standing = Standing::parse(&output.text())
            .ok_or_else(|| HostError::of_output(&host.spec.name, about.to_owned(), &output))?;
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
            .ok()
            .flatten()
            .map_or_else(|| "this user".to_owned(), |user| user.name);
        if !host.spec.without_sudo {
            host.sudo = Sudo::of(standing, &host.spec.name, &user, passwords);
        }
        Ok(host)
    }

    async fn execute(&self, command: Command) -> Result<Output, HostError> {
        let (argv, before) = if command.is_as_root() {
            self.sudo.wrap(&self.spec.name, command.argv())?
        } else {
            (command.argv().to_vec(), Vec::new())
        };
        let about = command.about().to_owned();
        let (deadline, limit) = command.limits();
        let Some((program, arguments)) = argv.split_first() else {
            return Err(HostError::Unexpected {
                host: self.spec.name.clone(),
                about,
                reason: "there is no command".to_owned(),
            });
        };
        let mut process = Process::new(program);
        process.args(arguments);
        let input = command.into_input();
        match process::run(&mut process, &before, input, deadline, limit).await {
            Ok(Ended::Done(output)) => Ok(output),
            Ok(Ended::TimedOut(output)) => Err(HostError::TimedOut {
                host: self.spec.name.clone(),
                about,
                deadline,
                last: output.last_words(),
            }),
            Err(Trouble::Start(source)) => Err(HostError::Program {
                program: program.clone(),
                source,
            }),
            Err(Trouble::Input(error)) => Err(HostError::Unexpected {
                host: self.spec.name.clone(),
                about,
                reason: error.to_string(),
            }),
        }
    }
}

impl Host for LocalHost {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn address(&self) -> &str {
        &self.spec.address
    }

    fn run(&self, command: Command) -> BoxFuture<'_, Result<Output, HostError>> {
        Box::pin(self.execute(command))
    }
}
