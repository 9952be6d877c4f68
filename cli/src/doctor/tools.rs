//! Programs that no package of the distribution brings: they live in a folder of shopctl's own.
//!
//! Python packages go into a virtual environment there, because distributions forbid others to touch their own
//! packages (PEP 668) and nobody wants a tool's dependencies among theirs.

use std::path::PathBuf;

use nix::unistd::Uid;

use crate::catalogue::Program;
use crate::target::local::{FoundProgram, find_program};

/// The folder of shopctl's own tools: a Python virtual environment. `None`: this user has no home. No environment can
/// have its name, which begins with a dot: each environment's state is beside it.
pub fn tools_folder() -> Option<PathBuf> {
    if Uid::effective().is_root() {
        return Some(PathBuf::from("/var/lib/shopctl/.tools"));
    }
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    variable("XDG_DATA_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("shopctl/.tools"))
}

/// Looks for a program, in the folder of tools too. `wanted` is the version that the environment asks for.
pub fn find_tool(program: &Program, wanted: Option<&str>) -> Option<FoundProgram> {
    let mut program = program.clone();
    if let Some(folder) = tools_folder() {
        program
            .search
            .push(folder.join("bin").to_string_lossy().into_owned());
    }
    find_program(&program, wanted)
}
