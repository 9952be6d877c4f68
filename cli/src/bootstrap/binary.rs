//! Where k3s itself comes from: a file, the cache, or the published release with its checksum.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::BootstrapError;
use super::model::WantedBinary;
use crate::host::{Command, Host, sha256_of};

/// Where releases are published.
pub const RELEASES: &str = "https://github.com/k3s-io/k3s/releases/download";
const DOWNLOAD: Duration = Duration::from_mins(30);

/// Which k3s is wanted, and where it may be.
#[derive(Clone, Debug)]
pub struct BinarySource<'a> {
    /// The version: `v1.34.3+k3s1`.
    pub version: &'a str,
    /// The file that the environment names.
    pub file: Option<&'a Path>,
    /// The file that `SHOPCTL_K3S_BINARY` names.
    pub variable: Option<&'a Path>,
    /// The folder of what was downloaded: `~/.cache/shopctl/k3s`.
    pub cache: &'a Path,
    /// Where releases are published: [`RELEASES`].
    pub releases: &'a str,
}

/// Finds k3s, or downloads it with its published checksum. `here` is this machine.
pub async fn find_binary(
    source: &BinarySource<'_>,
    here: &dyn Host,
) -> Result<WantedBinary, BootstrapError> {
    let named = source.file.or(source.variable);
    let cached = source.cache.join(source.version).join("k3s");
    let path = match named {
        Some(path) if path.is_file() => path.to_owned(),
        Some(path) => {
            return Err(BootstrapError::NoBinary {
                version: source.version.to_owned(),
                reason: format!("there is no file {}", path.display()),
                hint: "name another file, or none to use the published release".to_owned(),
            });
        }
        None if cached.is_file() => cached,
        None => download(source, here, &cached).await?,
    };
    let hashed = path.clone();
    let digest = tokio::task::spawn_blocking(move || sha256_of(&hashed)).await;
    let sha256 = digest.map_err(|error| BootstrapError::file(&path, error.into()))??;
    let published = published_checksum(&path.with_file_name(checksums_name()));
    if let Some(published) = published.as_ref().filter(|sum| **sum != sha256) {
        return Err(BootstrapError::WrongFile {
            reason: format!(
                "its SHA-256 is {sha256}, and the published one in {} is {published}",
                checksums_name()
            ),
            hint: format!(
                "put the published one in its place, or remove {} to have it downloaded",
                path.display()
            ),
            path,
        });
    }
    let found = version_of(&path, here).await?;
    if found != source.version {
        return Err(BootstrapError::WrongFile {
            reason: format!(
                "it is k3s {found}, and the environment wants {}",
                source.version
            ),
            hint: format!("set `k3s.version: {found}`, or name another file"),
            path,
        });
    }
    let size = fs::metadata(&path)
        .map_err(|source| BootstrapError::file(&path, source))?
        .len();
    Ok(WantedBinary {
        version: found,
        sha256,
        size,
        brings_programs: published.is_some(),
        path,
    })
}

/// What the program says that it is. It must run here, since it is to run on the same kind of machine.
async fn version_of(path: &Path, here: &dyn Host) -> Result<String, BootstrapError> {
    let wrong = |reason: String| BootstrapError::WrongFile {
        path: path.to_owned(),
        reason,
        hint:
            "name a whole k3s for this machine's architecture, or none to use the published release"
                .to_owned(),
    };
    let command = Command::new(
        "ask k3s for its version",
        [path.to_string_lossy().as_ref(), "--version"],
    );
    let output = here
        .run(command.deadline(Duration::from_secs(30)))
        .await
        .map_err(|error| wrong(format!("it cannot be run: {error}")))?;
    let text = output.text();
    text.lines()
        .find_map(|line| line.strip_prefix("k3s version "))
        .and_then(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .ok_or_else(|| {
            let words = output.last_words();
            let words = words.lines().next_back().unwrap_or_default();
            wrong(format!(
                "it does not say its version as k3s does ({}) {words}",
                output.exit
            ))
        })
}

fn checksums_name() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "sha256sum-arm64.txt",
        _ => "sha256sum-amd64.txt",
    }
}

fn program_name() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "k3s-arm64",
        _ => "k3s",
    }
}

/// The checksum of the program in a published list.
fn published_checksum(list: &Path) -> Option<String> {
    let text = fs::read_to_string(list).ok()?;
    text.lines().find_map(|line| {
        let (sum, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start_matches([' ', '*']);
        (name == program_name() && sum.len() == 64).then(|| sum.to_owned())
    })
}

/// Downloads the program and the list of checksums, and gives the program its name only if they agree.
async fn download(
    source: &BinarySource<'_>,
    here: &dyn Host,
    cached: &Path,
) -> Result<PathBuf, BootstrapError> {
    let folder = cached.parent().unwrap_or(source.cache);
    fs::create_dir_all(folder).map_err(|error| BootstrapError::file(folder, error))?;
    let base = format!("{}/{}", source.releases, source.version.replace('+', "%2B"));
    let fetch = async |name: &str, to: &Path| {
        let url = format!("{base}/{name}");
        let to = to.to_string_lossy().into_owned();
        let scheme = if url.starts_with("https:") {
            "=https"
        } else {
            "=http"
        };
        let command = Command::new(
            format!("download {url}"),
            [
                "curl",
                "--fail",
                "--silent",
                "--show-error",
                "--location",
                "--proto",
                scheme,
                "--retry",
                "2",
                "--output",
                &to,
                &url,
            ],
        );
        here.run_well(command.deadline(DOWNLOAD))
            .await
            .map_err(|error| BootstrapError::NoBinary {
                version: source.version.to_owned(),
                reason: error.to_string(),
                hint: format!(
                    "download {} and {name} elsewhere and put both into {}, or name the file with \
                     SHOPCTL_K3S_BINARY",
                    program_name(),
                    folder.display()
                ),
            })
    };
    let list = folder.join(checksums_name());
    let part = folder.join("k3s.part");
    fetch(checksums_name(), &list).await?;
    fetch(program_name(), &part).await?;
    let published = published_checksum(&list);
    let found = sha256_of(&part)?;
    if published.as_deref() != Some(found.as_str()) {
        let _ = fs::remove_file(&part);
        return Err(BootstrapError::WrongFile {
            path: part,
            reason: format!(
                "its SHA-256 is {found}, and the published one is {}",
                published.as_deref().unwrap_or("not in the list")
            ),
            hint: "run the command again; if it stays, something between here and there changes downloads".to_owned(),
        });
    }
    fs::set_permissions(&part, fs::Permissions::from_mode(0o755))
        .and_then(|()| fs::rename(&part, cached))
        .map_err(|error| BootstrapError::file(cached, error))?;
    Ok(cached.to_owned())
}
