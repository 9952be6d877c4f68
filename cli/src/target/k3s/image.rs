//! The image with the shop's own services, packed from the `shopd` beside this program and kept by its digest. Hosts are
//! given the archive, or pull it from a registry.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::K3sError;
use crate::environment::Registry;
use crate::image::{ImageName, Owner, Recipe, files_of, pack_program};
use crate::registry::PackedImage;

/// What it is called.
const NAME: &str = "localhost/shopctl/shopd";
/// What it is called below a registry's address.
pub(super) const SHORT_NAME: &str = "shopd";
/// Who its processes run as: nobody who is anybody on a host.
const USER: u32 = 65_532;

/// The image.
#[derive(Clone, Debug)]
pub(super) struct ShopImage {
    /// Its full name. The tag is of its digest, so another program or another library is another image. In a registry the
    /// digest is part of the name: who moves the tag changes nothing for pods.
    pub name: String,
    /// The archive with it.
    pub archive: PathBuf,
    /// How hosts pull it, if they do.
    pub pulled: Option<Pulled>,
}

/// An image in a registry.
#[derive(Clone, Debug)]
pub(super) struct Pulled {
    /// Its name with its digest, by which hosts know it.
    pub name: String,
    /// Its parts.
    pub image: PackedImage,
}

/// Finds the image of this program's shop, packed before or now.
pub(super) fn shop_image(
    state_dir: &Path,
    registry: Option<&Registry>,
) -> Result<ShopImage, K3sError> {
    let program = std::env::current_exe()
        .map_err(|error| failed(&error))?
        .with_file_name("shopd");
    let archive = packed(&program, &state_dir.join("images"))?;
    let image = PackedImage::read(&archive)?;
    let tag = image.tag();
    Ok(match registry {
        None => ShopImage {
            name: format!("{NAME}:{tag}"),
            archive,
            pulled: None,
        },
        Some(registry) => {
            let name = format!("{}/{SHORT_NAME}", registry.address);
            ShopImage {
                name: format!("{name}:{tag}@{}", image.digest),
                archive,
                pulled: Some(Pulled {
                    name: format!("{name}@{}", image.digest),
                    image,
                }),
            }
        }
    })
}

fn failed(error: &dyn std::error::Error) -> K3sError {
    K3sError::Image {
        reason: error.to_string(),
    }
}

/// The archive with a program's image. It is packed anew when the program or a library of this machine is another one.
fn packed(program: &Path, folder: &Path) -> Result<PathBuf, K3sError> {
    let mut all = Sha256::new();
    for file in files_of(program).map_err(|error| failed(&error))? {
        let digest = digest_of(&file).map_err(|error| K3sError::Image {
            reason: format!("{}: {error}", file.display()),
        })?;
        all.update(digest);
    }
    let key = hex::encode(all.finalize());
    let key = &key[..16];
    let archive = folder.join(format!("shopd-{key}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let name: ImageName = NAME
        .parse()
        .map_err(|error: crate::image::InvalidImageName| failed(&error))?;
    let recipe = Recipe {
        name,
        user: Owner {
            user: USER,
            group: USER,
        },
        entrypoint: Vec::new(),
        arguments: Vec::new(),
        variables: Vec::new(),
        labels: std::collections::BTreeMap::new(),
    };
    // Whoever is killed meanwhile leaves no archive of that name, and a host that loses its power none without content.
    let new = folder.join(format!("shopd-{key}.new.tar"));
    pack_program(program, recipe, &new).map_err(|error| failed(&error))?;
    fs::File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&new, &archive))
        .map_err(|error| failed(&error))?;
    forget_others(folder, &archive);
    Ok(archive)
}

/// Older archives are of no use to anybody: hosts have their own copies.
fn forget_others(folder: &Path, kept: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path != kept {
            // It is only a copy; if it stays, it stays.
            let _ = fs::remove_file(path);
        }
    }
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_packed_once_and_anew_for_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let (program, images) = (folder.path().join("shopd"), folder.path().join("images"));
        let pack = |content: &str| {
            fs::copy(content, &program).unwrap();
            let archive = packed(&program, &images).unwrap();
            let image = PackedImage::read(&archive).unwrap();
            (archive, image.digest)
        };
        let (archive, digest) = pack("/bin/true");
        let written = fs::metadata(&archive).unwrap().modified().unwrap();
        assert_eq!(pack("/bin/true"), (archive.clone(), digest.clone()));
        let now = fs::metadata(&archive).unwrap().modified().unwrap();
        assert_eq!(now, written, "it was there already");
        let (another, other_digest) = pack("/bin/false");
        assert_ne!((&another, &other_digest), (&archive, &digest));
        assert!(!archive.exists(), "nobody needs the former one");
    }
}
