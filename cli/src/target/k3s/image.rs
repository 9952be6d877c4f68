//! The image with the shop's own services, packed from the `shopd` beside this program and kept by its digest. Hosts are
//! given the archive, or pull it from a registry.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::K3sError;
use crate::environment::Registry;
use crate::image::{ImageName, Owner, Recipe, pack_program};
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
    /// Its full name. The tag is of the program's digest, or, in a registry, of the image's own; so another program is
    /// another image. In a registry the digest is part of the name: who moves the tag changes nothing for pods.
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
    let packed = packed_image(state_dir)?;
    let Some(registry) = registry else {
        return Ok(packed);
    };
    let image = PackedImage::read(&packed.archive)?;
    let name = format!("{}/{SHORT_NAME}", registry.address);
    Ok(ShopImage {
        name: format!("{name}:{}@{}", image.tag(), image.digest),
        archive: packed.archive,
        pulled: Some(Pulled {
            name: format!("{name}@{}", image.digest),
            image,
        }),
    })
}

fn packed_image(state_dir: &Path) -> Result<ShopImage, K3sError> {
    let failed = |reason: String| K3sError::Image { reason };
    let program = std::env::current_exe()
        .map_err(|error| failed(error.to_string()))?
        .with_file_name("shopd");
    let digest =
        digest_of(&program).map_err(|error| failed(format!("{}: {error}", program.display())))?;
    let tag = &digest[..16];
    let folder = state_dir.join("images");
    let image = ShopImage {
        name: format!("{NAME}:{tag}"),
        archive: folder.join(format!("shopd-{tag}.tar")),
        pulled: None,
    };
    if image.archive.is_file() {
        return Ok(image);
    }
    fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    let name: ImageName = image
        .name
        .parse()
        .map_err(|error: crate::image::InvalidImageName| failed(error.to_string()))?;
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
    // Whoever is killed meanwhile leaves no archive of that name.
    let new = folder.join(format!("shopd-{tag}.new.tar"));
    pack_program(&program, recipe, &new).map_err(|error| failed(error.to_string()))?;
    fs::rename(&new, &image.archive).map_err(|error| failed(error.to_string()))?;
    forget_others(&folder, &image.archive);
    Ok(image)
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
