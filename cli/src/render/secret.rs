//! Secrets as rendering sees them: a value, and the file where a process finds it.

use std::collections::BTreeMap;
use std::fmt;

/// What is added to a secret's name for the other one, while it is rotated.
pub const OTHER: &str = ".other";

/// What the name of a secret is followed by where it stands since when a component's data know it.
pub const KNOWN: &str = ".known";

/// All secrets of an environment by name.
pub type SecretSet = BTreeMap<String, Secret>;

/// A secret. Its value is in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The file that holds it where the instances run.
    pub path: String,
    value: String,
    other: Option<String>,
    public: Option<String>,
}

impl Secret {
    /// A secret that the file `path` holds.
    pub fn new(path: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            value: value.into(),
            other: None,
            public: None,
        }
    }

    /// The same with what everybody may know of it: of a key, the set of public keys (RFC 7517) with its other half.
    #[must_use]
    pub fn with_public(self, public: impl Into<String>) -> Self {
        Self {
            public: Some(public.into()),
            ..self
        }
    }

    /// The same while it is rotated: with the one before, or with the one that is to come.
    #[must_use]
    pub fn with_other(self, other: impl Into<String>) -> Self {
        Self {
            other: Some(other.into()),
            ..self
        }
    }

    /// The one before, or the one that is to come, while it is rotated.
    pub fn expose_other(&self) -> Option<&str> {
        self.other.as_deref()
    }

    /// The file with the other one.
    pub fn other_path(&self) -> Option<String> {
        self.other.as_ref()?;
        Some(format!("{}{OTHER}", self.path))
    }

    /// What everybody may know of it.
    pub fn public(&self) -> Option<&str> {
        self.public.as_deref()
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secret")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
