//! JSON Schemas of our own types, in the plain form that [`super::schema`] understands.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

/// The JSON Schema of a type, where an optional field has the schema of its value: nobody writes `null`.
pub fn schema_of<T: JsonSchema>() -> Json {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    settle(&mut schema);
    schema
}

fn settle(schema: &mut Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(settle),
        Json::Object(fields) => {
            if let Some(Json::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    fields.insert("type".to_owned(), one);
                }
            }
            if let Some(Json::Array(alternatives)) = fields.get_mut("anyOf") {
                alternatives
                    .retain(|alternative| alternative.get("type") != Some(&Json::from("null")));
                if let [Json::Object(only)] = alternatives.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            if fields.get("default") == Some(&Json::Null) {
                fields.remove("default");
            }
            fields.values_mut().for_each(settle);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Quantity;
    use serde::Serialize;

    #[derive(Serialize, JsonSchema)]
    struct Outer {
        inline: Option<Quantity>,
        referred: Option<Inner>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Inner {
        number: Option<u8>,
    }

    #[test]
    fn an_optional_field_has_the_schema_of_its_value() {
        let schema = schema_of::<Outer>();
        assert_eq!(schema["properties"]["inline"]["type"], "string");
        assert_eq!(schema["properties"]["referred"]["$ref"], "#/$defs/Inner");
        assert!(schema["properties"]["referred"].get("anyOf").is_none());
        assert_eq!(
            schema["$defs"]["Inner"]["properties"]["number"]["type"],
            "integer"
        );
    }
}
