//! Which host, and how it is reached.

use std::path::PathBuf;

/// How commands get to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// Over ssh.
    #[default]
    Ssh,
    /// It is this machine.
    Local,
}

/// A host and the way to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSpec {
    /// Its name in the environment.
    pub name: String,
    /// Its address or name, or its alias in `ssh_config`.
    pub address: String,
    /// The port of its sshd; `None`: what `ssh_config` says, or 22.
    pub port: Option<u16>,
    /// Who to be there; `None`: what `ssh_config` says, or whoever runs shopctl.
    pub user: Option<String>,
    /// How commands get there.
    pub connection: Connection,
    /// The only host keys that are trusted, as `SHA256:…`; none: the first that is seen.
    pub fingerprints: Vec<String>,
    /// The file of the private key to use.
    pub identity: Option<PathBuf>,
    /// Never to use sudo: the user may do everything that is needed.
    pub without_sudo: bool,
    /// Another configuration than `~/.ssh/config` and `/etc/ssh/ssh_config`.
    pub config_file: Option<PathBuf>,
}

impl HostSpec {
    /// Where it is, as people write it.
    pub fn place(&self) -> String {
        match self.port {
            Some(port) if port != 22 && self.address.contains(':') => {
                format!("[{}]:{port}", self.address)
            }
            Some(port) if port != 22 => format!("{}:{port}", self.address),
            _ => self.address.clone(),
        }
    }

    /// The name that its keys are known by.
    pub(super) fn key_name(&self) -> String {
        match self.port {
            Some(port) if port != 22 => format!("[{}]:{port}", self.address),
            _ => self.address.clone(),
        }
    }

    /// The user, as far as it is known.
    pub(super) fn user_shown(&self) -> String {
        self.user
            .clone()
            .unwrap_or_else(|| "the user of ssh_config".to_owned())
    }
}
