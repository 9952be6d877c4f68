//! Writes the configuration that `up` would use into a folder, for reading and for comparing. It holds no secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use super::binary::ShopProgram;
use super::files::write_atomically;
use super::programs::{WantedVersion, find_program, program_file};
use super::{LocalError, LocalFolder, placeholder_secrets};
use crate::catalogue::Catalogue;
use crate::environment::Environment;
use crate::render::{ProgramFile, RenderInput, RenderedInstance, render};

/// The file that says that a folder was written by `render`, and lists what is in it.
const LIST: &str = "rendered-by-shopctl.txt";

/// Renders an environment into a folder. What an earlier run wrote there is replaced; anything else is refused. Gives
/// the number of files.
pub fn export(
    environment: &Environment,
    catalogue: &Catalogue,
    folder: &LocalFolder,
    out_dir: &Path,
) -> Result<usize, LocalError> {
    let secrets = placeholder_secrets(folder, environment, catalogue);
    let place = folder.place(programs(environment, catalogue, folder)?);
    let instances = render(&RenderInput {
        environment,
        catalogue,
        place: &place,
        secrets: &secrets,
        version: (env!("CARGO_PKG_VERSION"), crate::COMMIT),
    })
    .map_err(LocalError::Render)?;
    export_files(out_dir, &files(&instances))
}

/// Writes files into a folder by the same rules.
pub fn export_files(out_dir: &Path, files: &BTreeMap<String, String>) -> Result<usize, LocalError> {
    let before = written_before(out_dir)?;
    // The list goes first: a run that is killed leaves a folder that the next one knows.
    let names: BTreeSet<&String> = files.keys().chain(&before).collect();
    write_list(out_dir, &names)?;
    for (name, content) in files {
        let path = out_dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| LocalError::write(parent, error))?;
        }
        write_atomically(&path, content.as_bytes(), 0o644, None)?;
    }
    for name in before.iter().filter(|name| !files.contains_key(*name)) {
        remove(&out_dir.join(name))?;
    }
    write_list(out_dir, &files.keys().collect())?;
    Ok(files.len())
}

/// The files of all instances by their path in the folder, and each instance's command.
fn files(instances: &[RenderedInstance]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for instance in instances {
        let tasks = instance
            .tasks
            .iter()
            .map(|task| (format!("{}.command", task.name), &task.argv));
        for (name, argv) in std::iter::once(("run.command".to_owned(), &instance.argv)).chain(tasks)
        {
            files.insert(
                format!("{}/{name}", instance.name),
                format!("{}\n", argv.join("\n")),
            );
        }
        for file in instance.all_files() {
            files.insert(
                format!("{}/{}", instance.name, file.path),
                file.content.clone(),
            );
        }
    }
    files
}

/// What an earlier run wrote. Refuses a folder that holds anything that `render` did not write.
fn written_before(out_dir: &Path) -> Result<Vec<String>, LocalError> {
    match fs::read_dir(out_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(out_dir).map_err(|error| LocalError::write(out_dir, error))?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(LocalError::read(out_dir, error)),
        Ok(mut entries) => {
            if entries.next().is_none() {
                return Ok(Vec::new());
            }
        }
    }
    let list = match fs::read_to_string(out_dir.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(foreign(
                out_dir,
                "there are files in it that `render` did not write",
            ));
        }
        Err(error) => return Err(LocalError::read(&out_dir.join(LIST), error)),
    };
    let names: Vec<String> = list.lines().map(ToOwned::to_owned).collect();
    // The list is a file that anybody could have edited: nothing outside of the folder is removed by its word.
    if let Some(name) = names
        .iter()
        .find(|name| name.split('/').any(|part| part.is_empty() || part == ".."))
    {
        return Err(foreign(
            out_dir,
            &format!("its list of files names `{name}`"),
        ));
    }
    Ok(names)
}

fn foreign(out_dir: &Path, reason: &str) -> LocalError {
    LocalError::ForeignFolder {
        path: out_dir.to_owned(),
        purpose: "the folder of rendered files",
        reason: reason.to_owned(),
        hint: "name a new or an empty folder with `--out-dir`".to_owned(),
    }
}

fn write_list(out_dir: &Path, names: &BTreeSet<&String>) -> Result<(), LocalError> {
    let mut text = names
        .iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    text.push('\n');
    write_atomically(&out_dir.join(LIST), text.as_bytes(), 0o644, None)
}

fn remove(path: &Path) -> Result<(), LocalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LocalError::write(path, error));
        }
        _ => {}
    }
    // The folder of an instance that is gone goes with its last file; one that still holds something stays.
    if let Some(parent) = path.parent() {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

/// The programs as they are installed; one that is missing is shown by its name.
fn programs(
    environment: &Environment,
    catalogue: &Catalogue,
    folder: &LocalFolder,
) -> Result<BTreeMap<String, ProgramFile>, LocalError> {
    let mut programs = BTreeMap::new();
    for (name, settings) in environment.enabled() {
        for program in catalogue
            .get(name.as_str())
            .into_iter()
            .flat_map(|component| &component.programs)
        {
            let asked = settings.version.as_deref();
            let wanted = WantedVersion::of(program, name.as_str(), asked, folder);
            let found = find_program(program, wanted.version());
            let file = found.map_or_else(
                || ProgramFile {
                    path: program.name.clone(),
                    fingerprint: String::new(),
                },
                |found| program_file(&found.path),
            );
            programs.insert(program.name.clone(), file);
        }
    }
    let shopd = ShopProgram::find(folder)?.copy;
    programs.insert(
        "shopd".to_owned(),
        ProgramFile {
            path: shopd.to_string_lossy().into_owned(),
            fingerprint: String::new(),
        },
    );
    Ok(programs)
}
