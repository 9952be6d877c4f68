//! Archives of images on this machine: what is in them, and whether they are whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::BootstrapError;
use super::model::WantedArchive;
use crate::host::sha256_of;

/// What a file begins with that Zstandard compressed.
const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The same of a frame that readers pass over, as some programs put before the others; its first byte is 0x50 to 0x5f
/// (RFC 8878, 3.1.2).
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What a file begins with that gzip compressed (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What `zstd --ultra --long=31` needs at most.
const LARGEST_WINDOW: u32 = 31;

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

/// The images in an archive, as `NAME@DIGEST`, or as `NAME` where it does not tell their digests, as what an old
/// `docker save` made; none if it is no archive of images.
fn archived_images(path: &Path) -> Option<Vec<String>> {
    if compression(path).ok()?.is_some() {
        return images_among(tar::Archive::new(opened(path).ok()?).entries().ok()?);
    }
    // What is between the two files that tell is long, and passed over.
    let mut archive = tar::Archive::new(File::open(path).ok()?);
    images_among(archive.entries_with_seek().ok()?)
}

fn images_among(entries: tar::Entries<'_, impl Read>) -> Option<Vec<String>> {
    let (mut by_index, mut by_docker) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut entry = entry.ok()?;
        let name = name_of(&entry).ok()?;
        match name.as_str() {
            // One that names nothing may have a manifest of Docker's beside it, which does.
            "index.json" => by_index = of_index(&serde_json::from_reader(&mut entry).ok()?),
            "manifest.json" => by_docker = of_docker(&serde_json::from_reader(&mut entry).ok()?),
            _ => {}
        }
        if !by_index.is_empty() {
            break;
        }
    }
    Some(if by_index.is_empty() {
        by_docker
    } else {
        by_index
    })
}

fn of_index(index: &Json) -> Vec<String> {
    let named = |manifest: &Json| {
        let name = manifest["annotations"]["io.containerd.image.name"].as_str()?;
        Some(format!("{name}@{}", manifest["digest"].as_str()?))
    };
    let manifests = index["manifests"].as_array().into_iter().flatten();
    manifests.filter_map(named).collect()
}

fn of_docker(manifest: &Json) -> Vec<String> {
    let images = manifest.as_array().into_iter().flatten();
    let tags = images.flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
    tags.filter_map(Json::as_str).map(full_name).collect()
}

/// The name that containerd gives an image: Docker leaves out what is its own.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

/// How an archive may be compressed to be looked into.
#[derive(Clone, Copy)]
enum Compression {
    Zstandard,
    Gzip,
}

/// The content of an archive, however it is compressed.
fn opened(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = BufReader::with_capacity(1 << 18, File::open(path)?);
    Ok(match compression(path)? {
        Some(Compression::Zstandard) => {
            let mut decoder = zstd::Decoder::with_buffer(file)?;
            decoder.window_log_max(LARGEST_WINDOW)?;
            Box::new(decoder)
        }
        Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(file)),
        None => Box::new(file),
    })
}

fn compression(path: &Path) -> io::Result<Option<Compression>> {
    let mut begins = [0; ZSTANDARD.len()];
    match File::open(path)?.read_exact(&mut begins) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let is_zstandard = begins == ZSTANDARD || (begins[0] & 0xf0 == 0x50 && begins[1..] == SKIPPED);
    Ok(if is_zstandard {
        Some(Compression::Zstandard)
    } else if begins.starts_with(&GZIP) {
        Some(Compression::Gzip)
    } else {
        None
    })
}

fn name_of(entry: &tar::Entry<'_, impl Read>) -> io::Result<String> {
    let path = entry.path()?;
    let name = path.to_string_lossy();
    Ok(name.trim_start_matches("./").to_owned())
}

/// What is wrong with an archive, if anything is. A host would take it, and its pods would wait for their image.
///
/// One that is compressed otherwise than with Zstandard or gzip is not looked into.
pub(super) fn damage(path: &Path) -> Option<String> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !matches!(extension, Some("tar" | "zst" | "gz" | "tgz")) {
        return None;
    }
    match look_into(path) {
        Ok(damage) => damage,
        Err(error) => Some(format!("it is cut short, or no archive: {error}")),
    }
}

fn look_into(path: &Path) -> io::Result<Option<String>> {
    let mut archive = tar::Archive::new(opened(path)?);
    let (mut blobs, mut named, mut listed) = (BTreeSet::new(), Vec::new(), false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = name_of(&entry)?;
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
    use std::io::Write as _;

    use flate2::write::GzEncoder;

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
    fn the_images_of_an_archive_are_known_however_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let index = br#"{"manifests": [{"digest": "sha256:aa", "annotations": {"io.containerd.image.name": "docker.io/library/redis:7"}},
            {"digest": "sha256:bb"}]}"#;
        let saved = br#"[{"RepoTags": ["redis:7", "rancher/pause:3.6", "ghcr.io/a/b:1", "localhost/lab/x:1"]}, {"RepoTags": null}]"#;
        let path = archive(
            folder.path(),
            &[("manifest.json", saved), ("./index.json", index)],
        );
        let named = ["docker.io/library/redis:7@sha256:aa"];
        assert_eq!(archived_images(&path).unwrap(), named);
        let packed = folder.path().join("images.tar.zst");
        fs::write(
            &packed,
            zstd::encode_all(File::open(&path).unwrap(), 1).unwrap(),
        )
        .unwrap();
        assert_eq!(archived_images(&packed).unwrap(), named);
        assert!(damage(&packed).unwrap().contains("does not hold it"));
        let packed = folder.path().join("images.tgz");
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&fs::read(&path).unwrap()).unwrap();
        let whole = encoder.finish().unwrap();
        fs::write(&packed, &whole).unwrap();
        assert_eq!(archived_images(&packed).unwrap(), named);
        assert!(damage(&packed).unwrap().contains("does not hold it"));
        fs::write(&packed, &whole[..whole.len() / 2]).unwrap();
        assert!(damage(&packed).unwrap().contains("cut short"));

        let path = archive(folder.path(), &[("manifest.json", saved)]);
        let all = [
            "docker.io/library/redis:7",
            "docker.io/rancher/pause:3.6",
            "ghcr.io/a/b:1",
            "localhost/lab/x:1",
        ];
        assert_eq!(archived_images(&path).unwrap(), all);
        assert_eq!(damage(&path), None);
        let nameless = br#"{"manifests": [{"digest": "sha256:aa"}]}"#;
        let both = [("index.json", &nameless[..]), ("manifest.json", saved)];
        let path = archive(folder.path(), &both);
        assert_eq!(archived_images(&path).unwrap(), all);
        fs::write(&packed, "no archive").unwrap();
        assert_eq!(archived_images(&packed), None);
    }

    #[test]
    fn an_archive_that_is_not_there_is_named_with_the_setting_that_names_it() {
        let error = find_archive(Path::new("/nonexistent/x.tar")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/x.tar"), "{error}");
        assert!(error.hints()[0].contains("k3s.images"));
    }
}
