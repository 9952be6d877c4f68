//! The files of a component's pods as a `ConfigMap` and a Secret, and where they are mounted.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::super::RenderedFile;
use super::super::context::{POD_CONFIG, POD_SECRETS};
use super::super::secret::OTHER;
use crate::catalogue::SecretSpec;

/// Files that pods of one kind read. Each is known by the folder of whoever reads it (empty: all of them) and its path.
#[derive(Clone, Debug, Default)]
pub(super) struct PodFilesOf<'a> {
    pub(super) name: String,
    pub(super) files: Vec<(String, &'a RenderedFile)>,
    pub(super) secrets: &'a [SecretSpec],
    /// The secrets of which the other one is given as well, while they are rotated.
    pub(super) others: Vec<&'a SecretSpec>,
}

impl PodFilesOf<'_> {
    fn of(&self, confidential: bool) -> impl Iterator<Item = (String, String, &RenderedFile)> {
        self.files
            .iter()
            .filter(move |(_, file)| file.confidential == confidential)
            .map(|(folder, file)| {
                let path = if folder.is_empty() {
                    file.path.clone()
                } else {
                    format!("{folder}/{}", file.path)
                };
                // What a key may hold is less than what a path may.
                (path.replace('/', "."), path, *file)
            })
    }

    /// What holds the files.
    pub(super) fn objects(&self) -> Vec<Json> {
        let texts: Map<String, Json> = self
            .of(false)
            .map(|(key, _, file)| (key, json!(file.content)))
            .collect();
        let secret: Map<String, Json> = self
            .of(true)
            .map(|(key, _, file)| (key, base64(file.content.as_bytes())))
            .collect();
        let mut objects = Vec::new();
        if !texts.is_empty() {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": self.name },
                "data": texts,
            }));
        }
        if !secret.is_empty() {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": self.name },
                "type": "Opaque",
                "data": secret,
            }));
        }
        objects
    }

    /// The volumes with files and secrets. All may be read by the pod's own user and group, and by nobody else.
    pub(super) fn volumes(&self) -> Vec<Json> {
        let mut sources = Vec::new();
        for (confidential, source) in [(false, "configMap"), (true, "secret")] {
            let items: Vec<Json> = self
                .of(confidential)
                .map(|(key, path, _)| json!({ "key": key, "path": path }))
                .collect();
            if !items.is_empty() {
                sources.push(json!({ source: { "name": self.name, "items": items } }));
            }
        }
        let mut volumes = Vec::new();
        if !sources.is_empty() {
            volumes.push(json!({
                "name": "config",
                "projected": { "defaultMode": 0o440, "sources": sources },
            }));
        }
        let mut objects: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
        for secret in self.secrets {
            let item = json!({ "key": secret.name, "path": secret.name });
            objects.entry(&secret.object).or_default().push(item);
        }
        if !objects.is_empty() {
            let sources: Vec<Json> = objects
                .into_iter()
                .map(|(name, items)| json!({ "secret": { "name": name, "items": items } }))
                .collect();
            // It goes before everybody has heard that nobody needs it any more, and no pod must wait for it then.
            let sources = sources.into_iter().chain(self.others.iter().map(|secret| {
                let other = format!("{}{OTHER}", secret.name);
                let items = [json!({ "key": other, "path": other })];
                json!({ "secret": { "name": secret.object, "optional": true, "items": items } })
            }));
            let sources: Vec<Json> = sources.collect();
            volumes.push(json!({
                "name": "secrets",
                "projected": { "defaultMode": 0o440, "sources": sources },
            }));
        }
        volumes
    }

    /// Where the volumes are mounted.
    pub(super) fn mounts(&self) -> Vec<Json> {
        let mut mounts = Vec::new();
        if !self.files.is_empty() {
            mounts.push(json!({ "name": "config", "mountPath": POD_CONFIG, "readOnly": true }));
        }
        if !self.secrets.is_empty() {
            mounts.push(json!({ "name": "secrets", "mountPath": POD_SECRETS, "readOnly": true }));
        }
        mounts
    }
}

/// Bytes as Secrets hold them: in base64.
pub(super) fn base64(bytes: &[u8]) -> Json {
    json!(ByteString(bytes.to_vec()))
}

/// A short digest over texts, each with its length.
pub(super) fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    hex::encode(&digest.finalize()[..8])
}
