//! Finds environments by name or path, and templates on disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ENVIRONMENTS, Project, ProjectError, shipped};
use crate::catalogue::{Origin, Templates};
use crate::document::{MAXIMUM_SIZE, nearest};

/// An environment's file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it came from.
    pub origin: Origin,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its file's name without the extension.
    pub stem: String,
}

impl Found {
    /// The file as a message names it.
    pub fn display(&self) -> String {
        match &self.origin {
            Origin::Shipped => format!("(shipped) {ENVIRONMENTS}/{}.yaml", self.stem),
            Origin::Disk(path) => path.display().to_string(),
        }
    }
}

/// An environment that can be asked for by its name.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name on the command line.
    pub name: String,
    /// Where its file is.
    pub origin: Origin,
    /// Whether a file on disk hides a shipped environment of the same name.
    pub overrides_shipped: bool,
}

impl Project {
    /// Whether an environment of this name is built in.
    pub fn ships(name: &str) -> bool {
        shipped::environments().any(|(shipped, _)| shipped == name)
    }

    /// The environments that can be asked for by name, in the order of their names.
    pub fn environments(&self) -> Result<Vec<Listed>, ProjectError> {
        let mut all: BTreeMap<String, Listed> = shipped::environments()
            .map(|(name, _)| {
                let listed = Listed {
                    name: name.to_owned(),
                    origin: Origin::Shipped,
                    overrides_shipped: false,
                };
                (name.to_owned(), listed)
            })
            .collect();
        for path in entries(&self.folder.join(ENVIRONMENTS))? {
            if let Some(name) = environment_name(&path) {
                let listed = Listed {
                    overrides_shipped: all.contains_key(&name),
                    name: name.clone(),
                    origin: Origin::Disk(path),
                };
                all.insert(name, listed);
            }
        }
        Ok(all.into_values().collect())
    }

    /// Finds an environment. What has a slash or ends like a YAML file is a path, everything else a name.
    pub fn find(&self, name_or_path: &str) -> Result<Found, ProjectError> {
        if is_path(name_or_path) {
            return self.find_path(Path::new(name_or_path));
        }
        let path = self
            .folder
            .join(ENVIRONMENTS)
            .join(format!("{name_or_path}.yaml"));
        if path.exists() {
            return read_environment(path);
        }
        if let Some((name, text)) = shipped::environments().find(|(name, _)| *name == name_or_path)
        {
            return Ok(Found {
                origin: Origin::Shipped,
                bytes: text.as_bytes().to_vec(),
                stem: name.to_owned(),
            });
        }
        let known: Vec<String> = self
            .environments()?
            .into_iter()
            .map(|listed| listed.name)
            .collect();
        let meant = nearest(name_or_path, known.iter().map(String::as_str)).map(str::to_owned);
        Err(ProjectError::UnknownName {
            name: name_or_path.to_owned(),
            known,
            meant,
        })
    }

    /// The file on disk that a name or path means, if it is there.
    pub fn file_of(&self, name_or_path: &str) -> Option<PathBuf> {
        let file = if is_path(name_or_path) {
            self.folder.join(name_or_path)
        } else {
            self.folder
                .join(ENVIRONMENTS)
                .join(format!("{name_or_path}.yaml"))
        };
        file.exists().then_some(file)
    }

    fn find_path(&self, path: &Path) -> Result<Found, ProjectError> {
        let here = self.folder.join(path);
        if here.exists() {
            read_environment(here)
        } else {
            Err(ProjectError::NoFile {
                path: path.to_owned(),
            })
        }
    }
}

/// Whether an environment is asked for by its path: with a slash, or with a file's ending.
pub fn is_path(name_or_path: &str) -> bool {
    name_or_path.contains('/')
        || [".yaml", ".yml"]
            .iter()
            .any(|extension| name_or_path.ends_with(extension))
}

/// The name of an environment's file; `None`: it is not one.
fn environment_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".yaml")?;
    (!name.is_empty() && !name.starts_with('.')).then(|| name.to_owned())
}

fn read_environment(path: PathBuf) -> Result<Found, ProjectError> {
    let bytes = read(&path)?;
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Found {
        origin: Origin::Disk(path),
        bytes,
        stem,
    })
}

/// Reads a file of text. More than a document may have is not read: whoever parses it says that it is too much.
fn read(path: &Path) -> Result<Vec<u8>, ProjectError> {
    let failed = |source| ProjectError::Read {
        path: path.to_owned(),
        source,
    };
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(ProjectError::NotAFile {
            path: path.to_owned(),
            what: "a folder",
        });
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAXIMUM_SIZE)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(failed)?;
    Ok(bytes)
}

/// Lays the files of a folder of templates over what is there. A folder that does not exist holds nothing.
pub(super) fn add_from_disk(templates: &mut Templates, root: &Path) -> Result<(), ProjectError> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(relative) = path
                .strip_prefix(root)
                .ok()
                .and_then(Path::to_str)
                .map(str::to_owned)
            else {
                continue;
            };
            // Editors leave files behind that are no templates and may be no text.
            if relative.ends_with('~') || relative.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            let text = String::from_utf8(read(&path)?).map_err(|_| ProjectError::NotAFile {
                path: path.clone(),
                what: "not UTF-8",
            })?;
            templates.insert(relative, text, Origin::Disk(path));
        }
    }
    Ok(())
}

/// What a folder holds, in the order of names. A folder that does not exist holds nothing.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ProjectError> {
    let failed = |source| ProjectError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}
