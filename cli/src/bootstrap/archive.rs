//! Archives of images on this machine: what is in them, and whether they are whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::BootstrapError;
use super::model::WantedArchive;
use crate::host::sha256_of;

/// An archive of images on this machine.
pub fn find_archive(path: &Path) -> Result<WantedArchive, BootstrapError> {
    let metadata = fs::metadata(path).map_err(|error| BootstrapError::WrongFile {
        path: path.to_owned(),
        reason: format!("it cannot be read: {error}"),
        hint: "correct `k3s.images` in the environment file, or put the archive there".to_owned(),
    })?;
    Ok(WantedArchive {
        path: path.to_owned(),
        sha256: sha256_of(path)?,
        size: metadata.len(),
        images: archived_images(path).unwrap_or_default(),
    })
}

/// The images in an archive, as `NAME@DIGEST`; none if it is not the tar of an OCI layout.
fn archived_images(path: &Path) -> Option<Vec<String>> {
    let mut archive = tar::Archive::new(File::open(path).ok()?);
    let mut index = archive
        .entries_with_seek()
        .ok()?
        .map_while(Result::ok)
        .find(|entry| entry.path().is_ok_and(|path| path.ends_with("index.json")))?;
    let mut text = String::new();
    index.read_to_string(&mut text).ok()?;
    let index: Json = serde_json::from_str(&text).ok()?;
    let named = |manifest: &Json| {
        let name = manifest["annotations"]["io.containerd.image.name"].as_str()?;
        Some(format!("{name}@{}", manifest["digest"].as_str()?))
    };
    let manifests = index["manifests"].as_array()?;
    Some(manifests.iter().filter_map(named).collect())
}

/// What is wrong with an archive, if anything is. A host would take it, and its pods would wait for their image.
///
/// A compressed one is not looked into.
pub(super) fn damage(path: &Path) -> Option<String> {
    if path.extension().is_none_or(|extension| extension != "tar") {
        return None;
    }
    match look_into(path) {
        Ok(damage) => damage,
        Err(error) => Some(format!("it is cut short, or no archive: {error}")),
    }
}

fn look_into(path: &Path) -> io::Result<Option<String>> {
    let mut archive = tar::Archive::new(File::open(path)?);
    let (mut blobs, mut named, mut listed) = (BTreeSet::new(), Vec::new(), false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let name = name.trim_start_matches("./");
        if let Some(digest) = name.strip_prefix("blobs/sha256/") {
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let found = digest_of(&mut entry)?;
            if found != digest {
                return Ok(Some(format!(
                    "what it holds as {name} has the SHA-256 {found}"
                )));
            }
            blobs.insert(format!("sha256:{found}"));
        } else if name == "index.json" {
            listed = true;
            let index: Json = serde_json::from_reader(&mut entry)?;
            let manifests = index["manifests"].as_array().cloned().unwrap_or_default();
            named.extend(
                manifests
                    .iter()
                    .filter_map(|manifest| manifest["digest"].as_str().map(str::to_owned)),
            );
        } else if name == "manifest.json" {
            listed = true;
        }
    }
    if !listed {
        return Ok(Some("it names no image: it has no index.json".to_owned()));
    }
    let missing = named.into_iter().find(|digest| !blobs.contains(digest));
    Ok(missing.map(|digest| format!("it names {digest} and does not hold it")))
}

fn digest_of(content: &mut impl Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1 << 18];
    loop {
        match content.read(&mut chunk)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: &[u8] = b"a layer";

    fn archive(folder: &Path, files: &[(&str, &[u8])]) -> std::path::PathBuf {
        let path = folder.join("images.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap();
        path
    }

    fn sum(content: &[u8]) -> String {
        hex::encode(Sha256::digest(content))
    }

    #[test]
    fn a_whole_archive_is_told_from_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let blob = format!("blobs/sha256/{}", sum(BLOB));
        let index = format!(r#"{{"manifests": [{{"digest": "sha256:{}"}}]}}"#, sum(BLOB));
        let index = ("index.json", index.as_bytes());

        let path = archive(folder.path(), &[(&blob, BLOB), index]);
        assert_eq!(damage(&path), None);

        let whole = fs::read(&path).unwrap();
        for (length, reason) in [
            (100, "cut short"),
            (515, "has the SHA-256"),
            (1024, "it names no image"),
            (1100, "cut short"),
        ] {
            fs::write(&path, &whole[..length]).unwrap();
            let said = damage(&path).unwrap();
            assert!(said.contains(reason), "{length}: {said}");
        }

        let path = archive(folder.path(), &[(&blob, b"A layer"), index]);
        let said = damage(&path).unwrap();
        assert!(
            said.contains(&blob) && said.contains(&sum(b"A layer")),
            "{said}"
        );

        let path = archive(folder.path(), &[index]);
        assert!(damage(&path).unwrap().contains("does not hold it"));
    }

    #[test]
    fn an_archive_that_is_not_there_is_named_with_the_setting_that_names_it() {
        let error = find_archive(Path::new("/nonexistent/x.tar")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/x.tar"), "{error}");
        assert!(error.hints()[0].contains("k3s.images"));
    }
}
