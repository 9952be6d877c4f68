//! What is compiled into the binary.

use include_dir::{Dir, include_dir};

static ENVIRONMENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../environments");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../templates");

/// The shipped environments: name and text.
pub(super) fn environments() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENVIRONMENTS.files().filter_map(|file| {
        let name = file.path().to_str()?.strip_suffix(".yaml")?;
        Some((name, file.contents_utf8()?))
    })
}

/// The shipped files under `templates/`: path and text.
pub(super) fn templates() -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    let mut folders = vec![&TEMPLATES];
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        files.extend(
            folder
                .files()
                .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?))),
        );
    }
    files
}
