//! Secrets: in the configuration a path, in memory a value that does not print itself.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// The path of a file that holds a secret. Read when it is needed, so that a changed password is taken up
/// by the next connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// Names a secret's file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where the secret is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the secret; `purpose` says in errors what it is for. Trailing line ends are not part of it.
    pub fn read(&self, purpose: &str) -> Result<Secret, ConfigError> {
        let text =
            std::fs::read_to_string(&self.0).map_err(|source| ConfigError::SecretUnreadable {
                purpose: purpose.to_owned(),
                path: self.0.clone(),
                source,
            })?;
        let value = text.trim_end_matches(['\n', '\r']);
        if value.trim().is_empty() {
            return Err(ConfigError::SecretEmpty {
                purpose: purpose.to_owned(),
                path: self.0.clone(),
            });
        }
        Ok(Secret(value.to_owned()))
    }
}

/// A secret's value. `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value that must not be shown.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: for the call that needs it, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> (tempfile::TempDir, SecretFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, text).unwrap();
        (folder, SecretFile::new(path))
    }

    #[test]
    fn the_trailing_newline_is_not_part_of_a_secret() {
        let (_folder, file) = file_with("hunter two \r\n");
        assert_eq!(file.read("tests").unwrap().expose(), "hunter two ");
    }

    #[test]
    fn an_empty_secret_is_refused_by_the_name_of_its_file() {
        let (_folder, file) = file_with("\n");
        let message = file.read("role shop_order").unwrap_err().to_string();
        assert!(
            message.contains(&file.path().display().to_string()),
            "{message}"
        );
        assert!(message.contains("role shop_order"), "{message}");
    }

    #[test]
    fn a_missing_secret_is_refused_by_the_name_of_its_file() {
        let message = SecretFile::new("/nonexistent/password")
            .read("role shop_order")
            .unwrap_err()
            .to_string();
        assert!(message.contains("/nonexistent/password"), "{message}");
    }

    #[test]
    fn debug_output_hides_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
