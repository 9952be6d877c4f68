//! What can go wrong on a host, and on the way to it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Output;

/// What went wrong, with its host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no `ssh` on this machine, or it cannot be run.
    #[error("failed to run {program}: {source}")]
    Program {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing answers there.
    #[error("failed to reach {host} at {address}: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// Where it was looked for.
        address: String,
        /// What ssh said.
        reason: String,
    },
    /// It answers and does not let us in.
    #[error("failed to log in to {host} as {user}: {reason}")]
    Denied {
        /// The host.
        host: String,
        /// The user, as far as it is known.
        user: String,
        /// What ssh said.
        reason: String,
    },
    /// It shows another key than the one that is known.
    #[error("failed to trust {}: {} shows another host key than before, so it is another machine or somebody is in between; nothing was sent to it", .0.host, .0.address)]
    KeyChanged(Box<ChangedKey>),
    /// It shows none of the keys that the environment names.
    #[error(
        "failed to trust {host}: {address} shows the host key {shown}, which is none of its `fingerprints`; nothing was sent to it"
    )]
    KeyNotPinned {
        /// The host.
        host: String,
        /// Where it is.
        address: String,
        /// The keys that it shows.
        shown: String,
    },
    /// What starts commands there is no POSIX shell.
    #[error(
        "failed to use {host}: the login shell of {user} does not understand quotes as a POSIX shell does"
    )]
    Shell {
        /// The host.
        host: String,
        /// The user.
        user: String,
    },
    /// The user cannot become root.
    #[error("failed to become root on {host}: {reason}")]
    NoRoot {
        /// The host.
        host: String,
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The connection ended while a command ran. What it did is not known.
    #[error("failed to {about} on {host}: the connection was cut{}", reason_of(.reason))]
    Lost {
        /// The host.
        host: String,
        /// What was being done.
        about: String,
        /// What ssh said.
        reason: String,
    },
    /// A command took too long.
    #[error("failed to {about} on {host} within {} s{}", deadline.as_secs(), reason_of(.last))]
    TimedOut {
        /// The host.
        host: String,
        /// What was being done.
        about: String,
        /// How long it had.
        deadline: Duration,
        /// What it wrote last.
        last: String,
    },
    /// A command ended with an error.
    #[error("failed to {about} on {host}: {reason}")]
    Failed {
        /// The host.
        host: String,
        /// What was being done.
        about: String,
        /// How it ended, and what it wrote last.
        reason: String,
    },
    /// The disk there is full.
    #[error("failed to {about} on {host}: no space is left on the device")]
    DiskFull {
        /// The host.
        host: String,
        /// What was being done.
        about: String,
    },
    /// What arrived is not what was sent.
    #[error(
        "failed to {about} on {host}: what arrived has the checksum {found} instead of {expected}"
    )]
    Checksum {
        /// The host.
        host: String,
        /// What was being done.
        about: String,
        /// The checksum that it should have.
        expected: String,
        /// The checksum that it has.
        found: String,
    },
    /// A command answered with something that cannot be understood.
    #[error("failed to {about} on {host}: {reason}")]
    Unexpected {
        /// The host.
        host: String,
        /// What was being done.
        about: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file of this machine could not be read or written.
    #[error("failed to use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A host's key that is not the one that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    /// The host.
    pub host: String,
    /// Where it is.
    pub address: String,
    /// The key that it shows, as far as it is known.
    pub shown: Option<String>,
    /// The keys that are known.
    pub known: Vec<String>,
    /// Where they are kept.
    pub file: PathBuf,
    /// The name they are kept under.
    pub entry: String,
}

impl ChangedKey {
    fn hints(&self) -> Vec<String> {
        vec![
            format!(
                "known is {}; shown is {}",
                self.known.join(", "),
                self.shown.as_deref().unwrap_or("another one")
            ),
            format!(
                "if the machine was really installed anew: `ssh-keygen -R '{}' -f {}`, then run the command again",
                self.entry,
                self.file.display()
            ),
        ]
    }
}

fn reason_of(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", one_line(reason))
    }
}

/// A text in one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command that reaches a place as people write it, HOST or HOST:PORT.
fn ssh_to(place: &str) -> String {
    match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            format!("ssh -p {port} {}", host.trim_matches(['[', ']']))
        }
        _ => format!("ssh {place}"),
    }
}

impl HostError {
    /// What a command that ended with an error means.
    pub(crate) fn of_output(host: &str, about: String, output: &Output) -> Self {
        let host = host.to_owned();
        let words = output.last_words();
        if words.contains("No space left on device") || words.contains("Disk quota exceeded") {
            return Self::DiskFull { host, about };
        }
        let reason = if words.is_empty() {
            output.exit.to_string()
        } else {
            format!("{} ({})", one_line(&words), output.exit)
        };
        Self::Failed {
            host,
            about,
            reason,
        }
    }

    /// Whether the connection was cut, so that trying again may help.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// What to do about it, a sentence each.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Program { program, .. } => {
                format!("install {program}; in Debian it comes with openssh-client")
            }
            Self::Unreachable { address, .. } => format!(
                "see whether the machine is up and `{}` reaches it, and whether `address`, `port` and ssh_config say where it \
                 is",
                ssh_to(address)
            ),
            Self::Denied { user, .. } => format!(
                "see that the key is in the agent or named by `identity`, and that it is in {user}'s authorized_keys; \
                 shopctl never asks for passwords of logins"
            ),
            Self::KeyChanged(changed) => return changed.hints(),
            Self::KeyNotPinned { .. } => {
                "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console shows its fingerprint"
                    .to_owned()
            }
            Self::Shell { user, .. } => {
                format!("give {user} a POSIX login shell such as bash, or name another user")
            }
            Self::NoRoot { hint, .. } => hint.clone(),
            Self::Lost { host, .. } => {
                format!("see whether {host} is up, and run the command again: it goes on from what there is")
            }
            Self::TimedOut { host, .. } => {
                format!("see what keeps {host} busy, and run the command again: it goes on from what there is")
            }
            Self::DiskFull { host, .. } => {
                format!("free some space on {host} and run the command again: it goes on from what there is")
            }
            Self::Checksum { .. } => {
                "run the command again; if it stays, the host's memory or disk is not well".to_owned()
            }
            Self::Failed { .. } | Self::Unexpected { .. } | Self::File { .. } => return Vec::new(),
        };
        vec![hint]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_as_ssh_takes_it() {
        assert_eq!(ssh_to("node-1"), "ssh node-1");
        assert_eq!(ssh_to("node-1:2222"), "ssh -p 2222 node-1");
        assert_eq!(ssh_to("::1"), "ssh ::1");
        assert_eq!(ssh_to("[::1]:2222"), "ssh -p 2222 ::1");
    }
}
