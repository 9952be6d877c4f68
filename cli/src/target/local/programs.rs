//! Programs that are installed: where they are and which version they have.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::LocalFolder;
use crate::catalogue::Program;
use crate::render::ProgramFile;

/// A program as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProgram {
    /// Its executable file.
    pub path: PathBuf,
    /// The version that it printed, as in `15.14`; none if it printed none.
    pub version: Option<String>,
}

impl FoundProgram {
    /// Whether it is new enough, and of the version that was asked for.
    pub fn suits(&self, program: &Program, wanted: Option<&str>) -> bool {
        let version = self.version.as_deref();
        let new_enough = match (&program.minimum, version) {
            (None, _) => true,
            (Some(minimum), Some(version)) => version_is_at_least(version, minimum),
            (Some(_), None) => false,
        };
        new_enough
            && wanted.is_none_or(|wanted| version.is_some_and(|version| is_of(version, wanted)))
    }
}

/// Looks for a program in PATH and in the folders that its component names: the newest that suits, or else the newest
/// that is there at all.
pub fn find_program(program: &Program, wanted: Option<&str>) -> Option<FoundProgram> {
    let mut found: Vec<FoundProgram> = candidates(program)
        .into_iter()
        .map(|path| FoundProgram {
            version: version_of(&path, program),
            path,
        })
        .collect();
    found.sort_by_key(|found| {
        let suits = found.suits(program, wanted);
        (
            suits,
            found.version.as_deref().map(numbers).unwrap_or_default(),
        )
    });
    found.pop()
}

/// The version of a program that is to run, and why that one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedVersion {
    /// As in `15`; none: the newest.
    pub version: Option<String>,
    /// The data that were made by it and that another one does not understand.
    pub data: Option<PathBuf>,
    /// The environment file asks for another one than the data do.
    pub conflict: Option<String>,
}

impl WantedVersion {
    /// What the environment file asks for, or else what the data need that are there.
    pub fn of(
        program: &Program,
        component: &str,
        asked: Option<&str>,
        folder: &LocalFolder,
    ) -> Self {
        let made_by = program.data_version.as_ref().and_then(|data_version| {
            folder.kept_data(component).into_iter().find_map(|data| {
                let text = fs::read_to_string(data.join(&data_version.file)).ok()?;
                let version = text.trim().to_owned();
                (!version.is_empty()).then_some((data, version))
            })
        });
        match (asked, made_by) {
            (Some(asked), Some((data, made_by)))
                if !is_of(asked, &made_by) && !is_of(&made_by, asked) =>
            {
                Self {
                    version: Some(made_by),
                    data: Some(data),
                    conflict: Some(asked.to_owned()),
                }
            }
            (Some(asked), _) => Self {
                version: Some(asked.to_owned()),
                ..Self::default()
            },
            (None, Some((data, version))) => Self {
                version: Some(version),
                data: Some(data),
                conflict: None,
            },
            (None, None) => Self::default(),
        }
    }

    /// The version as text.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What the data have to do with it, for whoever reads that it is missing; none if nothing.
    pub fn because(&self) -> Option<String> {
        let (data, version) = (self.data.as_ref()?, self.version.as_ref()?);
        Some(format!(
            "the data in {} were made by version {version}",
            data.display()
        ))
    }

    /// The way out when no program of the version is there.
    pub fn hint(&self, program: &Program) -> Option<String> {
        self.data.as_ref()?;
        let hint = &program.data_version.as_ref()?.hint;
        Some(hint.replace("{version}", self.version()?))
    }
}

/// Whether a version is not older than another one: `15.14` is at least `15`.
pub fn version_is_at_least(version: &str, minimum: &str) -> bool {
    numbers(version) >= numbers(minimum)
}

/// Whether a version is the wanted one or one of its minor versions: `15.14` is of `15`.
fn is_of(version: &str, wanted: &str) -> bool {
    numbers(version).starts_with(&numbers(wanted))
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// The executable files that may be the program, each once.
fn candidates(program: &Program) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(program.search.iter().flat_map(|pattern| expand(pattern)))
        .collect();
    let mut seen = BTreeSet::new();
    std::iter::once(&program.name)
        .chain(&program.alternatives)
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .filter(|path| is_executable(path))
        // Debian's /bin is /usr/bin, and redis-sentinel is redis-server under another name: the name decides what it
        // does, so only the folder is resolved.
        .filter_map(|path| {
            let folder = fs::canonicalize(path.parent()?).ok()?;
            let resolved = folder.join(path.file_name()?);
            seen.insert(resolved.clone()).then_some(resolved)
        })
        .collect()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The folders that a pattern means; `*` stands for any part of a name.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        folders = folders
            .into_iter()
            .flat_map(|folder| match part.split_once('*') {
                None => vec![folder.join(part)],
                Some((before, after)) => matching(&folder, before, after),
            })
            .collect();
    }
    folders
}

fn matching(folder: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        })
        .map(|entry| entry.path())
        .collect()
}

fn version_of(path: &Path, program: &Program) -> Option<String> {
    let output = Command::new(path)
        .args(&program.version_arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    version_in(&text, program.version_after.as_deref())
}

/// The first version in a text, behind a mark if there is one.
fn version_in(text: &str, after: Option<&str>) -> Option<String> {
    let rest = match after {
        Some(mark) => text.split_once(mark)?.1,
        None => text,
    };
    let start = rest.find(|c: char| c.is_ascii_digit())?;
    let version: String = rest
        .get(start..)?
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    Some(version.trim_end_matches('.').to_owned())
}

/// A program's file as templates know it. Its fingerprint changes when it is replaced by another build.
pub(super) fn program_file(path: &Path) -> ProgramFile {
    let fingerprint = fs::metadata(path).map_or_else(
        |_| String::new(),
        |metadata| {
            format!(
                "{}-{}.{}",
                metadata.len(),
                metadata.mtime(),
                metadata.mtime_nsec()
            )
        },
    );
    ProgramFile {
        path: path.to_string_lossy().into_owned(),
        fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{DataVersion, Package};

    #[test]
    fn versions_are_compared_by_number_and_not_by_text() {
        assert!(version_is_at_least("15.14", "15"));
        assert!(version_is_at_least("7.0.15", "7"));
        assert!(version_is_at_least("10", "9.6"));
        assert!(!version_is_at_least("14.9", "15"));
        assert!(is_of("15.14", "15") && is_of("7.2.1", "7.2"));
        assert!(!is_of("15.14", "1"));
    }

    #[test]
    fn a_version_is_found_in_what_servers_print() {
        let postgres = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(version_in(postgres, Some("(PostgreSQL)")).unwrap(), "15.14");
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(version_in(redis, Some("v=")).unwrap(), "7.0.15");
        assert_eq!(version_in("k6 v1.1.0 (go1.24)", None).unwrap(), "6");
        assert_eq!(version_in("no number", None), None);
    }

    #[test]
    fn data_that_are_there_choose_the_version_that_made_them() {
        let state = tempfile::tempdir().unwrap();
        let data = state.path().join("instances/server-0/data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("VERSION"), "15\n").unwrap();
        let folder = LocalFolder::locate("test", Some(state.path()), None).unwrap();
        let program = Program {
            name: "server".to_owned(),
            alternatives: Vec::new(),
            search: Vec::new(),
            minimum: None,
            version_arguments: Vec::new(),
            version_after: None,
            data_version: Some(DataVersion {
                file: "VERSION".to_owned(),
                hint: "get {version}".to_owned(),
            }),
            package: Package::default(),
        };
        let of = |asked| WantedVersion::of(&program, "server", asked, &folder);
        assert_eq!(of(None).version(), Some("15"));
        assert_eq!(of(None).hint(&program).unwrap(), "get 15");
        assert_eq!(of(Some("15.14")).conflict, None);
        assert_eq!(of(Some("17")).conflict.as_deref(), Some("17"));
        let other = WantedVersion::of(&program, "serv", None, &folder);
        assert_eq!(other, WantedVersion::default());
    }

    #[test]
    fn the_newest_program_that_suits_is_found_in_the_folders_of_a_pattern() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "15.2", "16.1"] {
            let folder = root.path().join(version).join("bin");
            fs::create_dir_all(&folder).unwrap();
            let file = folder.join("shop-test-server");
            fs::write(&file, format!("#!/bin/sh\necho 'server {version}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = Program {
            name: "shop-test-server".to_owned(),
            alternatives: Vec::new(),
            search: vec![format!("{}/*/bin", root.path().display())],
            minimum: Some("15".to_owned()),
            version_arguments: Vec::new(),
            version_after: None,
            data_version: None,
            package: Package::default(),
        };
        let version = |wanted| find_program(&program, wanted).unwrap().version.unwrap();
        assert_eq!(version(None), "16.1");
        assert_eq!(version(Some("15")), "15.2");
        let old = find_program(&program, Some("9")).unwrap();
        assert!(
            !old.suits(&program, Some("9")),
            "9.6 is older than the minimum"
        );
    }
}
