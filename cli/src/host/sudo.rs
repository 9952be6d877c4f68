//! Becoming root: because one is, with sudo, or with sudo and a password, which goes through stdin alone.

use std::fmt;

use super::HostError;

/// A password. It is in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password. Only its first line counts, as files end with a newline.
    pub fn new(text: &str) -> Self {
        Self(text.lines().next().unwrap_or_default().to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// Somebody who knows the password of a user, or asks for it.
pub trait SudoPasswords: Send + Sync {
    /// The password of a user for sudo on a host. Called once a host; `None`: nobody knows it.
    fn password(&self, host: &str, user: &str) -> Option<Password>;
}

/// Nobody knows any password.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPassword;

impl SudoPasswords for NoPassword {
    fn password(&self, _: &str, _: &str) -> Option<Password> {
        None
    }
}

/// One password for all hosts.
#[derive(Clone, Debug)]
pub struct GivenPassword(pub Password);

impl SudoPasswords for GivenPassword {
    fn password(&self, _: &str, _: &str) -> Option<Password> {
        Some(self.0.clone())
    }
}

/// How a user becomes root on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sudo {
    /// He is.
    Root,
    /// sudo asks nothing.
    Free,
    /// sudo asks for this.
    With(Password),
    /// He cannot, for this reason; what needs no root works.
    Impossible { reason: String, hint: String },
}

/// What a login says about itself: its uid, and what sudo answered. One line of the first script on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Root,
    FreeSudo,
    /// sudo wants a password.
    SudoWithPassword,
    /// There is no sudo.
    NoSudo,
    /// sudo refuses; in its words.
    Refused(String),
}

/// Prints the standing, for [`Standing::parse`].
pub(super) const STANDING: &str = r#"
if [ "$(id -u)" = 0 ]; then standing=root
elif ! command -v sudo >/dev/null 2>&1; then standing=none
elif refusal=$(sudo -n true 2>&1 </dev/null); then standing=free
else case $refusal in
  *"password is required"*|*"askpass"*) standing=password ;;
  *) standing="refused $(printf %s "$refusal" | tr '\n' ' ')" ;;
esac; fi
"#;

impl Standing {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "root" => Self::Root,
            "free" => Self::FreeSudo,
            "password" => Self::SudoWithPassword,
            "none" => Self::NoSudo,
            other => Self::Refused(other.strip_prefix("refused ")?.trim().to_owned()),
        })
    }
}

impl Sudo {
    /// How a login of this standing becomes root.
    pub(super) fn of(
        standing: Standing,
        host: &str,
        user: &str,
        passwords: &dyn SudoPasswords,
    ) -> Self {
        let impossible = |reason: String, hint: String| Self::Impossible { reason, hint };
        match standing {
            Standing::Root => Self::Root,
            Standing::FreeSudo => Self::Free,
            Standing::SudoWithPassword => passwords.password(host, user).map_or_else(
                || {
                    impossible(
                        format!("sudo asks {user} for a password and nobody gave one"),
                        format!(
                            "see that {user} may use sudo; run shopctl on a terminal, which asks for the password, or \
                             give it in SHOPCTL_SUDO_PASSWORD or in a file that SHOPCTL_SUDO_PASSWORD_FILE names"
                        ),
                    )
                },
                Self::With,
            ),
            Standing::NoSudo => impossible(
                format!("{user} is not root, and sudo is not installed"),
                "name `user: root`, or install sudo and give the user its rights".to_owned(),
            ),
            Standing::Refused(words) => impossible(
                format!("sudo refuses {user}: {words}"),
                format!("give {user} the right in /etc/sudoers.d, or name `user: root`"),
            ),
        }
    }

    /// The arguments that run a command as root, and what is written to it before its own input.
    ///
    /// sudo asks for the password or, where it remembers it, does not. So a mark follows the password, and what comes
    /// up to the mark is not handed to the command.
    pub(super) fn wrap(
        &self,
        host: &str,
        argv: &[String],
    ) -> Result<(Vec<String>, Vec<u8>), HostError> {
        let with = |head: &[&str]| {
            let head = head.iter().map(|&argument| argument.to_owned());
            head.chain(argv.iter().cloned()).collect::<Vec<_>>()
        };
        match self {
            Self::Root => Ok((argv.to_vec(), Vec::new())),
            Self::Free => Ok((with(&["sudo", "-n", "--"]), Vec::new())),
            Self::With(Password(password)) => {
                let mark = format!("shopctl-{}", uuid::Uuid::new_v4().simple());
                let skip = r#"mark=$1; shift
while IFS= read -r line; do [ "$line" = "$mark" ] && exec "$@"; done; exit 126"#;
                let head = ["sudo", "-S", "-p", "", "--", "sh", "-c", skip, "sh", &mark];
                Ok((with(&head), format!("{password}\n{mark}\n").into_bytes()))
            }
            Self::Impossible { reason, hint } => Err(HostError::NoRoot {
                host: host.to_owned(),
                reason: reason.clone(),
                hint: hint.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_argument_and_in_no_debug_output() {
        let sudo = Sudo::With(Password::new("hunter2\n"));
        let (argv, before) = sudo.wrap("a", &["id".to_owned()]).unwrap();
        assert!(!argv.join(" ").contains("hunter2"), "{argv:?}");
        assert!(before.starts_with(b"hunter2\nshopctl-"));
        assert!(!format!("{sudo:?}").contains("hunter2"));
    }

    #[test]
    fn every_standing_is_told_apart() {
        assert_eq!(Standing::parse("root"), Some(Standing::Root));
        assert_eq!(
            Standing::parse("refused joe is not in the sudoers file. "),
            Some(Standing::Refused(
                "joe is not in the sudoers file.".to_owned()
            ))
        );
        assert_eq!(Standing::parse("hello"), None);
        let sudo = Sudo::of(Standing::SudoWithPassword, "a", "joe", &NoPassword);
        let error = sudo.wrap("a", &[]).unwrap_err();
        assert!(error.to_string().contains("sudo asks joe for a password"));
        assert!(error.hints()[0].contains("SHOPCTL_SUDO_PASSWORD"));
    }
}
