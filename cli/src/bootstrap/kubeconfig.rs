//! The kubeconfig of a cluster: fetched from its server, kept in the state folder, and merged into the user's own,
//! entry by entry.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::BootstrapError;
use super::config::{sha256, url};
use super::paths;
use super::yaml::written;
use crate::document::Document;
use crate::host::{Host, HostError, read_file};

/// What our entries carry, so that they can be told from others' of the same name.
const OURS: &str = "shopctl";
/// Before the digest of what the server's own kubeconfig was, in the first line of the kept one.
const FROM: &str = "# shopctl: from ";

/// A kubeconfig for one cluster.
#[derive(Clone)]
pub struct KeptKubeconfig {
    name: String,
    text: String,
    values: Json,
}

/// Fetches the kubeconfig of a server, for clients elsewhere. `name` is what its entries are called.
pub(super) async fn fetch(
    host: &dyn Host,
    name: &str,
    address: &str,
) -> Result<KeptKubeconfig, BootstrapError> {
    let found = read_file(host, paths::KUBECONFIG)
        .await?
        .unwrap_or_default();
    KeptKubeconfig::of_server(&found, name, address).ok_or_else(|| {
        BootstrapError::Host(HostError::Unexpected {
            host: host.name().to_owned(),
            about: format!("read {}", paths::KUBECONFIG),
            reason: "it is no kubeconfig as k3s writes it".to_owned(),
        })
    })
}

impl KeptKubeconfig {
    /// From what a server wrote for itself.
    fn of_server(text: &[u8], name: &str, address: &str) -> Option<Self> {
        let values = parse(Path::new(paths::KUBECONFIG), text).ok()?;
        let cluster = &values["clusters"][0]["cluster"];
        let user = values["users"][0]["user"].clone();
        let authority = cluster["certificate-authority-data"].as_str()?;
        user["client-certificate-data"].as_str()?;
        let extension = json!([{"name": OURS, "extension": {"environment": name}}]);
        let values = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {
                "certificate-authority-data": authority,
                "server": url(address),
                "extensions": extension,
            }}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {
                "cluster": name, "user": name, "extensions": extension,
            }}],
            "current-context": name,
        });
        let first = format!("{FROM}{} {address}\n", sha256(text));
        Some(Self {
            name: name.to_owned(),
            text: first + &written(&values),
            values,
        })
    }

    /// Whether the file that is kept was made from a server's kubeconfig of this digest.
    pub(super) fn is_from(path: &Path, digest: &str, address: &str) -> bool {
        let line = format!("{FROM}{digest} {address}");
        fs::read_to_string(path).is_ok_and(|text| text.lines().next() == Some(&line))
    }

    /// Reads the file that is kept.
    pub fn read(path: &Path, name: &str) -> Result<Self, BootstrapError> {
        let text = fs::read(path).map_err(|source| BootstrapError::file(path, source))?;
        Ok(Self {
            name: name.to_owned(),
            values: parse(path, &text).map_err(|reason| spoiled(path, reason))?,
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    /// Keeps it, for its owner alone.
    pub fn keep(&self, path: &Path) -> Result<(), BootstrapError> {
        write_private(path, &self.text).map_err(|source| BootstrapError::file(path, source))
    }

    /// Puts its entries into the user's kubeconfig, in the place of those that it put there before. Says whether
    /// anything changed. What was there is kept beside it.
    pub fn merge_into(&self, path: &Path) -> Result<bool, BootstrapError> {
        change(path, |values| {
            for (list, _) in LISTS {
                if let Some(foreign) = foreign_entry(values, list, &self.name) {
                    return Err(foreign);
                }
            }
            for (list, _) in LISTS {
                let entry = self.values[list][0].clone();
                let entries = values
                    .entry(list)
                    .or_insert_with(|| json!([]))
                    .as_array_mut()
                    .ok_or_else(|| format!("its `{list}` is no list"))?;
                match entries.iter_mut().find(|found| found["name"] == self.name) {
                    Some(found) => *found = entry,
                    None => entries.push(entry),
                }
            }
            values.entry("apiVersion").or_insert_with(|| json!("v1"));
            values.entry("kind").or_insert_with(|| json!("Config"));
            let current = values.entry("current-context").or_insert_with(|| json!(""));
            if current.as_str().is_none_or(str::is_empty) {
                *current = json!(self.name);
            }
            Ok(())
        })
    }
}

/// The lists of a kubeconfig, with what each entry holds.
const LISTS: [(&str, &str); 3] = [
    ("clusters", "cluster"),
    ("users", "user"),
    ("contexts", "context"),
];

/// Takes our entries of a name out of the user's kubeconfig. Says whether there were any.
pub fn unmerge(path: &Path, name: &str) -> Result<bool, BootstrapError> {
    if !path.exists() {
        return Ok(false);
    }
    change(path, |values| {
        if !is_ours(values, name) {
            return Ok(());
        }
        for (list, _) in LISTS {
            if let Some(entries) = values.get_mut(list).and_then(Json::as_array_mut) {
                entries.retain(|entry| entry["name"] != name);
            }
        }
        if values
            .get("current-context")
            .is_some_and(|current| current == name)
        {
            values.insert("current-context".to_owned(), json!(""));
        }
        Ok(())
    })
}

/// Whether the entries of a name are ours. A user's entry has no room for a sign: it is told by its context.
fn is_ours(values: &Map<String, Json>, name: &str) -> bool {
    LISTS.iter().any(|(list, inner)| {
        let entries = values.get(*list).and_then(Json::as_array);
        entries.into_iter().flatten().any(|entry| {
            let extensions = entry[inner]["extensions"].as_array();
            let signed = extensions.is_some_and(|all| all.iter().any(|one| one["name"] == OURS));
            entry["name"] == name && signed
        })
    })
}

/// What is in the way of an entry of a name in a list.
fn foreign_entry(values: &Map<String, Json>, list: &str, name: &str) -> Option<String> {
    let there = values
        .get(list)
        .and_then(Json::as_array)
        .is_some_and(|entries| entries.iter().any(|entry| entry["name"] == name));
    (there && !is_ours(values, name))
        .then(|| format!("its `{list}` has an entry `{name}` that shopctl did not make"))
}

/// Where the user's kubeconfig is: the first file that `KUBECONFIG` names, or the one in his home.
pub fn user_kubeconfig(variable: Option<&str>, home: Option<&Path>) -> Option<PathBuf> {
    let named = variable
        .into_iter()
        .flat_map(|list| list.split(':'))
        .find(|part| !part.is_empty());
    named
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".kube/config")))
}

/// Changes a kubeconfig under the lock that kubectl takes too.
fn change(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Json>) -> Result<(), String>,
) -> Result<bool, BootstrapError> {
    // A link stays one: what it leads to is changed.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| BootstrapError::file(folder, source))?;
    }
    let _lock = Lock::take(path)?;
    let old = match fs::read(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(BootstrapError::file(path, source)),
    };
    let parsed = match &old {
        Some(text) if !text.trim_ascii().is_empty() => {
            parse(path, text).map_err(|reason| spoiled(path, reason))?
        }
        _ => json!({}),
    };
    let Json::Object(before) = parsed else {
        return Err(spoiled(path, "it is no map".to_owned()));
    };
    let mut values = before.clone();
    change(&mut values).map_err(|reason| spoiled(path, reason))?;
    if values == before {
        return Ok(false);
    }
    let failed = |source| BootstrapError::file(path, source);
    if let Some(old) = old {
        let mut kept = path.as_os_str().to_owned();
        kept.push(".before-shopctl");
        write_private(Path::new(&kept), &String::from_utf8_lossy(&old)).map_err(failed)?;
    }
    write_private(path, &written(&Json::Object(values))).map_err(failed)?;
    Ok(true)
}

/// kubectl's lock of a kubeconfig: a file beside it that nobody else could make.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, BootstrapError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let made = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&lock);
        match made {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BootstrapError::Kubeconfig {
                    path: path.to_owned(),
                    reason: format!("somebody else changes it: {} is there", lock.display()),
                    hint: format!(
                        "if no kubectl or shopctl is at work on it any more, `rm {}`",
                        lock.display()
                    ),
                })
            }
            Err(source) => Err(BootstrapError::file(&lock, source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Json, String> {
    let first = |invalid: crate::document::Invalid| {
        invalid.problems.first().map_or_else(
            || "it cannot be read".to_owned(),
            |problem| problem.message.clone(),
        )
    };
    let name = path.to_string_lossy();
    let document = Document::parse(&name, text, &json!({})).map_err(first)?;
    document.verdict([]).map_err(first)?;
    Ok(document.values().clone())
}

fn spoiled(path: &Path, reason: String) -> BootstrapError {
    BootstrapError::Kubeconfig {
        path: path.to_owned(),
        reason,
        hint: "rename the entry, or let another file be used with KUBECONFIG; nothing was changed in it".to_owned(),
    }
}

/// Writes a file whole or not at all, for its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests;
