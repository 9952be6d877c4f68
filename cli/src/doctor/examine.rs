//! Looks at this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;
use serde::Serialize;

use super::find_tool;
use super::install::Wanted;
use crate::catalogue::{Catalogue, Component, ComponentKind, Package, Program};
use crate::environment::Environment;
use crate::target::local::{LocalFolder, PortUse, ServerUser, WantedVersion, occupied};

/// Less free space than this, and a database that is just being made would fill the disk.
const LEAST_SPACE: u64 = 512 << 20;
/// Less than this will not last.
const COMFORTABLE_SPACE: u64 = 2 << 30;

/// What was found on this machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The environment that it was examined for.
    pub environment: String,
    /// Whether nothing is missing.
    pub ready: bool,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// The commands that would install what is missing: for whoever knows the package managers to fill in.
    pub install: Vec<String>,
    /// What a package manager can bring.
    #[serde(skip)]
    pub wanted: Vec<Wanted>,
}

impl Report {
    /// What is missing.
    pub fn missing(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.outcome == Outcome::Missing)
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What kind of thing it is.
    pub topic: Topic,
    /// Its name: stable within its topic.
    pub name: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What kind of thing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    /// An installed program.
    Program,
    /// The shop's own programs.
    Build,
    /// A port that the environment needs.
    Port,
    /// The file system of the state folder.
    Disk,
    /// The user and what he may do.
    User,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Well.
    Ok,
    /// It will do, but a person should know.
    Warning,
    /// The shop cannot come up like this.
    Missing,
}

/// Looks for everything that an environment needs here. `ours` are the processes of this environment's shop.
pub fn examine(
    environment: &Environment,
    catalogue: &Catalogue,
    folder: &LocalFolder,
    ours: &[i32],
) -> Report {
    let mut examination = Examination::default();
    examination.programs(environment, catalogue, folder);
    examination.shopd();
    examination.ports(environment, catalogue, ours);
    examination.disk(folder.state_dir());
    examination.user(folder);
    Report {
        environment: environment.name.to_string(),
        ready: examination
            .checks
            .iter()
            .all(|check| check.outcome != Outcome::Missing),
        checks: examination.checks,
        install: Vec::new(),
        wanted: examination.wanted,
    }
}

#[derive(Default)]
struct Examination {
    checks: Vec<Check>,
    wanted: Vec<Wanted>,
}

impl Examination {
    fn add(
        &mut self,
        topic: Topic,
        name: &str,
        outcome: Outcome,
        detail: String,
        fix: Option<String>,
    ) {
        self.checks.push(Check {
            topic,
            name: name.to_owned(),
            outcome,
            detail,
            fix,
        });
    }

    /// Programs of the components that are to run, and of the tools that commands use.
    fn programs(&mut self, environment: &Environment, catalogue: &Catalogue, folder: &LocalFolder) {
        let mut seen = BTreeSet::new();
        for component in catalogue.components() {
            let settings = environment.components.get(&component.name);
            let needed = component.kind == ComponentKind::Tool
                || settings.is_some_and(|settings| settings.enabled);
            let version = settings.and_then(|settings| settings.version.as_deref());
            if !needed {
                continue;
            }
            for program in &component.programs {
                if seen.insert((program.name.clone(), version)) {
                    let name = component.name.as_str();
                    let wanted = WantedVersion::of(program, name, version, folder);
                    self.program(component, program, &wanted);
                }
            }
        }
    }

    fn program(&mut self, component: &Component, program: &Program, wanted: &WantedVersion) {
        let version = wanted.version();
        let found = find_tool(program, version);
        if let Some(found) = found.as_ref().filter(|found| found.suits(program, version)) {
            let detail = match &found.version {
                Some(version) => format!("{version}, {}", found.path.display()),
                None => found.path.display().to_string(),
            };
            return self.add(Topic::Program, &program.name, Outcome::Ok, detail, None);
        }
        let needs = match (version, &program.minimum) {
            (Some(version), _) => format!("{} needs version {version}", component.name),
            (None, Some(minimum)) => format!("{} needs version {minimum} or newer", component.name),
            (None, None) => format!("{} needs it", component.name),
        };
        let seen = match found {
            Some(found) => match found.version {
                Some(version) => format!("{} is version {version}", found.path.display()),
                None => format!("{} tells no version", found.path.display()),
            },
            None => "not installed".to_owned(),
        };
        if let (Some(because), Some(hint)) = (wanted.because(), wanted.hint(program)) {
            // The package that is known brings the newest version, and these data need another one.
            return self.add(
                Topic::Program,
                &program.name,
                Outcome::Missing,
                format!("{seen}; {because}"),
                Some(hint),
            );
        }
        let wanted = Wanted {
            program: program.name.clone(),
            package: program.package.clone(),
        };
        let fix = if wanted.package == Package::default() {
            format!("install {} and see that it is in PATH", program.name)
        } else {
            "shopctl doctor --install".to_owned()
        };
        self.wanted.push(wanted);
        self.add(
            Topic::Program,
            &program.name,
            Outcome::Missing,
            format!("{seen}; {needs}"),
            Some(fix),
        );
    }

    /// `shopd` must lie beside shopctl and be of the same commit.
    fn shopd(&mut self) {
        let path = std::env::current_exe()
            .map(|own| own.with_file_name("shopd"))
            .unwrap_or_default();
        let expected = format!("shopd {}", crate::VERSION);
        let (outcome, detail) = match Command::new(&path).arg("--version").output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                if said.is_empty() {
                    (
                        Outcome::Missing,
                        format!("{} does not tell its version", path.display()),
                    )
                } else if said == expected {
                    (
                        Outcome::Ok,
                        format!("{}, {}", crate::VERSION, path.display()),
                    )
                } else {
                    let detail = format!(
                        "{} says `{said}`, this is shopctl {}",
                        path.display(),
                        crate::VERSION
                    );
                    (Outcome::Missing, detail)
                }
            }
            Err(error) => (Outcome::Missing, format!("{}: {error}", path.display())),
        };
        let fix = (outcome != Outcome::Ok)
            .then(|| "cargo build --release -p shopctl -p shopd".to_owned());
        self.add(Topic::Build, "shopd", outcome, detail, fix);
    }

    fn ports(&mut self, environment: &Environment, catalogue: &Catalogue, ours: &[i32]) {
        let wanted = wanted_ports(environment, catalogue);
        let taken = occupied(&wanted, ours);
        if taken.is_empty() {
            let detail = format!("{} ports are free, or the shop's own", wanted.len());
            return self.add(Topic::Port, "ports", Outcome::Ok, detail, None);
        }
        for occupied in taken {
            let name = match occupied.ports.as_slice() {
                [only] => only.to_string(),
                _ => "ports".to_owned(),
            };
            self.add(
                Topic::Port,
                &name,
                Outcome::Missing,
                occupied.what,
                Some(occupied.hint),
            );
        }
    }

    fn disk(&mut self, state_dir: &Path) {
        let Some(existing) = state_dir.ancestors().find(|folder| folder.exists()) else {
            return;
        };
        let Ok(found) = rustix::fs::statvfs(existing) else {
            return;
        };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let detail = format!(
            "{} has {:.1} GiB free",
            existing.display(),
            free as f64 / f64::from(1 << 30)
        );
        let (outcome, fix) = match free {
            0..LEAST_SPACE => (
                Outcome::Missing,
                Some("free some space, or name another folder with --state-dir"),
            ),
            LEAST_SPACE..COMFORTABLE_SPACE => {
                (Outcome::Warning, Some("free some space before long"))
            }
            _ => (Outcome::Ok, None),
        };
        self.add(
            Topic::Disk,
            "space",
            outcome,
            detail,
            fix.map(str::to_owned),
        );
    }

    fn user(&mut self, folder: &LocalFolder) {
        let state = folder.state_dir();
        let existing = state.ancestors().find(|folder| folder.exists());
        if let Some(closed) = existing.filter(|existing| !writable(existing)) {
            let detail = format!("{} cannot be written to", closed.display());
            let fix = "run as its owner, or name another folder with --state-dir".to_owned();
            return self.add(
                Topic::User,
                "state folder",
                Outcome::Missing,
                detail,
                Some(fix),
            );
        }
        self.add(
            Topic::User,
            "state folder",
            Outcome::Ok,
            state.display().to_string(),
            None,
        );
        if !Uid::effective().is_root() {
            return;
        }
        let (outcome, detail, fix) = match ServerUser::find() {
            Ok(user) => match folder.closed_to(user) {
                None if user == ServerUser::Missing => (
                    Outcome::Ok,
                    "`up` makes the user `shopctl` that servers run as".to_owned(),
                    None,
                ),
                None => (
                    Outcome::Ok,
                    "servers run as the user `shopctl`".to_owned(),
                    None,
                ),
                Some(closed) => (
                    Outcome::Missing,
                    format!("the servers' user may not enter {}", closed.display()),
                    Some(format!(
                        "chmod o+x {}, or name another folder with --state-dir",
                        closed.display()
                    )),
                ),
            },
            Err(error) => (
                Outcome::Missing,
                error.to_string(),
                error.hints().into_iter().next(),
            ),
        };
        self.add(Topic::User, "servers' user", outcome, detail, fix);
    }
}

fn writable(folder: &Path) -> bool {
    rustix::fs::access(
        folder,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .is_ok()
}

/// Every port that an instance listens on, with what it is for.
fn wanted_ports(environment: &Environment, catalogue: &Catalogue) -> BTreeMap<u16, PortUse> {
    let mut wanted = BTreeMap::new();
    for (name, settings) in environment.enabled() {
        let Some(component) = catalogue.get(name.as_str()) else {
            continue;
        };
        for (port, first) in &settings.ports {
            let shared = component.ports.get(port).is_some_and(|spec| spec.shared);
            let count = if shared { 1 } else { settings.replicas };
            for (ordinal, number) in (*first..=u16::MAX).enumerate().take(count as usize) {
                let port_use = PortUse {
                    component: name.to_string(),
                    kind: component.kind,
                    instance: if shared {
                        name.to_string()
                    } else {
                        format!("{name}-{ordinal}")
                    },
                    name: port.clone(),
                };
                wanted.insert(number, port_use);
            }
        }
    }
    wanted
}
