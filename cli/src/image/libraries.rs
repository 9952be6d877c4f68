//! Finds the shared objects that a program needs, where its interpreter would.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::ImageError;
use super::program::{Machine, NotAnObject, Object};

/// What goes into an image beside a program: paths in the image, and the files of this machine that belong there.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    pub(super) files: BTreeMap<PathBuf, PathBuf>,
}

/// How deep files of folders may include each other.
const MOST_INCLUDES: usize = 8;

impl Libraries {
    /// Everything that a program needs, and what those need.
    pub(super) fn of(program: &Path, object: &Object) -> Result<Self, ImageError> {
        let Some(interpreter) = &object.interpreter else {
            return Ok(Self::default());
        };
        let mut missing = Vec::new();
        let mut files = BTreeMap::new();
        if interpreter.is_file() {
            files.insert(interpreter.clone(), interpreter.clone());
        } else {
            missing.push(format!("{} (its interpreter)", interpreter.display()));
        }
        let found = closure(program, object, interpreter, &mut missing);
        if !missing.is_empty() {
            return Err(ImageError::Missing {
                program: program.to_owned(),
                missing,
            });
        }
        // Where the C library is, the interpreter looks without being told; where others were may be only this
        // machine's configuration.
        let home = found
            .iter()
            .find(|(name, _)| name.starts_with("libc.so"))
            .and_then(|(_, path)| path.parent())
            .map(Path::to_owned);
        for (name, path) in found {
            let place = match &home {
                Some(home) => home.join(name),
                None => path.clone(),
            };
            files.insert(place, path);
        }
        Ok(Self { files })
    }
}

/// Each needed name once, with the file that was found for it.
fn closure(
    program: &Path,
    object: &Object,
    interpreter: &Path,
    missing: &mut Vec<String>,
) -> BTreeMap<String, PathBuf> {
    let system = system_folders(object.machine);
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut waiting = VecDeque::from([(program.to_owned(), object.clone())]);
    while let Some((user, object)) = waiting.pop_front() {
        for name in &object.needed {
            if found.contains_key(name) || is_interpreter(name, interpreter) {
                continue;
            }
            let folders = object
                .inherited_folders
                .iter()
                .chain(&object.own_folders)
                .chain(&system);
            match look_for(name, folders, object.machine) {
                Some((path, mut needed)) => {
                    found.insert(name.clone(), path.clone());
                    needed
                        .inherited_folders
                        .extend_from_slice(&object.inherited_folders);
                    waiting.push_back((path, needed));
                }
                None => missing.push(format!("{name} (needed by {})", user.display())),
            }
        }
    }
    missing.sort();
    missing.dedup();
    found
}

fn is_interpreter(name: &str, interpreter: &Path) -> bool {
    interpreter.file_name().is_some_and(|own| own == name)
}

fn look_for<'a>(
    name: &str,
    folders: impl Iterator<Item = &'a PathBuf>,
    machine: Machine,
) -> Option<(PathBuf, Object)> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        folders.map(|folder| folder.join(name)).collect()
    };
    candidates.into_iter().find_map(|path| {
        let object = Object::read(&path);
        // One for other processors is passed over, as the interpreter does.
        match object {
            Ok(object) if object.machine == machine => Some((path, object)),
            Ok(_) | Err(NotAnObject::Read(_) | NotAnObject::Other(_)) => None,
        }
    })
}

/// The folders of this machine's configuration, then those that interpreters know by themselves.
fn system_folders(machine: Machine) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    configured(Path::new("/etc/ld.so.conf"), &mut folders, MOST_INCLUDES);
    let triplet = machine.triplet();
    folders.extend(
        [
            format!("/lib/{triplet}"),
            format!("/usr/lib/{triplet}"),
            "/lib64".to_owned(),
            "/usr/lib64".to_owned(),
            "/lib".to_owned(),
            "/usr/lib".to_owned(),
        ]
        .map(PathBuf::from),
    );
    folders
}

fn configured(file: &Path, folders: &mut Vec<PathBuf>, depth: usize) {
    // A machine without this file has only the folders that interpreters know by themselves.
    let Ok(text) = fs::read_to_string(file) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(pattern) = line.strip_prefix("include ") {
            if depth > 0 {
                for included in matching(file, pattern.trim()) {
                    configured(&included, folders, depth - 1);
                }
            }
        } else if line.starts_with('/') {
            folders.push(PathBuf::from(line));
        }
    }
}

/// The files of a pattern whose last part may have one `*`, which is all that distributions use.
fn matching(file: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = file.parent().unwrap_or(Path::new("/")).join(pattern);
    let name = pattern
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        return vec![pattern];
    };
    let Some(entries) = pattern
        .parent()
        .and_then(|folder| fs::read_dir(folder).ok())
    else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.len() >= before.len() + after.len()
                    && name.starts_with(before)
                    && name.ends_with(after)
            })
        })
        .collect();
    found.sort();
    found
}
