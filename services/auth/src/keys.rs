//! The keys of the service: one that signs, and those that are published.

use shop_common::config::{ConfigError, SecretFile, TokenConfig};
use shop_token::{Issuer, Jwks, KeyError, PublicKey, SigningKey};

use crate::config::SigningConfig;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A file does not hold a key.
    #[error("failed to use the key in {path}")]
    Key {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
}

/// What signs, and what is published.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) issuer: Issuer,
    pub(crate) published: Jwks,
}

impl Keys {
    /// Reads the files.
    pub(crate) fn load(signing: &SigningConfig, tokens: &TokenConfig) -> Result<Self, KeysError> {
        let key = read(&signing.key_file)?;
        let others = [&signing.previous_key_file, &signing.next_key_file]
            .into_iter()
            .flatten()
            .map(|file| read(file).map(|key| key.public_key().clone()))
            .collect::<Result<Vec<PublicKey>, _>>()?;
        Ok(Self {
            published: Jwks::new(std::iter::once(key.public_key().clone()).chain(others)),
            issuer: Issuer::new(&key, &tokens.issuer, &tokens.audience),
        })
    }
}

fn read(file: &SecretFile) -> Result<SigningKey, KeysError> {
    let pem = file.read("signing access tokens")?;
    SigningKey::from_pem(pem.expose()).map_err(|source| KeysError::Key {
        path: file.path().display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> SecretFile {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        SecretFile::new(path)
    }

    #[test]
    fn all_keys_are_published_and_the_signing_one_first() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [(); 3].map(|()| SigningKey::generate());
        let [now, before, soon] =
            [0, 1, 2].map(|at| write(folder.path(), &at.to_string(), &keys[at].to_pem().unwrap()));
        let signing = SigningConfig {
            key_file: now,
            previous_key_file: Some(before),
            next_key_file: Some(soon),
        };
        let loaded = Keys::load(&signing, &TokenConfig::default()).unwrap();
        let published: Vec<_> = loaded.published.keys().iter().map(PublicKey::id).collect();
        assert_eq!(published, keys.each_ref().map(SigningKey::id));
    }

    #[test]
    fn a_file_without_a_key_is_named_and_its_content_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let signing = SigningConfig {
            key_file: write(folder.path(), "signing-key", "hunter2"),
            previous_key_file: None,
            next_key_file: None,
        };
        let error = Keys::load(&signing, &TokenConfig::default()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("signing-key"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
