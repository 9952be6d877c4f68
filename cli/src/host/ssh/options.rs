//! The arguments of `ssh`.

use std::path::Path;

use super::SshFolder;
use crate::host::HostSpec;

/// How host keys are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// A host that was never seen is believed, and its key kept.
    First,
    /// Only the keys that are kept.
    Kept,
}

/// The options of every connection to a host, without the host itself.
pub(super) fn options(spec: &HostSpec, folder: &SshFolder, trust: Trust) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(file) = &spec.config_file {
        arguments.extend(["-F".to_owned(), file.to_string_lossy().into_owned()]);
    }
    let strict = match trust {
        Trust::First => "accept-new",
        Trust::Kept => "yes",
    };
    let known_hosts = quoted(folder.known_hosts());
    for option in [
        // It must never wait for somebody to type.
        "BatchMode=yes",
        &format!("StrictHostKeyChecking={strict}"),
        &format!("UserKnownHostsFile={known_hosts}"),
        "GlobalKnownHostsFile=none",
        &format!("HostKeyAlias={}", spec.key_name()),
        "HashKnownHosts=no",
        "CheckHostIP=no",
        "VerifyHostKeyDNS=no",
        "UpdateHostKeys=no",
        // A host that died without a word is noticed after a quarter of a minute.
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "ConnectTimeout=10",
        "ControlPersist=no",
        "LogLevel=ERROR",
        // What the user's configuration may want of a terminal session is none of ours.
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "RequestTTY=no",
        "EscapeChar=none",
        "SessionType=default",
        "StdinNull=no",
        "ForkAfterAuthentication=no",
    ] {
        arguments.extend(["-o".to_owned(), option.to_owned()]);
    }
    if let Some(port) = spec.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(user) = &spec.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(identity) = &spec.identity {
        arguments.extend(["-i".to_owned(), identity.to_string_lossy().into_owned()]);
        arguments.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned()]);
    }
    arguments
}

/// The options, where the connection is, the host, and what it is to run.
pub(super) fn arguments(
    spec: &HostSpec,
    folder: &SshFolder,
    trust: Trust,
    more: &[&str],
    line: &str,
) -> Vec<String> {
    let mut arguments = options(spec, folder, trust);
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    arguments.extend(["--".to_owned(), spec.address.clone(), line.to_owned()]);
    arguments
}

/// ssh splits some values at spaces, and knows `%` and quotes.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%%");
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_never_taken_for_an_option() {
        let spec = HostSpec {
            address: "-oProxyCommand=touch /tmp/x".to_owned(),
            ..HostSpec::default()
        };
        let folder = SshFolder::new(Path::new("/s"), Path::new("/r"));
        let all = arguments(&spec, &folder, Trust::First, &["-S", "/x"], "true");
        let end = &all[all.len() - 3..];
        assert_eq!(end, ["--", "-oProxyCommand=touch /tmp/x", "true"]);
    }

    #[test]
    fn a_path_with_spaces_stays_one_file() {
        let folder = SshFolder::new(Path::new("/a b%"), Path::new("/r"));
        let all = options(&HostSpec::default(), &folder, Trust::Kept);
        let expected = "UserKnownHostsFile=\"/a b%%/ssh/known_hosts\"".to_owned();
        assert!(all.contains(&expected), "{all:?}");
    }
}
