//! The JSON Schema of a state file, for editors and for whoever generates the files.

use serde_json::{Map, Value, json};

use crate::change::span;
use crate::yaml::field::{Field, PROTECT, Section, Shape};

/// A schema (draft 2020-12) that accepts what the reader accepts, and rejects what it rejects as far as a schema can
/// say it: not the calendar, the bounds of a duration, duplicate keys, or what two files claim.
pub fn json_schema(sections: &[Section]) -> Value {
    let lists: Map<String, Value> =
        sections.iter().map(|section| (section.kind.plural.to_owned(), list(section))).collect();
    let items: Map<String, Value> =
        sections.iter().map(|section| (section.kind.name.to_owned(), item(section))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "reconcile desired state",
        "description": "What should exist: one list for each kind.",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": lists,
        "$defs": items,
    })
}

fn list(section: &Section) -> Value {
    json!({
        "description": section.about,
        "type": ["array", "null"],
        "items": { "$ref": format!("#/$defs/{}", section.kind.name) },
    })
}

fn item(section: &Section) -> Value {
    let Section { kind: _, about, fields, exclusive } = section;
    let properties: Map<String, Value> =
        section.all_fields().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut item = json!({
        "description": about,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    match (required.as_slice(), section.key()) {
        ([], _) => {}
        ([only], Some(key)) if *only == key.name => item["required"] = json!(required),
        (_, key) => {
            let lifts = [key.map_or("", |key| key.name), PROTECT.name];
            item["anyOf"] = json!([
                { "required": required },
                { "required": lifts, "properties": { PROTECT.name: { "const": false } }, "maxProperties": lifts.len() },
            ]);
        }
    }
    let not_both = |(left, right): &(&str, &str)| json!({ "not": { "required": [left, right] } });
    match exclusive {
        [] => {}
        pairs => item["allOf"] = pairs.iter().map(not_both).collect(),
    }
    item
}

fn property(field: &Field) -> Value {
    let Field { name: _, shape, required: _, nullable, default, pattern, about } = field;
    let mut property = match shape {
        Shape::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Text { min, max } => json!({ "type": "string", "minLength": min, "maxLength": max }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Uuid => json!({ "type": "string", "format": "uuid" }),
        Shape::Duration { .. } | Shape::Name => json!({ "type": "string" }),
    };
    if let Some(pattern) = pattern.or(shape.pattern()) {
        property["pattern"] = json!(pattern);
    }
    let mut description = (*about).to_owned();
    if let Shape::Duration { min, max } = shape {
        description.push_str(&format!(" From {} to {}.", span(*min), span(*max)));
    }
    property["description"] = json!(description.trim_start());
    if let Some(default) = default {
        property["default"] = as_written(shape, default);
    }
    if *nullable {
        property["type"] = json!([property["type"], "null"]);
        if let Some(Value::Array(words)) = property.get_mut("enum") {
            words.push(Value::Null);
        }
    }
    property
}

/// A default in the type that its field has.
fn as_written(shape: &Shape, default: &str) -> Value {
    let number = matches!(shape, Shape::Int { .. }).then(|| default.parse::<i64>().ok()).flatten();
    let flag = matches!(shape, Shape::Flag).then(|| default.parse::<bool>().ok()).flatten();
    number.map(Value::from).or(flag.map(Value::from)).unwrap_or_else(|| json!(default))
}

#[cfg(test)]
mod tests {
    use super::json_schema;
    use crate::yaml::tests::SECTIONS;

    #[test]
    fn a_section_as_a_schema() {
        let mut schema = json_schema(SECTIONS);
        let host = schema["$defs"]["host"].as_object_mut().unwrap();
        let fields = host["properties"].as_object_mut().unwrap();
        fields.retain(|name, _| matches!(name.as_str(), "expires_in" | "missing_session" | "rotation" | "protect"));
        insta::assert_snapshot!(serde_json::to_string_pretty(host).unwrap(), @r#"
        {
          "additionalProperties": false,
          "allOf": [
            {
              "not": {
                "required": [
                  "expires_in",
                  "expires_at"
                ]
              }
            }
          ],
          "description": "The one secret that opens a session.",
          "properties": {
            "expires_in": {
              "description": "Counted from the rotation. From 1m to 365d.",
              "pattern": "^[0-9]{1,9} ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)( ?[0-9]{1,9} ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?))*$",
              "type": "string"
            },
            "missing_session": {
              "description": "What to do without its session.",
              "enum": [
                "error",
                "create",
                null
              ],
              "type": [
                "string",
                "null"
              ]
            },
            "protect": {
              "description": "true blocks every change to this resource until a line says false; false alone, beside the key, lifts it.",
              "type": "boolean"
            },
            "rotation": {
              "default": 1,
              "description": "Raise it to rotate.",
              "maximum": 1000,
              "minimum": 1,
              "type": "integer"
            }
          },
          "required": [
            "session"
          ],
          "type": "object"
        }
        "#);
    }

    #[test]
    fn a_field_that_may_be_null() {
        let schema = json_schema(SECTIONS);
        let nullable = &schema["$defs"]["session"]["properties"]["expires_at"];
        assert_eq!(nullable["type"], serde_json::json!(["string", "null"]));
        assert!(nullable.get("enum").is_none(), "no list of words where the field has none: {nullable}");
    }

    #[test]
    fn the_top_level() {
        let mut schema = json_schema(SECTIONS);
        schema["$defs"] = serde_json::Value::Null;
        insta::assert_snapshot!(serde_json::to_string_pretty(&schema).unwrap(), @r##"
        {
          "$defs": null,
          "$schema": "https://json-schema.org/draft/2020-12/schema",
          "additionalProperties": false,
          "description": "What should exist: one list for each kind.",
          "properties": {
            "hosts": {
              "description": "The one secret that opens a session.",
              "items": {
                "$ref": "#/$defs/host"
              },
              "type": [
                "array",
                "null"
              ]
            },
            "instances": {
              "description": "Customers' databases.",
              "items": {
                "$ref": "#/$defs/instance"
              },
              "type": [
                "array",
                "null"
              ]
            },
            "sessions": {
              "description": "Live teaching sessions.",
              "items": {
                "$ref": "#/$defs/session"
              },
              "type": [
                "array",
                "null"
              ]
            }
          },
          "title": "reconcile desired state",
          "type": [
            "object",
            "null"
          ]
        }
        "##);
    }
}
