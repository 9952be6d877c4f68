//! Packs a program or a root file system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::archive::{self, Settings};
use super::layer::Layer;
use super::libraries::Libraries;
use super::program::Object;
use super::tree::{Node, Owner, Tree};
use super::{Digest, ImageError, ImageName};

/// What an image is called and how it is run.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The full name; without a tag it is tagged with the digest.
    pub name: ImageName,
    /// Who its processes run as.
    pub user: Owner,
    /// What is started. A packed program is that itself, unless something else is said.
    pub entrypoint: Vec<String>,
    /// The arguments, if nobody gives others.
    pub arguments: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    pub variables: Vec<String>,
    /// What it says about itself.
    pub labels: BTreeMap<String, String>,
}

/// An archive that was written.
#[derive(Clone, Debug, Serialize)]
pub struct Packed {
    /// The full name with its tag.
    pub name: String,
    /// The digest of the manifest, which names the image whatever its tag is.
    pub digest: Digest,
    /// The size of the archive.
    pub size: u64,
    /// Where the archive is.
    pub path: PathBuf,
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Packs one program with the shared objects that it needs, and nothing else but a user, a `/tmp` and how names are
/// looked up. The archive is a file, or a folder in which it is called as the image.
pub fn pack_program(program: &Path, recipe: Recipe, archive: &Path) -> Result<Packed, ImageError> {
    // Its folder, and so what it says relative to it, is that of the file and not of a link to it.
    let program = &program.canonicalize().map_err(ImageError::read(program))?;
    let object = Object::read(program).map_err(|error| error.of_program(program))?;
    let libraries = Libraries::of(program, &object)?;
    let place = Path::new("/usr/local/bin").join(program.file_name().unwrap_or_default());
    let mut own = Tree::default();
    own.put(&place, Node::File(program.clone()), 0o755, Owner::default());
    let mut settings = settings(&recipe);
    if settings.entrypoint.is_empty() {
        settings.entrypoint = vec![place.to_string_lossy().into_owned()];
    }
    // The libraries change less often than the program, and a host that has them need not get them again.
    let layers = vec![
        Layer::write(&base(&libraries, recipe.user), archive)?,
        Layer::write(&own, archive)?,
    ];
    finish(
        archive,
        recipe,
        object.machine.architecture(),
        &settings,
        layers,
    )
}

/// The files of this machine that go into the image of a program: itself, and the shared objects that it needs.
pub fn files_of(program: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let program = program.canonicalize().map_err(ImageError::read(program))?;
    let object = Object::read(&program).map_err(|error| error.of_program(&program))?;
    let libraries = Libraries::of(&program, &object)?;
    let mut files: Vec<PathBuf> = libraries.files.into_values().collect();
    files.push(program);
    Ok(files)
}

/// Packs a folder that holds a root file system, with its owners and modes.
pub fn pack_root(root: &Path, recipe: Recipe, archive: &Path) -> Result<Packed, ImageError> {
    let tree = Tree::read(root)?;
    let settings = settings(&recipe);
    if let Some(entrypoint) = settings.entrypoint.first()
        && entrypoint.starts_with('/')
        && !tree.has_file(Path::new(entrypoint))
    {
        return Err(ImageError::NoEntrypoint {
            root: root.to_owned(),
            entrypoint: entrypoint.clone(),
        });
    }
    let layers = vec![Layer::write(&tree, archive)?];
    finish(archive, recipe, native(), &settings, layers)
}

/// The name in images of the processor that this machine has.
fn native() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn settings(recipe: &Recipe) -> Settings {
    let mut env = recipe.variables.clone();
    if !env.iter().any(|variable| variable.starts_with("PATH=")) {
        env.insert(0, PATH.to_owned());
    }
    Settings {
        user: recipe.user.to_string(),
        env,
        entrypoint: recipe.entrypoint.clone(),
        cmd: recipe.arguments.clone(),
        working_dir: "/".to_owned(),
        labels: recipe.labels.clone(),
    }
}

fn base(libraries: &Libraries, user: Owner) -> Tree {
    let root = Owner::default();
    let mut tree = Tree::default();
    tree.put(Path::new("/tmp"), Node::Folder, 0o1777, root);
    let mut file = |path: &str, text: String| {
        tree.put(Path::new(path), Node::Bytes(text.into_bytes()), 0o644, root);
    };
    // Who runs as root has that line already.
    let (own_user, own_group) = if user.user == 0 {
        (String::new(), String::new())
    } else {
        (
            format!("shop:x:{}:{}::/:/sbin/nologin\n", user.user, user.group),
            format!("shop:x:{}:\n", user.group),
        )
    };
    file(
        "/etc/passwd",
        format!("root:x:0:0:root:/:/sbin/nologin\n{own_user}"),
    );
    file("/etc/group", format!("root:x:0:\n{own_group}"));
    file("/etc/nsswitch.conf", "hosts: files dns\n".to_owned());
    for (place, source) in &libraries.files {
        tree.put(place, Node::File(source.clone()), 0o755, root);
    }
    tree
}

fn finish(
    archive: &Path,
    recipe: Recipe,
    architecture: &'static str,
    settings: &Settings,
    layers: Vec<Layer>,
) -> Result<Packed, ImageError> {
    let written = archive::write(archive, recipe.name, architecture, settings, layers)?;
    Ok(Packed {
        name: written.name.to_string(),
        digest: written.digest,
        size: written.size,
        path: written.path,
    })
}
