//! Writes what `up` would use, without secrets: configuration files, or the objects of a cluster.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::Context;
use super::target::{local_failure, local_folder};
use crate::args::RenderArgs;
use crate::document::emit;
use crate::environment::Target;
use crate::project::Loaded;
use crate::render::{
    ClusterInput, Object, RenderError, placeholder_secrets, placeholder_tls, render_objects,
};
use crate::target::local::{export, export_files};
use crate::ui::{ExitCode, Failure, OutputFormat};

/// The image of the services where none was packed: objects can be shown all the same.
const NOT_PACKED: &str = "localhost/shopctl/shopd:not-packed";

/// Writes the configuration files, or the objects.
pub(super) fn run(args: &RenderArgs, context: &Context) -> Result<(), Failure> {
    let loaded = context.load()?;
    match loaded.file.environment().target {
        Target::Local => files(args, context, &loaded),
        Target::K3s => objects(args, context, &loaded),
    }
}

fn files(args: &RenderArgs, context: &Context, loaded: &Loaded) -> Result<(), Failure> {
    let environment = loaded.file.environment();
    let Some(out_dir) = &args.out_dir else {
        return Err(
            Failure::new("failed to render: the folder to write to is missing")
                .hint("with `target: local` there are many files: name a folder with --out-dir")
                .exit(ExitCode::Usage),
        );
    };
    let folder = local_folder(context, environment)?;
    let files = export(environment, &loaded.catalogue, &folder, out_dir).map_err(local_failure)?;
    told(context, files, "files", out_dir);
    Ok(())
}

fn objects(args: &RenderArgs, context: &Context, loaded: &Loaded) -> Result<(), Failure> {
    let environment = loaded.file.environment();
    let secrets = placeholder_secrets(environment, &loaded.catalogue);
    let tls = placeholder_tls();
    let objects = render_objects(&ClusterInput {
        environment,
        catalogue: &loaded.catalogue,
        secrets: &secrets,
        shop_image: args.image.as_deref().unwrap_or(NOT_PACKED),
        tls: Some(&tls),
        version: (env!("CARGO_PKG_VERSION"), crate::COMMIT),
    })
    .map_err(|errors| refused(&errors))?;
    if let Some(out_dir) = &args.out_dir {
        let files = objects.iter().enumerate().map(|(index, object)| {
            let kind = object.kind().to_ascii_lowercase();
            // In the order in which they are applied, for whoever takes the folder to kubectl.
            (
                format!("{index:02}-{kind}-{}.yaml", object.name()),
                yaml(object),
            )
        });
        let files = export_files(out_dir, &files.collect::<BTreeMap<_, _>>());
        let count = files.map_err(local_failure)?;
        told(context, count, "objects", out_dir);
        return Ok(());
    }
    if context.ui.output() == OutputFormat::Json {
        let items: Vec<Json> = objects.into_iter().map(Object::into_value).collect();
        return context
            .ui
            .json(&json!({ "apiVersion": "v1", "kind": "List", "items": items }));
    }
    let documents: Vec<String> = objects.iter().map(yaml).collect();
    context.ui.data(&documents.join("---\n"))
}

fn told(context: &Context, count: usize, what: &str, out_dir: &Path) {
    context.ui.say(&format!(
        "{count} {what} are in {}; `SECRET-NAME` stands for each secret",
        out_dir.display()
    ));
}

fn yaml(object: &Object) -> String {
    const ORDER: [&str; 12] = [
        "apiVersion",
        "kind",
        "name",
        "image",
        "command",
        "args",
        "metadata",
        "type",
        "spec",
        "data",
        "replicas",
        "selector",
    ];
    format!(
        "# from templates/{}\n{}",
        object.template,
        emit(object.value(), &ORDER, &|_| None)
    )
}

/// What a user is told about templates that are wrong.
pub(super) fn refused(errors: &[RenderError]) -> Failure {
    let mut failure = Failure::new("failed to render the objects").exit(ExitCode::Usage);
    failure.causes = errors.iter().map(ToString::to_string).collect();
    let mut hints: Vec<String> = errors.iter().filter_map(RenderError::hint).collect();
    hints.dedup();
    for hint in hints {
        failure = failure.hint(hint);
    }
    failure
}
