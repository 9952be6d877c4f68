//! The host keys that are known, and those that the environment names.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use tokio::process::Command as Process;

use super::SshFolder;
use super::options::{Trust, arguments};
use super::trouble::of_connecting;
use crate::host::command::Input;
use crate::host::process::{self, Ended};
use crate::host::{HostError, HostSpec};

/// A key in the file of known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownKey {
    pub(super) line: String,
    pub(super) fingerprint: String,
}

/// How long a host may take to show its key.
const SHOWING: Duration = Duration::from_secs(30);
/// A host shows one key at a time, so each kind is asked for until one is found that the environment names.
const KINDS: [&str; 3] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
];

/// The keys that are known of a host.
pub(super) fn known(folder: &SshFolder, spec: &HostSpec) -> Vec<KnownKey> {
    let text = fs::read_to_string(folder.known_hosts()).unwrap_or_default();
    keys_of(&text, &spec.key_name())
}

fn keys_of(text: &str, name: &str) -> Vec<KnownKey> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (found, _kind, key) = (words.next()?, words.next()?, words.next()?);
            let key = STANDARD.decode(key).ok()?;
            (found == name).then(|| KnownKey {
                line: line.to_owned(),
                fingerprint: fingerprint(&key),
            })
        })
        .collect()
}

/// The fingerprint of a public key, as `ssh-keygen -l` shows it.
fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// Whether a key is one of those that the environment names, with or without the padding that some tools show.
fn is_pinned(spec: &HostSpec, key: &KnownKey) -> bool {
    spec.fingerprints
        .iter()
        .any(|pin| pin.trim_end_matches('=') == key.fingerprint)
}

/// Sees that, where the environment names keys, exactly such are known: before anything else is sent to the host.
pub(super) async fn pin(spec: &HostSpec, folder: &SshFolder) -> Result<Trust, HostError> {
    if spec.fingerprints.is_empty() {
        return Ok(Trust::First);
    }
    let (good, bad): (Vec<_>, Vec<_>) = known(folder, spec)
        .into_iter()
        .partition(|key| is_pinned(spec, key));
    if !bad.is_empty() {
        write(folder, spec, &good)?;
    }
    if !good.is_empty() {
        return Ok(Trust::Kept);
    }
    let mut shown = Vec::new();
    for kind in KINDS {
        match show(spec, folder, kind).await {
            Ok(keys) => {
                let good: Vec<KnownKey> = keys
                    .iter()
                    .filter(|key| is_pinned(spec, key))
                    .cloned()
                    .collect();
                if !good.is_empty() {
                    write(folder, spec, &good)?;
                    return Ok(Trust::Kept);
                }
                shown.extend(keys.into_iter().map(|key| key.fingerprint));
            }
            // A host without a key of this kind has perhaps one of another.
            Err(HostError::Unreachable { reason, .. })
                if reason.contains("no matching host key type") => {}
            Err(error) => return Err(error),
        }
    }
    Err(HostError::KeyNotPinned {
        host: spec.name.clone(),
        address: spec.place(),
        shown: shown.join(" or "),
    })
}

/// The key that a host shows, without logging in to it: ssh keeps it before it would.
async fn show(spec: &HostSpec, folder: &SshFolder, kind: &str) -> Result<Vec<KnownKey>, HostError> {
    let scratch = folder.socket().with_extension("keys");
    let file = |source| HostError::File {
        path: scratch.clone(),
        source,
    };
    fs::write(&scratch, "").map_err(file)?;
    let alone = [
        "-o".to_owned(),
        format!("UserKnownHostsFile=\"{}\"", scratch.display()),
        "-o".to_owned(),
        format!("HostKeyAlgorithms={kind}"),
        "-o".to_owned(),
        "PreferredAuthentications=none".to_owned(),
        // That there is no key of this kind is not said otherwise.
        "-o".to_owned(),
        "LogLevel=INFO".to_owned(),
    ];
    // The first of several values counts.
    let mut all = alone.to_vec();
    all.extend(arguments(
        spec,
        folder,
        Trust::First,
        &["-S", "none"],
        "true",
    ));
    let mut process = Process::new("ssh");
    process.args(&all).env("LC_ALL", "C");
    let ended = process::run(&mut process, b"", Input::Nothing, SHOWING, 64 << 10).await;
    let text = fs::read_to_string(&scratch).unwrap_or_default();
    let _ = fs::remove_file(&scratch);
    let keys = keys_of(&text, &spec.key_name());
    if !keys.is_empty() {
        return Ok(keys);
    }
    match ended {
        Ok(Ended::Done(output) | Ended::TimedOut(output)) => {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(of_connecting(spec, folder, &words))
        }
        Err(process::Trouble::Start(source) | process::Trouble::Input(source)) => {
            Err(HostError::Program {
                program: "ssh".to_owned(),
                source,
            })
        }
    }
}

/// Makes these the only keys that are known of a host.
fn write(folder: &SshFolder, spec: &HostSpec, keys: &[KnownKey]) -> Result<(), HostError> {
    let path = folder.known_hosts();
    let failed = |source| HostError::File {
        path: path.to_owned(),
        source,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let name = spec.key_name();
    let others = text
        .lines()
        .filter(|line| line.split_whitespace().next() != Some(name.as_str()));
    let lines: Vec<&str> = others
        .chain(keys.iter().map(|key| key.line.as_str()))
        .collect();
    let temporary = folder.socket().with_extension("known");
    let temporary = path.with_file_name(temporary.file_name().unwrap_or_default());
    fs::write(&temporary, lines.join("\n") + "\n")
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "192.0.2.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_shows() {
        // GitHub publishes this key and its fingerprint.
        let keys = keys_of(ED25519, "192.0.2.1");
        assert_eq!(
            keys[0].fingerprint,
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
        );
        assert_eq!(keys_of(ED25519, "192.0.2.2"), []);
    }

    #[test]
    fn a_pin_may_be_padded() {
        let pinned = |pin: &str| {
            let spec = HostSpec {
                fingerprints: vec![pin.to_owned()],
                ..HostSpec::default()
            };
            is_pinned(&spec, &keys_of(ED25519, "192.0.2.1")[0])
        };
        assert!(pinned(
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU="
        ));
        assert!(!pinned("SHA256:+DiY3wvvV6TuJJhbpZisF"));
    }
}
