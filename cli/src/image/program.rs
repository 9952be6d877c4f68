//! What an ELF file says of itself. Nothing is executed: `ldd` would run the program's own interpreter.

use std::fs;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;
use goblin::elf::header::{EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC};

use super::ImageError;

/// A kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    Aarch64,
}

impl Machine {
    /// Its name in images.
    pub(super) fn architecture(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Its name in the folders of Debian's libraries.
    pub(super) fn triplet(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }
}

/// A program or a shared object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) machine: Machine,
    pub(super) interpreter: Option<PathBuf>,
    /// The names of the shared objects that it needs.
    pub(super) needed: Vec<String>,
    /// Where it says that they are: for itself, and for those that it loads as well.
    pub(super) own_folders: Vec<PathBuf>,
    pub(super) inherited_folders: Vec<PathBuf>,
}

/// Why a file is no object.
pub(super) enum NotAnObject {
    Read(std::io::Error),
    Other(String),
}

impl NotAnObject {
    pub(super) fn of_program(self, path: &Path) -> ImageError {
        match self {
            Self::Read(source) => ImageError::read(path)(source),
            Self::Other(reason) => ImageError::NotAProgram {
                path: path.to_owned(),
                reason,
            },
        }
    }
}

impl Object {
    pub(super) fn read(path: &Path) -> Result<Self, NotAnObject> {
        let bytes = fs::read(path).map_err(NotAnObject::Read)?;
        if bytes.starts_with(b"#!") {
            return Err(NotAnObject::Other("it is a script".to_owned()));
        }
        if !bytes.starts_with(b"\x7fELF") {
            return Err(NotAnObject::Other("it is no ELF file".to_owned()));
        }
        let elf = Elf::parse(&bytes).map_err(|error| NotAnObject::Other(error.to_string()))?;
        let machine = match elf.header.e_machine {
            EM_X86_64 => Machine::X86_64,
            EM_AARCH64 => Machine::Aarch64,
            other => {
                return Err(NotAnObject::Other(format!(
                    "it is for processors of type {other}"
                )));
            }
        };
        if !matches!(elf.header.e_type, ET_EXEC | ET_DYN) {
            return Err(NotAnObject::Other(
                "it is an ELF file, but not linked".to_owned(),
            ));
        }
        let origin = path.parent().unwrap_or(Path::new("/"));
        // With a runpath the older rpath counts for nothing.
        let (own, inherited) = if elf.runpaths.is_empty() {
            (&[] as &[&str], elf.rpaths.as_slice())
        } else {
            (elf.runpaths.as_slice(), &[] as &[&str])
        };
        Ok(Self {
            machine,
            interpreter: elf.interpreter.map(PathBuf::from),
            needed: elf.libraries.iter().map(|&name| name.to_owned()).collect(),
            own_folders: folders(own, origin),
            inherited_folders: folders(inherited, origin),
        })
    }
}

fn folders(paths: &[&str], origin: &Path) -> Vec<PathBuf> {
    let origin = origin.to_string_lossy();
    paths
        .iter()
        .flat_map(|path| path.split(':'))
        .filter(|path| !path.is_empty())
        .map(|path| {
            let path = path.replace("${ORIGIN}", &origin);
            PathBuf::from(path.replace("$ORIGIN", &origin))
        })
        .collect()
}
