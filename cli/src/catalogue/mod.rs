//! The catalogue: what each folder under `templates/` declares in its `component.yaml`.
//!
//! A component is data. The core knows none of them by name; adding one is adding a folder. Not here: what an
//! environment asks of a component (`environment`), how its files are filled in (`render`), and reading folders
//! (`project`).

mod check;
mod model;
mod pod;
mod program;
mod secret;
mod templates;

use std::collections::BTreeMap;

pub use model::*;
pub use pod::{Place, PodFiles, PodSpec};
pub use program::*;
pub use secret::{BothBy, RotateSpec, SecretBond, SecretKind, SecretSpec};
pub use templates::{Origin, Template, Templates};

use crate::document::{Document, Invalid, Problem, schema_of};
use crate::value::ComponentName;

/// The file that makes a folder a component.
pub const COMPONENT_FILE: &str = "component.yaml";

/// All components, and the templates they refer to.
#[derive(Clone, Debug)]
pub struct Catalogue {
    components: BTreeMap<ComponentName, Component>,
    templates: Templates,
}

impl Catalogue {
    /// Reads the components among the templates; reports all that is wrong with any of them.
    pub fn parse(templates: Templates) -> Result<Self, Vec<Invalid>> {
        let schema = schema_of::<Component>();
        let mut documents = Vec::new();
        let mut components = BTreeMap::new();
        let mut invalid = Vec::new();
        for (path, template) in templates.iter() {
            let Some(folder) = path
                .strip_suffix(COMPONENT_FILE)
                .and_then(|path| path.strip_suffix('/'))
            else {
                continue;
            };
            match parse_component(folder, path, template, &schema) {
                Ok((document, component)) => {
                    documents.push((component.name.clone(), document));
                    components.insert(component.name.clone(), component);
                }
                Err(wrong) => invalid.push(wrong),
            }
        }
        let catalogue = Self {
            components,
            templates,
        };
        for (name, document) in &documents {
            let problems = check::component(&catalogue, name, document, invalid.is_empty());
            invalid.extend(document.verdict(problems).err());
        }
        if invalid.is_empty() {
            Ok(catalogue)
        } else {
            Err(invalid)
        }
    }

    /// All components, in the order of their names.
    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.components.values()
    }

    /// The components that an environment file can speak of: servers and services.
    pub fn runnable(&self) -> impl Iterator<Item = &Component> {
        self.components()
            .filter(|component| component.kind != ComponentKind::Tool)
    }

    /// A component.
    pub fn get(&self, name: &str) -> Option<&Component> {
        self.components.get(name)
    }

    /// All templates.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// A template of a component, by its path in the component's folder.
    pub fn template(&self, component: &ComponentName, path: &str) -> Option<&Template> {
        self.templates.get(&format!("{component}/{path}"))
    }
}

fn parse_component(
    folder: &str,
    path: &str,
    template: &Template,
    schema: &serde_json::Value,
) -> Result<(Document, Component), Invalid> {
    let file = template.origin.display(path);
    let document = Document::parse(&file, template.text.as_bytes(), schema)?;
    document.verdict([])?;
    let component: Component = document.fill(document.values().clone())?;
    if component.name.as_str() != folder {
        let name = document.root.find(&["name".into()]);
        let span = name.map(|node| node.span).unwrap_or_default();
        let message = format!(
            "the component is named `{}`, but its folder `{folder}`",
            component.name
        );
        document.verdict([Problem::at(span, message).fix("give both the same name")])?;
    }
    Ok((document, component))
}
