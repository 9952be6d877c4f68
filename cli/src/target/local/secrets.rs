//! The secrets of an environment on this machine: made once, then kept, a file each.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

use super::files::write_atomically;
use super::{LocalError, LocalFolder, ServerUser};
use crate::catalogue::{Catalogue, SecretKind};
use crate::environment::Environment;
use crate::render::{Secret, SecretSet};

/// Reads the secrets that there are and thinks up those that there are not. The names of the latter are given beside:
/// nothing is written, so a mistake that is found later costs nothing.
pub fn load_secrets(
    folder: &LocalFolder,
    environment: &Environment,
    catalogue: &Catalogue,
) -> Result<(SecretSet, Vec<String>), LocalError> {
    let mut secrets = SecretSet::new();
    let mut missing = Vec::new();
    for (name, kind) in wanted(environment, catalogue) {
        let path = folder.secrets().join(name);
        let value = match fs::read_to_string(&path) {
            Ok(text) if text.trim_end().is_empty() => {
                return Err(LocalError::UnusableSecret {
                    path,
                    reason: "the file is empty".to_owned(),
                });
            }
            Ok(text) => text.trim_end().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(name.to_owned());
                make(kind, environment.secrets.password_length)?
            }
            Err(error) => return Err(LocalError::read(&path, error)),
        };
        let mut secret = Secret::new(path.to_string_lossy().into_owned(), value);
        if kind == SecretKind::Ed25519Key {
            let keys = public_keys(secret.expose());
            secret = secret
                .with_public(keys.map_err(|reason| LocalError::UnusableSecret { path, reason })?);
        }
        secrets.insert(name.to_owned(), secret);
    }
    Ok((secrets, missing))
}

/// Secrets that say only which they are, for files that are shown.
pub fn placeholder_secrets(
    folder: &LocalFolder,
    environment: &Environment,
    catalogue: &Catalogue,
) -> SecretSet {
    wanted(environment, catalogue)
        .into_iter()
        .map(|(name, kind)| {
            let path = folder.secrets().join(name).to_string_lossy().into_owned();
            let secret = Secret::new(path, format!("SECRET-{name}"));
            let secret = match kind {
                SecretKind::Ed25519Key => {
                    secret.with_public(format!("{{\"keys\":[\"PUBLIC-KEY-OF-{name}\"]}}"))
                }
                SecretKind::Password | SecretKind::Token => secret,
            };
            (name.to_owned(), secret)
        })
        .collect()
}

/// Writes secrets that were thought up. One that is there by now is never replaced.
pub(super) fn write(
    folder: &LocalFolder,
    secrets: &SecretSet,
    names: &[String],
    user: ServerUser,
) -> Result<(), LocalError> {
    for name in names {
        let path = folder.secrets().join(name);
        if let Some(secret) = secrets.get(name)
            && !path.exists()
        {
            let text = format!("{}\n", secret.expose());
            write_atomically(&path, text.as_bytes(), 0o600, user.run_as())?;
        }
    }
    Ok(())
}

/// The secrets of all enabled components; one that several name is the same one.
fn wanted<'a>(
    environment: &Environment,
    catalogue: &'a Catalogue,
) -> BTreeMap<&'a str, SecretKind> {
    environment
        .enabled()
        .filter_map(|(name, _)| catalogue.get(name.as_str()))
        .flat_map(|component| &component.secrets)
        .map(|secret| (secret.name.as_str(), secret.kind))
        .collect()
}

/// The set of public keys that goes with a private one.
fn public_keys(pem: &str) -> Result<String, String> {
    let key = shop_token::SigningKey::from_pem(pem).map_err(|error| error.to_string())?;
    Ok(shop_token::Jwks::new([key.public_key().clone()]).to_json())
}

fn make(kind: SecretKind, password_length: u16) -> Result<String, LocalError> {
    Ok(match kind {
        SecretKind::Password => rand::rng()
            .sample_iter(Alphanumeric)
            .take(usize::from(password_length))
            .map(char::from)
            .collect(),
        SecretKind::Token => hex::encode(rand::random::<[u8; 32]>()),
        SecretKind::Ed25519Key => shop_token::SigningKey::generate()
            .to_pem()
            .map_err(|error| LocalError::Program {
                program: "the key generator".to_owned(),
                reason: error.to_string(),
            })?
            .trim_end()
            .to_owned(),
    })
}
