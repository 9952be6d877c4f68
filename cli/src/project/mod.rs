//! What there is to work with: the shipped environments and templates, and the files on disk that override them.
//!
//! The only reader of environment files and templates. Not here: what they mean (`catalogue`, `environment`).

mod error;
mod lookup;
mod shipped;

use std::path::PathBuf;

pub use error::ProjectError;
pub use lookup::{Found, Listed, is_path};

use crate::catalogue::{Catalogue, Origin, Templates};
use crate::environment::EnvironmentFile;

/// The folder of environments beside which shopctl was started.
const ENVIRONMENTS: &str = "environments";
/// The folder of templates beside which shopctl was started.
const TEMPLATES: &str = "templates";

/// The shipped files, with those of a folder laid over them.
#[derive(Clone, Debug)]
pub struct Project {
    folder: PathBuf,
}

/// An environment and the catalogue that it was completed with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The environment's file.
    pub file: EnvironmentFile,
    /// Where the file was found.
    pub found: Found,
    /// The components.
    pub catalogue: Catalogue,
}

impl Project {
    /// The project of a folder; paths of files are shown relative to it.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The project of the folder in which shopctl was started.
    pub fn here() -> Self {
        Self::at("")
    }

    /// The components: the shipped templates, each replaced by the file of the same path under `templates/` here.
    pub fn catalogue(&self) -> Result<Catalogue, ProjectError> {
        let mut templates = Templates::default();
        for (path, text) in shipped::templates() {
            templates.insert(path, text, Origin::Shipped);
        }
        lookup::add_from_disk(&mut templates, &self.folder.join(TEMPLATES))?;
        Catalogue::parse(templates).map_err(ProjectError::Invalid)
    }

    /// Finds an environment by its name or path and reads it.
    pub fn load(&self, name_or_path: &str) -> Result<Loaded, ProjectError> {
        let catalogue = self.catalogue()?;
        let found = self.find(name_or_path)?;
        let file = EnvironmentFile::parse(&found.display(), &found.bytes, &found.stem, &catalogue)
            .map_err(|invalid| ProjectError::Invalid(vec![invalid]))?;
        Ok(Loaded {
            file,
            found,
            catalogue,
        })
    }
}
