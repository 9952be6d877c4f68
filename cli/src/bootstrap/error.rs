//! What can go wrong while hosts become a cluster.

use std::io;
use std::path::PathBuf;

use super::preflight::Problem;
use crate::causes::with_causes;
use crate::host::HostError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Something on a host, or on the way to it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Things are missing, taken or wrong, and nothing was touched.
    #[error("failed to begin: {}", first(.0))]
    Unprepared(Vec<Problem>),
    /// The plan names a host that nobody is connected to.
    #[error("failed to find the host {0}: nobody is connected to it")]
    NoHost(String),
    /// There is no k3s to install.
    #[error("failed to find k3s {version}: {reason}")]
    NoBinary {
        /// The version that is wanted.
        version: String,
        /// Where it was looked for.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A file of k3s or of images is not what it should be.
    #[error("failed to use {}: {reason}", path.display())]
    WrongFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// Something did not happen in time.
    #[error("failed to wait for {what} on {host}: not within {seconds} s; last seen: {last}")]
    NotReady {
        /// The host.
        host: String,
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen last.
        last: String,
        /// The end of what k3s wrote there.
        log: String,
    },
    /// A host does not get an image from the registry.
    #[error("failed to pull {image} on {host}: {reason}")]
    NotPulled {
        /// The host.
        host: String,
        /// The image's name.
        image: String,
        /// What was said there.
        reason: String,
    },
    /// k3s ends again and again.
    #[error("failed to start k3s on {host}: it ended {times} times; last seen: {last}")]
    KeepsEnding {
        /// The host.
        host: String,
        /// How often.
        times: u32,
        /// What was seen last.
        last: String,
        /// The end of what k3s wrote there.
        log: String,
    },
    /// The kubeconfig could not be used.
    #[error("failed to use the kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A file of this machine could not be read or written.
    #[error("failed to use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The user pressed Ctrl-C.
    #[error("failed to finish: stopped by Ctrl-C; {0}")]
    Interrupted(String),
}

fn first(problems: &[Problem]) -> String {
    match problems {
        [only] => only.to_string(),
        several => format!("{} things are in the way", several.len()),
    }
}

impl BootstrapError {
    /// What to do about it, a sentence each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Host(error) => error.hints(),
            Self::Unprepared(problems) => {
                let mut hints: Vec<String> = Vec::new();
                for problem in problems {
                    if !problem.hint.is_empty() && !hints.contains(&problem.hint) {
                        hints.push(problem.hint.clone());
                    }
                }
                hints
            }
            Self::NoBinary { hint, .. }
            | Self::WrongFile { hint, .. }
            | Self::Kubeconfig { hint, .. } => vec![hint.clone()],
            Self::NotReady { log, .. } | Self::KeepsEnding { log, .. } if !log.is_empty() => {
                vec![format!("the end of k3s' journal:\n{log}")]
            }
            Self::NotPulled { host, image, .. } => {
                let registry = image.split('/').next().unwrap_or_default();
                vec![format!(
                    "this machine reaches the registry: see that {host} reaches {registry} too, by the name that `registry.address` has, and what /etc/rancher/k3s/registries.yaml says there"
                )]
            }
            Self::Interrupted(_) => vec!["`shopctl up` goes on from here".to_owned()],
            Self::NotReady { .. }
            | Self::KeepsEnding { .. }
            | Self::NoHost(_)
            | Self::File { .. } => Vec::new(),
        }
    }

    /// What went wrong in one line, for the line of a step.
    pub fn in_short(&self) -> String {
        match self {
            Self::NotReady { what, last, .. } => format!("{what} is not there: {last}"),
            Self::Interrupted(_) => "stopped by Ctrl-C".to_owned(),
            other => other.to_string(),
        }
    }

    /// It as something that is in the way, beside others.
    pub fn problem(&self) -> Problem {
        Problem {
            host: None,
            what: with_causes(self),
            hint: self.hints().join("; "),
        }
    }

    pub(super) fn file(path: &std::path::Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
