//! Writes an environment file to start from.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::{Context, project_failure};
use crate::args::EnvNewArgs;
use crate::environment::{EnvironmentFile, Host, HostRole, read_host, starter};
use crate::project::Project;
use crate::ui::{ExitCode, Failure};
use crate::value::{EnvironmentName, HostName};

const FOLDER: &str = "environments";

/// Writes the file, unless there is one.
pub(super) fn run(args: &EnvNewArgs, context: &Context) -> Result<(), Failure> {
    let name: EnvironmentName = args.name.parse().map_err(|error| {
        Failure::new(format!(
            "failed to name an environment `{}`: {error}",
            args.name
        ))
        .hint("a name is made of a-z, 0-9 and `-`, and begins with a letter")
        .exit(ExitCode::Usage)
    })?;
    if Project::ships(name.as_str()) {
        return Err(Failure::new(format!(
            "failed to name an environment `{name}`: that is one of shopctl's own, which commands would not find any more"
        ))
        .hint("choose another name")
        .exit(ExitCode::Usage));
    }
    let hosts = hosts(args)?;
    let folder = Path::new(FOLDER);
    let text = starter(&hosts, folder.join("environment.schema.json").exists());
    let path = folder.join(format!("{name}.yaml"));
    let catalogue = Project::here().catalogue().map_err(project_failure)?;
    let shown = path.display().to_string();
    EnvironmentFile::parse(&shown, text.as_bytes(), name.as_str(), &catalogue)
        .map_err(|invalid| Failure::of_files(&[invalid]))?;
    write(&path, &text)?;
    context.ui.data(&format!(
        "{shown} is written. Next: `shopctl env show {name}` shows all that it means."
    ))
}

/// The hosts in the order in which they were given, numbered.
fn hosts(args: &EnvNewArgs) -> Result<Vec<(HostName, Host)>, Failure> {
    let servers = args.servers.iter().map(|text| (text, HostRole::Server));
    let agents = args.agents.iter().map(|text| (text, HostRole::Agent));
    servers
        .chain(agents)
        .enumerate()
        .map(|(index, (text, role))| {
            let wrong = |reason: String| {
                Failure::new(format!("failed to read the host `{text}`: {reason}"))
                    .hint("write it as for ssh: USER@HOST, with :PORT behind it if it is not 22")
                    .exit(ExitCode::Usage)
            };
            let host = read_host(text, role).map_err(|error| wrong(error.to_string()))?;
            let name = format!("node-{}", index + 1);
            let name: HostName = name
                .parse()
                .map_err(|error: crate::value::NameError| wrong(error.to_string()))?;
            Ok((name, host))
        })
        .collect()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        Failure::new(format!("failed to write {}", path.display())).cause(error.to_string())
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(format!(
                "failed to write {}: there is such a file, and it stays as it is",
                path.display()
            ))
            .hint("choose another name, or edit that file")
            .exit(ExitCode::Usage),
            _ => failed(&error),
        })?;
    file.write_all(text.as_bytes())
        .map_err(|error| failed(&error))
}
