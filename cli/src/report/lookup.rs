//! Finding reports: all of them, one by its name or path, or the newest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document::Report;
use super::store::{Folder, PUBLISHED, REPORT, Reports, StoreError};

/// A report that was found, readable or not.
#[derive(Debug)]
pub struct Listed {
    /// The name of its folder, which is the report's.
    pub id: String,
    /// The environment's name, from the folder.
    pub environment: String,
    /// Where it is.
    pub folder: Folder,
    /// Whether it is one of those that are kept in the repository.
    pub published: bool,
    /// The report, or why it cannot be read.
    pub report: Result<Report, StoreError>,
}

impl Reports {
    /// All reports, newest first. One that was published and is still where it was made is listed once.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut found = self.folders()?;
        // Names begin with the time. Of two of the same name the one that was made here comes first.
        found.sort_by(|one, other| (&other.1, &one.0, one.2).cmp(&(&one.1, &other.0, other.2)));
        let published: Vec<(String, String)> = found
            .iter()
            .filter(|(.., published, _)| *published)
            .map(|(environment, id, ..)| (environment.clone(), id.clone()))
            .collect();
        found.dedup_by(|one, other| (&one.0, &one.1) == (&other.0, &other.1));
        Ok(found
            .into_iter()
            .map(|(environment, id, _, path)| {
                let folder = Folder::at(path);
                Listed {
                    published: published
                        .iter()
                        .any(|(of, named)| (of, named) == (&environment, &id)),
                    report: folder.report(),
                    id,
                    environment,
                    folder,
                }
            })
            .collect())
    }

    /// Finds a report: by its name, by the path of its folder or of a file in it, or `latest`, the newest one.
    pub fn find(&self, wanted: &str) -> Result<Folder, StoreError> {
        if wanted == "latest" {
            let mut listed = self.list()?;
            let Some(newest) = listed.iter().position(|listed| listed.report.is_ok()) else {
                // The newest one says why it cannot be read.
                return match listed.into_iter().next().map(|listed| listed.report) {
                    Some(Err(error)) => Err(error),
                    _ => Err(StoreError::Empty {
                        root: self.root().to_owned(),
                    }),
                };
            };
            return Ok(listed.swap_remove(newest).folder);
        }
        if let Some(folder) = at_path(Path::new(wanted)) {
            return Ok(folder);
        }
        let mut found: Vec<Folder> = self
            .list()?
            .into_iter()
            .filter(|listed| listed.id == wanted.trim_end_matches('/'))
            .map(|listed| listed.folder)
            .collect();
        match found.len() {
            0 => Err(StoreError::NotFound {
                wanted: wanted.to_owned(),
                root: self.root().to_owned(),
            }),
            1 => Ok(found.remove(0)),
            _ => Err(StoreError::Ambiguous {
                wanted: wanted.to_owned(),
                paths: found
                    .iter()
                    .map(|folder| folder.path().to_owned())
                    .collect(),
            }),
        }
    }

    /// Environment, name, whether it is published, and path of every folder of a report.
    fn folders(&self) -> Result<Vec<(String, String, bool, PathBuf)>, StoreError> {
        let mut found = Vec::new();
        for (root, published) in [
            (self.root().to_owned(), false),
            (self.root().join(PUBLISHED), true),
        ] {
            for (environment, folder) in subfolders(&root)? {
                if !published && environment == PUBLISHED {
                    continue;
                }
                let reports = subfolders(&folder)?;
                found.extend(
                    reports
                        .into_iter()
                        .map(|(id, path)| (environment.clone(), id, published, path)),
                );
            }
        }
        Ok(found)
    }
}

/// What a path leads to: a report's folder, or a file in one.
fn at_path(path: &Path) -> Option<Folder> {
    if path.is_dir() {
        return Some(Folder::at(path));
    }
    let parent = path.parent()?;
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    (path.is_file() && parent.join(REPORT).exists()).then(|| Folder::at(parent))
}

fn subfolders(root: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let failed = |source| StoreError::Read {
        path: root.to_owned(),
        source,
    };
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
