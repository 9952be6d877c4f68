//! The OCI layout in a tar: what an image's documents say, and how they are laid out.
//!
//! The documents are structs of our own: their fields stand in one order and their maps are sorted, which is what makes
//! an archive reproducible.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tar::{Builder, Header};

use super::layer::Layer;
use super::{Digest, ImageError, ImageName};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// The time that everything was made at.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// What an image says about running it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settings {
    pub(super) user: String,
    pub(super) env: Vec<String>,
    pub(super) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cmd: Vec<String>,
    pub(super) working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Configuration<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: &'a Settings,
    rootfs: RootFs,
    history: Vec<History<'a>>,
}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
}

#[derive(Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
}

impl Descriptor {
    fn of(media_type: &'static str, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}

/// An archive's name and sum, where it is, and how large it is.
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) name: ImageName,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Writes an archive; under its name only when it is complete. A name without a tag is tagged with the image's digest.
pub(super) fn write(
    out: &Path,
    name: ImageName,
    architecture: &'static str,
    settings: &Settings,
    layers: Vec<Layer>,
) -> Result<Written, ImageError> {
    let config = document(&Configuration {
        created: EPOCH,
        architecture,
        os: "linux",
        config: settings,
        rootfs: RootFs {
            kind: "layers",
            diff_ids: layers.iter().map(|layer| layer.content).collect(),
        },
        history: layers
            .iter()
            .map(|_| History {
                created: EPOCH,
                created_by: "shopctl image pack",
            })
            .collect(),
    })
    .map_err(ImageError::write(out))?;
    let manifest = document(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: Descriptor::of(CONFIG, Digest::of(&config), config.len() as u64),
        layers: layers
            .iter()
            .map(|layer| Descriptor::of(LAYER, layer.digest, layer.size))
            .collect(),
    })
    .map_err(ImageError::write(out))?;
    let digest = Digest::of(&manifest);
    let name = name.tagged(|| digest.short());
    let path = &target(place(out, &name))?;
    let index = document(&Index {
        schema_version: 2,
        media_type: "application/vnd.oci.image.index.v1+json",
        manifests: vec![Descriptor {
            annotations: annotations(&name),
            platform: Some(Platform {
                architecture,
                os: "linux",
            }),
            ..Descriptor::of(MANIFEST, digest, manifest.len() as u64)
        }],
    })
    .map_err(ImageError::write(path))?;
    let partial = partial(path);
    let size = lay_out(&partial, &index, &[&config, &manifest], layers)
        .and_then(|size| fs::rename(&partial, path).map(|()| size))
        .map_err(|error| {
            // What is left of it would only take up room.
            let _ = fs::remove_file(&partial);
            ImageError::write(path)(error)
        })?;
    Ok(Written {
        path: path.clone(),
        name,
        digest,
        size,
    })
}

/// containerd takes the name from the first one, others the tag from the second.
fn annotations(name: &ImageName) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("io.containerd.image.name", name.to_string()),
        (
            "org.opencontainers.image.ref.name",
            name.tag().unwrap_or_default().to_owned(),
        ),
    ])
}

fn document(content: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(content).map_err(io::Error::from)
}

/// In a folder an archive is called as the image, so that another image is another file: k3s imports a file that it knows
/// again only if its size changed.
fn place(out: &Path, name: &ImageName) -> PathBuf {
    if !out.is_dir() {
        return out.to_owned();
    }
    let last = name.repository().rsplit('/').next().unwrap_or_default();
    out.join(format!("{last}-{}.tar", name.tag().unwrap_or_default()))
}

/// Where a link leads; only a file is replaced.
fn target(path: PathBuf) -> Result<PathBuf, ImageError> {
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => fs::canonicalize(&path).map_err(ImageError::write(&path)),
        Ok(_) => Err(ImageError::NoFile { path }),
        Err(_) => Ok(path),
    }
}

/// k3s looks for other endings in its folder of images: a file that is being written must not have one of those.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn lay_out(path: &Path, index: &[u8], documents: &[&[u8]], layers: Vec<Layer>) -> io::Result<u64> {
    let mut builder = Builder::new(BufWriter::new(File::create(path)?));
    let layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
    append(&mut builder, "oci-layout", layout.len() as u64, layout)?;
    append(&mut builder, "index.json", index.len() as u64, index)?;
    for document in documents {
        let size = document.len() as u64;
        append(&mut builder, &blob(Digest::of(document)), size, *document)?;
    }
    for layer in layers {
        append(&mut builder, &blob(layer.digest), layer.size, layer.file)?;
    }
    let mut file = builder.into_inner()?;
    file.flush()?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn append(
    builder: &mut Builder<BufWriter<File>>,
    path: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_mode(0o644);
    header.set_size(size);
    builder.append_data(&mut header, path, content)
}
