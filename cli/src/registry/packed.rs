//! An image in an archive of ours, part by part: what has to be where, and where each part begins in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::RegistryError;

/// A part of an image: its configuration or a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its digest, as `sha256:…`.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it begins in the archive.
    pub offset: u64,
}

/// An image in an archive.
#[derive(Clone, Debug)]
pub struct PackedImage {
    /// The archive.
    pub archive: PathBuf,
    /// The digest of its manifest, which names the image whatever its tag is.
    pub digest: String,
    /// What its manifest is.
    pub media_type: String,
    /// The manifest itself.
    pub manifest: Vec<u8>,
    /// What the manifest names.
    pub parts: Vec<Part>,
}

impl PackedImage {
    /// Reads an archive's documents.
    pub fn read(archive: &Path) -> Result<Self, RegistryError> {
        read(archive).map_err(|source| RegistryError::Archive {
            path: archive.to_owned(),
            source,
        })
    }

    /// Enough of the digest to tell images apart: the tag that it has in a registry.
    pub fn tag(&self) -> &str {
        let digits = self.digest.split(':').nth(1).unwrap_or_default();
        digits.get(..12).unwrap_or(digits)
    }
}

fn read(path: &Path) -> io::Result<PackedImage> {
    let mut archive = tar::Archive::new(File::open(path)?);
    let mut parts = BTreeMap::new();
    let mut index = Vec::new();
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if name == "index.json" {
            entry.read_to_end(&mut index)?;
        } else if let Some(digits) = name.strip_prefix("blobs/sha256/") {
            let part = Part {
                digest: format!("sha256:{digits}"),
                size: entry.size(),
                offset: entry.raw_file_position(),
            };
            parts.insert(part.digest.clone(), part);
        }
    }
    let find = |digest: &Json| {
        let digest = digest.as_str().unwrap_or_default();
        let found = parts.get(digest).cloned();
        found.ok_or_else(|| io::Error::other(format!("it names {digest:?} and does not hold it")))
    };
    let index: Json = serde_json::from_slice(&index)?;
    let named = &index["manifests"][0];
    let part = find(&named["digest"])?;
    let manifest = read_part(path, &part)?;
    let document: Json = serde_json::from_slice(&manifest)?;
    let layers = document["layers"].as_array().into_iter().flatten();
    Ok(PackedImage {
        archive: path.to_owned(),
        digest: part.digest,
        media_type: named["mediaType"].as_str().unwrap_or_default().to_owned(),
        manifest,
        parts: layers
            .chain([&document["config"]])
            .map(|descriptor| find(&descriptor["digest"]))
            .collect::<io::Result<_>>()?,
    })
}

fn read_part(path: &Path, part: &Part) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; usize::try_from(part.size).map_err(io::Error::other)?];
    File::open(path)?.read_exact_at(&mut bytes, part.offset)?;
    Ok(bytes)
}
