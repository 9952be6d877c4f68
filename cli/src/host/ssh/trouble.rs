//! What ssh says when it fails, and what that means.

use super::SshFolder;
use super::keys;
use crate::host::error::{ChangedKey, one_line};
use crate::host::{HostError, HostSpec};

/// Why a connection could not be made, from what ssh wrote.
pub(super) fn of_connecting(spec: &HostSpec, folder: &SshFolder, words: &str) -> HostError {
    let host = spec.name.clone();
    let address = spec.place();
    let changed = words.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || words.contains("Host key verification failed")
        || (words.contains("No ") && words.contains("host key is known for"));
    if changed {
        return HostError::KeyChanged(Box::new(ChangedKey {
            host,
            address,
            shown: words
                .split_whitespace()
                .find(|word| word.starts_with("SHA256:"))
                .map(|word| word.trim_end_matches('.').to_owned()),
            known: keys::known(folder, spec)
                .into_iter()
                .map(|key| key.fingerprint)
                .collect(),
            file: folder.known_hosts().to_owned(),
            entry: spec.key_name(),
        }));
    }
    let reason = reason(words);
    if words.contains("Permission denied") || words.contains("Too many authentication failures") {
        return HostError::Denied {
            host,
            user: spec.user_shown(),
            reason,
        };
    }
    HostError::Unreachable {
        host,
        address,
        reason,
    }
}

/// The last line that says something, without ssh's own decoration.
fn reason(words: &str) -> String {
    let lines: Vec<&str> = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Warning: Permanently added"))
        .collect();
    match lines.as_slice() {
        [] => "ssh ended without a word".to_owned(),
        // Where a jump host fails, the first line says why and the last one only that it did.
        [first, .., last] if last.contains("UNKNOWN port") => one_line(first),
        [.., last] => one_line(last),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn error(words: &str) -> HostError {
        let spec = HostSpec {
            name: "server-1".to_owned(),
            address: "192.0.2.1".to_owned(),
            user: Some("joe".to_owned()),
            ..HostSpec::default()
        };
        let folder = SshFolder::new(Path::new("/nonexistent"), Path::new("/nonexistent"));
        of_connecting(&spec, &folder, words)
    }

    #[test]
    fn what_ssh_says_is_told_apart() {
        let refused = "ssh: connect to host 192.0.2.1 port 22: Connection refused\n";
        assert_eq!(
            error(refused).to_string(),
            "failed to reach server-1 at 192.0.2.1: ssh: connect to host 192.0.2.1 port 22: Connection refused"
        );
        let denied = "joe@192.0.2.1: Permission denied (publickey).\n";
        assert!(matches!(error(denied), HostError::Denied { user, .. } if user == "joe"));
        let jump = "ssh: Could not resolve hostname jump: Name or service not known\nConnection closed by UNKNOWN port 65535\n";
        assert!(error(jump).to_string().contains("hostname jump"));
    }

    #[test]
    fn a_changed_key_is_named_with_the_one_that_is_shown() {
        let words = "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nThe fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\nHost key verification failed.\n";
        let HostError::KeyChanged(changed) = error(words) else {
            panic!("not seen as a changed key")
        };
        assert_eq!(changed.shown.as_deref(), Some("SHA256:abc"));
    }
}
