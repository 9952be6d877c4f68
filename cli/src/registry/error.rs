//! What can go wrong with a registry. Every message says where; every hint names the setting or the file.

use std::io;
use std::path::PathBuf;

use super::Access;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file that the environment names cannot be read.
    #[error("failed to read {}, which `{setting}` names: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The setting.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file with the authority's certificate holds none.
    #[error("failed to use {}, which `registry.caFile` names: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The packed image on this machine cannot be used.
    #[error("failed to read the packed image {}: {source}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("failed to reach the registry {registry}: {reason}")]
    Unreachable {
        /// Where it should be.
        registry: String,
        /// What was seen instead of an answer.
        reason: String,
    },
    /// Its certificate is not believed.
    #[error("failed to trust the registry {registry}: {reason}")]
    Untrusted {
        /// Where it is.
        registry: String,
        /// What is wrong with its certificate.
        reason: String,
        /// The file with the certificate of its authority, if one is named.
        authority: Option<PathBuf>,
    },
    /// TLS is expected and it speaks none.
    #[error("failed to speak with the registry {registry}: it answers without TLS")]
    WithoutTls {
        /// Where it is.
        registry: String,
    },
    /// Plain HTTP is expected and it speaks TLS.
    #[error(
        "failed to speak with the registry {registry}: it answers plain HTTP with a demand for TLS"
    )]
    WithTls {
        /// Where it is.
        registry: String,
    },
    /// Something else answers there.
    #[error("failed to find a registry at {registry}: /v2/ answers {status}")]
    NotARegistry {
        /// Where it should be.
        registry: String,
        /// The status.
        status: u16,
    },
    /// It does not take user and password, or wants some and has got none.
    #[error("failed to log in to the registry {registry}: {}", who(user.as_deref()))]
    Login {
        /// Where it is.
        registry: String,
        /// Who we are there.
        user: Option<String>,
        /// The file with the password.
        password_file: Option<String>,
    },
    /// The user may not do this.
    #[error("failed to push to {repository}: the registry forbids it to {}", user.as_deref().unwrap_or("everybody"))]
    Forbidden {
        /// The image's full name.
        repository: String,
        /// Who we are there.
        user: Option<String>,
    },
    /// Its disk is full, or somebody limits what it takes.
    #[error("failed to push to {repository}: the registry has no room for it ({reason})")]
    NoRoom {
        /// The image's full name.
        repository: String,
        /// What it said.
        reason: String,
    },
    /// It answers something that was not expected.
    #[error("failed to {what} at the registry {registry}: it answers {status}{reason}")]
    Answer {
        /// Where it is.
        registry: String,
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// What it said about it, after a colon.
        reason: String,
    },
    /// What it says that it has is not what was sent.
    #[error(
        "failed to push to {repository}: the registry holds {found} under this name, and {sent} was sent"
    )]
    OtherDigest {
        /// The image's full name.
        repository: String,
        /// The digest that it answers.
        found: String,
        /// The digest that was sent.
        sent: String,
    },
    /// The user pressed Ctrl-C.
    #[error("failed to finish: stopped by Ctrl-C while {0} was being pushed")]
    Interrupted(String),
}

fn who(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("it does not take the password of {user}"),
        None => "it asks for a user and a password".to_owned(),
    }
}

impl RegistryError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::File { path, setting, .. } => {
                format!("put the file at {}, or correct `{setting}` in the environment file", path.display())
            }
            Self::Authority { .. } => {
                "`registry.caFile` names a file with the certificate that the registry's own is signed by, in PEM".to_owned()
            }
            Self::Archive { path, .. } => format!("remove {}: it is packed again", path.display()),
            Self::Unreachable { registry, .. } => format!(
                "see that it runs and that this machine reaches {registry}, or correct `registry.address` in the environment file"
            ),
            Self::Untrusted { authority: None, .. } => {
                "name the certificate that its own is signed by with `registry.caFile` in the environment file, or let it show one that is valid"
                    .to_owned()
            }
            Self::Untrusted { authority: Some(path), .. } => format!(
                "see that {} (`registry.caFile`) is the certificate that its own is signed by, and that its own is valid for this name",
                path.display()
            ),
            Self::WithoutTls { .. } => {
                "give it a certificate, or write `registry.plainHttp: true` into the environment file if its network can be trusted"
                    .to_owned()
            }
            Self::WithTls { .. } => "take `registry.plainHttp` out of the environment file".to_owned(),
            Self::NotARegistry { .. } => {
                "`registry.address` in the environment file is host, port and the path below which images are".to_owned()
            }
            Self::Login { user: None, .. } => {
                "`registry.user` and `registry.passwordFile` in the environment file say who we are there".to_owned()
            }
            Self::Login { password_file, .. } => format!(
                "correct the password in {} (`registry.passwordFile`), or `registry.user` in the environment file",
                password_file.as_deref().unwrap_or("the file")
            ),
            Self::Forbidden { .. } => {
                "let the user push and pull below `registry.address`, or name another one with `registry.user`".to_owned()
            }
            Self::NoRoom { .. } => {
                "make room on the registry's disk, or raise its limit; the next `shopctl up` sends only what is missing then".to_owned()
            }
            Self::Answer { registry, .. } => format!("what {registry} writes in its log tells more"),
            Self::OtherDigest { repository, .. } => {
                format!("see who else writes {repository}, and whether something between here and there changes what is sent")
            }
            Self::Interrupted(_) => "`shopctl up` goes on from here".to_owned(),
        }
    }

    pub(super) fn unreachable(access: &Access, reason: &impl ToString) -> Self {
        Self::Unreachable {
            registry: access.host().to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn login(access: &Access) -> Self {
        Self::Login {
            registry: access.host().to_owned(),
            user: access.user.clone(),
            password_file: access.password().map(|password| password.path.clone()),
        }
    }
}
