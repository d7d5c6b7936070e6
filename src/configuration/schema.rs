//! The JSON Schema of the file, for editors. It is not stricter than the program, and names every setting.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    SETTINGS, Setting,
    file::{IGNORED_KEYS, KEY_ALIASES},
    groups::formats,
    values::Format,
};

/// The schema (draft 7, which editors support best).
pub struct Schema;

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(&schema()).map_err(|_| fmt::Error)?)
    }
}

/// Returns the schema.
pub(super) fn schema() -> Value {
    let mut properties = Map::new();
    let formats = formats();
    for setting in SETTINGS {
        let format =
            formats.iter().find(|(key, _)| *key == setting.key).map_or(Format::Text, |(_, format)| *format);
        insert(&mut properties, setting.key, described(setting, format));
    }
    for (alias, key) in KEY_ALIASES {
        insert(&mut properties, alias, json!({ "description": format!("The same as {key}.") }));
    }
    for key in IGNORED_KEYS {
        insert(&mut properties, key, json!({ "description": "Accepted for compatibility, and ignored." }));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "sse.yaml",
        "description": "The configuration file of ocis-sse.",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": properties,
        "definitions": definitions(),
    })
}

/// Inserts the schema of the setting `key` into the groups that the key names.
fn insert(properties: &mut Map<String, Value>, key: &str, schema: Value) {
    match key.split_once('.') {
        None => drop(properties.insert(key.to_owned(), schema)),
        Some((group, rest)) => {
            let group = properties.entry(group).or_insert_with(
                || json!({ "type": ["object", "null"], "additionalProperties": false, "properties": {} }),
            );
            if let Some(properties) = group["properties"].as_object_mut() {
                insert(properties, rest, schema);
            }
        }
    }
}

/// Returns the schema of a setting, with its meaning.
fn described(setting: &Setting, format: Format) -> Value {
    let variables: Vec<_> = setting.all_variables().collect();
    let mut schema = json!({
        "description": format!("{}.\n\n{}", setting.meaning, variables.join(", ")),
        "anyOf": [reference(format), { "$ref": "#/definitions/variable" }, { "type": "null" }],
    });
    match setting.default {
        // No value, which may be written as an empty string.
        Some("") => {
            if let Some(allowed) = schema["anyOf"].as_array_mut() {
                allowed.push(json!({ "const": "" }));
            }
        }
        Some(default) => schema["default"] = written(format, default),
        None => {}
    }
    if !setting.secret {
        schema["examples"] = json!([written(format, setting.example)]);
    }
    schema
}

/// Returns a value as it is written in the file.
fn written(format: Format, text: &str) -> Value {
    match format {
        Format::Boolean | Format::Count => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        Format::List if text.contains(',') => text.split(',').collect(),
        _ => text.into(),
    }
}

/// Returns the schema of a format.
fn reference(format: Format) -> Value {
    let name = match format {
        Format::Text => "text",
        Format::Word => "word",
        Format::Boolean => "boolean",
        Format::Count => "count",
        Format::Duration => "duration",
        Format::Size => "size",
        Format::List => "list",
        Format::OneOf(words) => {
            // In any case, because the platform accepts any.
            let pattern: Vec<_> = words.iter().map(|word| in_any_case(word)).collect();
            return json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": format!("^({})$", pattern.join("|")) }] });
        }
    };
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// Returns a pattern that matches `word` in any case.
fn in_any_case(word: &str) -> String {
    word.chars()
        .map(|c| match c {
            c if c.is_ascii_alphabetic() => format!("[{}{c}]", c.to_ascii_uppercase()),
            c => c.to_string(),
        })
        .collect()
}

fn definitions() -> Value {
    json!({
        "variable": {
            "description": "A variable of the environment: ${NAME}, or ${NAME|default}",
            "type": "string",
            "pattern": "\\$\\{[^}]+\\}",
        },
        "text": { "type": "string" },
        "boolean": { "enum": [true, false, 0, 1, "0", "1", "t", "T", "true", "TRUE", "True", "f", "F", "false", "FALSE", "False"] },
        "count": {
            "description": "A whole number of at least 1",
            "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "^ *\\+?0*[1-9][0-9]* *$" }],
        },
        "duration": {
            "description": "A duration, such as 30s, 1m30s or 500ms",
            "anyOf": [
                { "const": 0 },
                { "type": "string", "pattern": "^ *[+-]?(0|(([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+) *$" },
            ],
        },
        "size": {
            "description": "A number of bytes, such as 4096, 64KiB or 256MiB",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^ *[0-9]+ *(B|kB|KB|KiB|MB|MiB|GB|GiB)? *$" },
            ],
        },
        "word": { "type": ["string", "number", "boolean"] },
        "list": {
            "description": "A list, or one string with commas",
            "anyOf": [
                { "$ref": "#/definitions/word" },
                { "type": "array", "items": { "$ref": "#/definitions/word" } },
            ],
        },
    })
}
