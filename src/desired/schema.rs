//! The JSON Schema of a state file, for editors and for whoever generates the files.

use serde_json::{Map, Value, json};

use crate::yaml::field::{Field, Section, Shape};
use crate::yaml::units;

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
    if !required.is_empty() {
        item["required"] = json!(required);
    }
    let not_both = |(left, right): &(&str, &str)| json!({ "not": { "required": [left, right] } });
    match exclusive {
        [] => {}
        pairs => item["allOf"] = pairs.iter().map(not_both).collect(),
    }
    item
}

fn property(field: &Field) -> Value {
    let Field { name: _, shape, required: _, nullable, default, about } = field;
    let mut property = match shape {
        Shape::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Text { min, max } => json!({ "type": "string", "minLength": min, "maxLength": max }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Uuid => json!({ "type": "string", "format": "uuid" }),
        Shape::Duration { .. } | Shape::Name => json!({ "type": "string" }),
    };
    if let Some(pattern) = shape.pattern() {
        property["pattern"] = json!(pattern);
    }
    let mut description = (*about).to_owned();
    if let Shape::Duration { min, max } = shape {
        description.push_str(&format!(" From {} to {}.", units(*min), units(*max)));
    }
    property["description"] = json!(description.trim_start());
    if let Some(default) = default {
        property["default"] = as_written(shape, default);
    }
    if *nullable {
        property["type"] = json!([property["type"], "null"]);
        if let Some(words) = property["enum"].as_array_mut() {
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
        let schema = json_schema(SECTIONS);
        let host = serde_json::to_string_pretty(&schema["$defs"]["host"]).unwrap();
        insta::assert_snapshot!(host, @r#"
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
            "active": {
              "default": true,
              "description": "Whether it opens.",
              "type": "boolean"
            },
            "expires_at": {
              "description": "Instead of expires_in.",
              "format": "date-time",
              "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
              "type": "string"
            },
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
              "default": false,
              "description": "Blocks every change to this resource until the line says otherwise.",
              "type": "boolean"
            },
            "reason": {
              "description": "Why.",
              "maxLength": 200,
              "minLength": 0,
              "pattern": "^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*$",
              "type": "string"
            },
            "rotation": {
              "default": 1,
              "description": "Raise it to rotate.",
              "maximum": 1000,
              "minimum": 1,
              "type": "integer"
            },
            "session": {
              "description": "The session's id.",
              "maximum": 9223372036854775807,
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
