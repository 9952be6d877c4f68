//! The JSON Schema of environment files: the fixed part from our types, the rest from the catalogue.

use serde_json::{Map, Value as Json, json};

use super::defaults;
use super::file::Complete;
use super::{Autoscaling, Target};
use crate::catalogue::{
    Catalogue, Component, ComponentKind, Resources, SettingFormat, SettingSpec, SettingType,
};
use crate::document::schema_of;
use crate::value::{Duration, Quantity};

/// The JSON Schema that an environment file must fit.
pub fn schema(catalogue: &Catalogue) -> Json {
    let mut schema = schema_of::<Complete>();
    let mut resources = schema_of::<Resources>();
    if let Some(defs) = schema["$defs"].as_object_mut() {
        // What a component may say depends on the component.
        defs.remove("ComponentSettings");
        if let Some(fields) = resources.as_object_mut() {
            fields.remove("$schema");
            fields.remove("title");
            if let Some(Json::Object(more)) = fields.remove("$defs") {
                defs.extend(more);
            }
        }
        defs.insert("Resources".to_owned(), resources);
        for partial in ["LoadProfile", "DrillProfile"] {
            if let Some(fields) = defs.get_mut(partial).and_then(Json::as_object_mut) {
                fields.remove("required");
            }
        }
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("required");
    }
    let properties = &mut schema["properties"];
    properties["target"]["default"] = json!(Target::default());
    properties["hosts"] = json!({
        "type": "object",
        "description": properties["hosts"]["description"],
        "propertyNames": { "format": "host-name", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$" },
        "additionalProperties": { "$ref": "#/$defs/Host" },
    });
    properties["protected"]["default"] = json!(false);
    for (name, kind) in [
        ("components", ComponentKind::Server),
        ("services", ComponentKind::Service),
    ] {
        section(&mut properties[name], catalogue, kind);
    }
    for profiles in ["loadProfiles", "drillProfiles"] {
        properties[profiles]["propertyNames"] =
            json!({ "format": "component-name", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$" });
    }
    allow_empty_sections(&mut schema);
    schema
}

/// Fills in the map of all components of a kind.
fn section(schema: &mut Json, catalogue: &Catalogue, kind: ComponentKind) {
    let mut known = Map::new();
    let mut elsewhere = Map::new();
    for other in catalogue.runnable() {
        if other.kind == kind {
            known.insert(other.name.to_string(), component(other));
        } else {
            let (noun, section) = match other.kind {
                ComponentKind::Service => ("service", "services"),
                _ => ("server", "components"),
            };
            let fix = format!(
                "the {noun} `{}`, which belongs under `{section}:`",
                other.name
            );
            elsewhere.insert(other.name.to_string(), json!(fix));
        }
    }
    let noun = match kind {
        ComponentKind::Service => "service",
        ComponentKind::Server | ComponentKind::Tool => "component",
    };
    *schema = json!({
        "type": "object",
        "description": schema["description"],
        "additionalProperties": false,
        "properties": known,
        "x-noun": noun,
        "x-elsewhere": elsewhere,
    });
}

/// What may be said about a component.
fn component(component: &Component) -> Json {
    let mut properties = Map::new();
    let mut add = |name: &str, schema: Json| properties.insert(name.to_owned(), schema);
    add(
        "enabled",
        json!({ "type": "boolean", "description": "Whether it runs at all." }),
    );
    add(
        "replicas",
        json!({
            "type": "integer",
            "minimum": component.minimum_replicas,
            "maximum": component.maximum_replicas,
            "description": "How many instances run.",
        }),
    );
    add(
        "version",
        json!({
            "type": "string",
            "format": "shop-version",
            "pattern": "^[0-9]+(\\.[0-9]+)*$",
            "description": "The version that must run, as in \"15\" or \"7.2\"; the default is any that will do.",
        }),
    );
    add(
        "image",
        json!({ "type": "string", "minLength": 1, "maxLength": 512, "description": "The container image." }),
    );
    add(
        "resources",
        json!({ "$ref": "#/$defs/Resources", "description": "What an instance is promised and what it may use at most." }),
    );
    if component.kind == ComponentKind::Service {
        add(
            "autoscaling",
            part::<Autoscaling>(
                "How many instances run by the work that they have; `replicas` is the fewest. Only with `target: k3s`.",
            ),
        );
    }
    if component.storage.is_some() {
        add(
            "storage",
            part::<Quantity>("How much storage an instance gets."),
        );
    }
    add("ports", ports(component));
    add("settings", settings(component));
    for (name, default) in defaults::settings(component) {
        if let Some(property) = properties
            .get_mut(&name)
            .filter(|_| name != "ports" && name != "settings")
        {
            property["default"] = default;
        }
    }
    json!({
        "type": "object",
        "description": component.about,
        "additionalProperties": false,
        "properties": properties,
    })
}

/// The schema of a type as a part of another one.
fn part<T: schemars::JsonSchema>(description: &str) -> Json {
    let mut schema = schema_of::<T>();
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|key, _| !key.starts_with('$') && key != "title");
    }
    schema["description"] = json!(description);
    schema
}

fn ports(component: &Component) -> Json {
    let properties: Map<String, Json> = component
        .ports
        .iter()
        .map(|(name, port)| {
            let whose = if port.shared {
                "All instances share it."
            } else {
                "Instance i listens on this + i."
            };
            let schema = json!({
                "type": "integer",
                "minimum": 1024,
                "maximum": 65535,
                "default": port.first,
                "description": format!("{} {whose}", sentence(&port.about)),
            });
            (name.clone(), schema)
        })
        .collect();
    json!({
        "type": "object",
        "description": "The first instance's ports, by name.",
        "additionalProperties": false,
        "properties": properties,
        "x-noun": "port",
    })
}

fn settings(component: &Component) -> Json {
    let properties: Map<String, Json> = component
        .settings
        .iter()
        .map(|(name, spec)| (name.clone(), setting(spec)))
        .collect();
    json!({
        "type": "object",
        "description": "Its own settings.",
        "additionalProperties": false,
        "properties": properties,
        "x-noun": "setting",
    })
}

/// A text that goes into configuration files: a line break in it would be a line of its own there.
fn word() -> Json {
    json!({ "type": "string", "format": "shop-word", "pattern": "^[!#-&(-\\[\\]-_a-~]+$" })
}

/// A text of a setting, or of its list.
fn text(spec: &SettingSpec) -> Json {
    match spec.format {
        None => word(),
        Some(SettingFormat::Cidr) => {
            json!({ "type": "string", "format": "shop-cidr", "pattern": "^[0-9a-fA-F.:]+(/[0-9]+)?$" })
        }
    }
}

fn setting(spec: &SettingSpec) -> Json {
    let mut schema = match spec.kind {
        SettingType::String => text(spec),
        SettingType::Integer => json!({ "type": "integer" }),
        SettingType::Number => json!({ "type": "number" }),
        SettingType::Boolean => json!({ "type": "boolean" }),
        SettingType::Duration => schema_of::<Duration>(),
        SettingType::Quantity => schema_of::<Quantity>(),
        SettingType::StringList => json!({ "type": "array", "items": text(spec) }),
    };
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|key, _| !key.starts_with('$') && key != "title");
        fields.insert("description".to_owned(), json!(spec.about));
        fields.insert("default".to_owned(), spec.default.clone());
        // JSON Schema has no limits for texts that mean a length of time: these two are ours.
        let (minimum, maximum) = match spec.kind {
            SettingType::Duration => ("minimumMilliseconds", "maximumMilliseconds"),
            _ => ("minimum", "maximum"),
        };
        if let Some(least) = spec.minimum {
            fields.insert(minimum.to_owned(), number(least));
        }
        if let Some(most) = spec.maximum {
            fields.insert(maximum.to_owned(), number(most));
        }
        if !spec.one_of.is_empty() {
            fields.insert("enum".to_owned(), json!(spec.one_of));
        }
    }
    schema
}

/// A limit, without a fraction that it does not have.
fn number(limit: f64) -> Json {
    if limit.fract() == 0.0 && limit.abs() < 1e15 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it has no fraction and is small"
        )]
        let whole = limit as i64;
        json!(whole)
    } else {
        json!(limit)
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
        .unwrap_or_default()
}

/// A section with nothing in it asks for defaults: editors should not complain either.
fn allow_empty_sections(schema: &mut Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(allow_empty_sections),
        Json::Object(fields) => {
            let lacks_nothing = !fields.contains_key("required");
            if let Some(kind) = fields.get_mut("type")
                && lacks_nothing
                && (kind == "object" || kind == "array")
            {
                *kind = json!([kind, "null"]);
            }
            fields.values_mut().for_each(allow_empty_sections);
        }
        _ => {}
    }
}
