//! The files under `templates/`, from wherever they came.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a file came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is compiled into the binary.
    Shipped,
    /// It was read from this path.
    Disk(PathBuf),
}

impl Origin {
    /// The file as a message names it; `path` is its path under `templates/`.
    pub fn display(&self, path: &str) -> String {
        match self {
            Self::Shipped => format!("(shipped) templates/{path}"),
            Self::Disk(file) => file.display().to_string(),
        }
    }
}

/// A file under `templates/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its text.
    pub text: Arc<str>,
    /// Where it came from.
    pub origin: Origin,
}

/// All files under `templates/`, by their path there (`redis/redis.conf.j2`).
#[derive(Clone, Debug, Default)]
pub struct Templates(BTreeMap<String, Template>);

impl Templates {
    /// Adds a file; one that was there under the same path gives way.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>, origin: Origin) {
        let text = text.into();
        self.0.insert(path.into(), Template { text, origin });
    }

    /// A file.
    pub fn get(&self, path: &str) -> Option<&Template> {
        self.0.get(path)
    }

    /// All files with their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Template)> {
        self.0
            .iter()
            .map(|(path, template)| (path.as_str(), template))
    }
}
