//! What must be there before anything is touched: all problems at once, each with its way out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::binary;
use super::holders::{PortUse, occupied};
use super::programs::{WantedVersion, find_program, program_file};
use super::{LocalFolder, ServerUser};
use crate::catalogue::{Catalogue, Component, Program};
use crate::environment::Environment;
use crate::render::{ProgramFile, RenderedInstance};

/// Less free space than this, and a database that is just being made would fill the disk.
const LEAST_SPACE: u64 = 512 << 20;

/// Something that is missing, taken or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is: a sentence without a full stop.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// Looks for everything that the environment needs of this machine. Gives the programs by the name that templates know
/// them by, without the shop's own.
pub fn preflight(
    environment: &Environment,
    catalogue: &Catalogue,
    folder: &LocalFolder,
    user: ServerUser,
) -> Result<BTreeMap<String, ProgramFile>, Vec<Problem>> {
    let mut problems = Vec::new();
    let programs = programs(environment, catalogue, folder, &mut problems);
    shopd(&mut problems);
    space(folder.state_dir(), &mut problems);
    if let Some(closed) = folder.closed_to(user) {
        problems.push(Problem::new(
            format!(
                "the servers' user may not enter {}, which leads to the state folder",
                closed.display()
            ),
            format!(
                "`chmod o+x {}`, or name another folder with `--state-dir`",
                closed.display()
            ),
        ));
    }
    if problems.is_empty() {
        Ok(programs)
    } else {
        Err(problems)
    }
}

/// Every port that an instance is to listen on and somebody else has. `ours` are the processes of this shop.
pub(super) fn taken_ports(instances: &[RenderedInstance], ours: &[i32]) -> Vec<Problem> {
    let wanted: BTreeMap<u16, PortUse> = instances
        .iter()
        .flat_map(|instance| {
            instance.ports.iter().map(move |(name, port)| {
                let port_use = PortUse {
                    component: instance.component.clone(),
                    kind: instance.kind,
                    instance: instance.name.clone(),
                    name: name.clone(),
                };
                (*port, port_use)
            })
        })
        .collect();
    occupied(&wanted, ours)
        .into_iter()
        .map(|occupied| Problem::new(occupied.what, occupied.hint))
        .collect()
}

fn programs(
    environment: &Environment,
    catalogue: &Catalogue,
    folder: &LocalFolder,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, ProgramFile> {
    let mut found = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for (name, settings) in environment.enabled() {
        let Some(component) = catalogue.get(name.as_str()) else {
            continue;
        };
        for program in &component.programs {
            if found.contains_key(&program.name) || missing.contains(&program.name) {
                continue;
            }
            let asked = settings.version.as_deref();
            let wanted = WantedVersion::of(program, name.as_str(), asked, folder);
            let problem = match find_program(program, wanted.version()) {
                _ if wanted.conflict.is_some() => conflicting(component, &wanted),
                Some(file) if file.suits(program, wanted.version()) => {
                    found.insert(program.name.clone(), program_file(&file.path));
                    continue;
                }
                other => unsuitable(
                    component,
                    program,
                    &wanted,
                    other.and_then(|file| file.version),
                ),
            };
            missing.insert(program.name.clone());
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    found
}

fn unsuitable(
    component: &Component,
    program: &Program,
    wanted: &WantedVersion,
    version: Option<String>,
) -> Problem {
    let needs = match (wanted.version(), &program.minimum) {
        (Some(wanted), _) => format!(" {wanted}"),
        (None, Some(minimum)) => format!(" {minimum} or newer"),
        (None, None) => String::new(),
    };
    let seen = version.map_or_else(
        || "is not installed".to_owned(),
        |version| format!("is there only as version {version}"),
    );
    let why = wanted
        .because()
        .map(|because| format!("; {because}"))
        .unwrap_or_default();
    Problem::new(
        format!(
            "{}{needs}, which {} needs, {seen}{why}",
            program.name, component.name
        ),
        wanted
            .hint(program)
            .unwrap_or_else(|| "`shopctl doctor --install` installs it".to_owned()),
    )
}

/// The environment file asks for a version that cannot read the data.
fn conflicting(component: &Component, wanted: &WantedVersion) -> Problem {
    let name = &component.name;
    Problem::new(
        format!(
            "the environment file asks for version {} of {name}, but {}",
            wanted.conflict.as_deref().unwrap_or_default(),
            wanted.because().unwrap_or_default()
        ),
        format!(
            "set `components.{name}.version: \"{}\"` in the environment file, or leave it out; data are moved by the \
             server's own tools",
            wanted.version().unwrap_or_default()
        ),
    )
}

/// `shopd` must lie beside shopctl and be of the same build.
fn shopd(problems: &mut Vec<Problem>) {
    const HINT: &str = "build both: `cargo build` makes them side by side";
    let problem = match binary::beside_shopctl() {
        Err(error) => Some(error.to_string()),
        Ok(path) => match binary::version(&path) {
            Err(error) => Some(format!(
                "shopd is not beside shopctl: {}: {error}",
                path.display()
            )),
            Ok(version) if version == format!("shopd {}", crate::VERSION) => None,
            Ok(version) => Some(format!(
                "{} is of another build: it says `{version}`, and this is shopctl {}",
                path.display(),
                crate::VERSION
            )),
        },
    };
    problems.extend(problem.map(|what| Problem::new(what, HINT)));
}

fn space(state_dir: &Path, problems: &mut Vec<Problem>) {
    let Some(existing) = state_dir.ancestors().find(|folder| folder.exists()) else {
        return;
    };
    if let Ok(found) = rustix::fs::statvfs(existing) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free < LEAST_SPACE {
            problems.push(Problem::new(
                format!(
                    "the disk of {} has only {} MiB free, and {} MiB are needed to begin",
                    state_dir.display(),
                    free >> 20,
                    LEAST_SPACE >> 20
                ),
                "free some space, or name a folder on another disk with `--state-dir`",
            ));
        }
    }
}
