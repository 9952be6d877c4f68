//! Images: pack.

use std::path::PathBuf;

use super::Context;
use crate::args::{ImageCommand, ImagePackArgs};
use crate::image::{ImageError, ImageName, Packed, Recipe, pack_program, pack_root};
use crate::report::figures::bytes;
use crate::ui::{ExitCode, Failure, OutputFormat};

/// Runs a command about images.
pub(super) fn run(command: &ImageCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ImageCommand::Pack(args) => pack(args, context),
    }
}

fn pack(args: &ImagePackArgs, context: &Context) -> Result<(), Failure> {
    let packed = if let (Some(root), Some(name)) = (&args.root, &args.name) {
        pack_root(root, recipe(args, name.clone()), &args.out)
    } else {
        let program = args.program.clone().map_or_else(own_shopd, Ok)?;
        let name = args
            .name
            .clone()
            .map_or_else(|| default_name(&program), Ok)?;
        pack_program(&program, recipe(args, name), &args.out)
    }
    .map_err(image_failure)?;
    answer(&packed, context)
}

fn answer(packed: &Packed, context: &Context) -> Result<(), Failure> {
    if context.ui.output() == OutputFormat::Json {
        return context.ui.json(packed);
    }
    context.ui.data(&format!(
        "name    {}\ndigest  {}\nsize    {}\nfile    {}",
        packed.name,
        packed.digest,
        bytes(packed.size),
        packed.path.display()
    ))
}

fn recipe(args: &ImagePackArgs, name: ImageName) -> Recipe {
    Recipe {
        name,
        user: args.user,
        entrypoint: args.entrypoint.clone(),
        arguments: args.arguments.clone(),
        variables: args
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        labels: args.labels.iter().cloned().collect(),
    }
}

/// The program of all services, which is built together with this one.
fn own_shopd() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::new("failed to find shopctl itself").cause(error.to_string()))?
        .with_file_name("shopd");
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::new(format!("there is no {}", path.display()))
            .exit(ExitCode::Missing)
            .hint("cargo build --release -p shopctl -p shopd")
            .hint("another program is named: shopctl image pack PROGRAM"))
    }
}

fn default_name(program: &std::path::Path) -> Result<ImageName, Failure> {
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    format!("localhost/shopctl/{name}")
        .parse()
        .map_err(|error| {
            Failure::of(&error)
                .exit(ExitCode::Usage)
                .hint("--name gives it another one")
        })
}

/// What a user is told when an image cannot be packed.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn image_failure(error: ImageError) -> Failure {
    let failure = Failure::of(&error);
    match &error {
        ImageError::Read { .. } => failure
            .exit(ExitCode::Usage)
            .hint("check the path, and that this user may read it"),
        ImageError::NotAProgram { .. } => failure
            .exit(ExitCode::Usage)
            .hint("a root file system is packed with --root DIR"),
        ImageError::Missing { .. } => failure
            .exit(ExitCode::Missing)
            .hint("install the packages that they are in, or pack it where it was built"),
        ImageError::NoEntrypoint { .. } => failure
            .exit(ExitCode::Usage)
            .hint("--entrypoint is a path in the folder, not on this machine"),
        ImageError::NoFile { .. } => failure
            .exit(ExitCode::Usage)
            .hint("--out names a file or a folder; an archive is written beside its name first, so no device or pipe takes it"),
        ImageError::Write { .. } => failure
            .hint("check that the folder is there, that this user may write to it, and that the disk is not full"),
    }
}
