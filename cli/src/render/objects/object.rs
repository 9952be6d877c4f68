//! An object, parsed and known to fit its type.

use serde_json::{Map, Value as Json, json};

/// An object for a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What it was rendered from, relative to `templates/`.
    pub template: String,
    /// The component that it belongs to; none: the shop as a whole.
    pub component: Option<String>,
    value: Json,
}

impl Object {
    pub(super) fn new(template: &str, component: Option<&str>, value: Json) -> Self {
        Self {
            template: template.to_owned(),
            component: component.map(ToOwned::to_owned),
            value,
        }
    }

    /// The object itself.
    pub fn value(&self) -> &Json {
        &self.value
    }

    /// The object itself, alone.
    pub fn into_value(self) -> Json {
        self.value
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// As a message names it.
    pub fn display(&self) -> String {
        format!("{}/{}", self.kind().to_ascii_lowercase(), self.name())
    }

    /// The same without what is secret, for people to read.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        if masked.kind() == "Secret" {
            for fields in ["data", "stringData"] {
                let values = masked.value.get_mut(fields).and_then(Json::as_object_mut);
                for (key, value) in values.into_iter().flatten() {
                    *value = json!(format!("SECRET-{key}"));
                }
            }
        }
        masked
    }

    /// Adds the namespace and the labels that all our objects have, also to the pods and claims that it makes.
    pub(super) fn belong(&mut self, namespace: Option<&str>, environment: &str) {
        if let Some(namespace) = namespace {
            self.value["metadata"]["namespace"] = json!(namespace);
        }
        let name = self
            .component
            .clone()
            .unwrap_or_else(|| self.name().to_owned());
        label(&mut self.value["metadata"], &name, environment);
        let spec = &mut self.value["spec"];
        if let Some(template) = spec.get_mut("template").filter(|it| it.is_object()) {
            label(&mut template["metadata"], &name, environment);
        }
        let claims = spec.get_mut("volumeClaimTemplates");
        for claim in claims.and_then(Json::as_array_mut).into_iter().flatten() {
            label(&mut claim["metadata"], &name, environment);
        }
        if self.value["spec"].is_null()
            && let Some(fields) = self.value.as_object_mut()
        {
            fields.remove("spec");
        }
    }
}

/// Adds our labels; one that is there already stays.
fn label(metadata: &mut Json, name: &str, environment: &str) {
    let labels = [
        ("app.kubernetes.io/name", name),
        ("app.kubernetes.io/part-of", "shop"),
        ("app.kubernetes.io/managed-by", "shopctl"),
        ("shopctl/environment", environment),
    ];
    if !metadata["labels"].is_object() {
        metadata["labels"] = Json::Object(Map::new());
    }
    if let Some(known) = metadata["labels"].as_object_mut() {
        for (key, value) in labels {
            known.entry(key).or_insert_with(|| json!(value));
        }
    }
}
