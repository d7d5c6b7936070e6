//! The settings in effect and their defaults, in a human-readable form.

use std::fmt::{self, Write as _};

use figment::value::Value;

use super::{SETTINGS, reader::Reader, settings::Setting, yaml::Node};

/// The name of the file with the JSON Schema, beside the configuration file.
const SCHEMA_FILE: &str = "sse.schema.json";

/// All settings with their values and the sources of these. `Display` writes them as a configuration file, with secrets masked.
#[derive(Clone, Debug)]
pub struct Effective(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    setting: &'static Setting,
    value: String,
    source: String,
}

impl Effective {
    pub(super) fn new(reader: &Reader<'_>) -> Self {
        let entry = |setting: &'static Setting| {
            let value = reader.shown(setting).unwrap_or_default();
            Entry { setting, value, source: on_one_line(&reader.source(setting)) }
        };
        Self(SETTINGS.iter().map(entry).collect())
    }

    /// Takes the entries of `new` for the settings that can change without a restart.
    pub(super) fn reload(&mut self, new: Self) {
        for (entry, new) in self.0.iter_mut().zip(new.0) {
            if entry.setting.reloadable {
                *entry = new;
            }
        }
    }

    /// Returns the value of a setting, masked if it is secret.
    pub(super) fn value(&self, setting: &Setting) -> &str {
        let entry = self.0.iter().find(|entry| entry.setting.key == setting.key);
        entry.map(|entry| entry.value.as_str()).unwrap_or_default()
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = Groups::default();
        self.0.iter().try_for_each(|Entry { setting, value, source }| {
            let indent = groups.enter(f, setting.key)?;
            writeln!(f, "{indent}{}: {} # {source}", name(setting.key), Scalar::of(setting, value))
        })
    }
}

/// A configuration file with the default, the meaning and the variables of every setting.
pub struct Defaults;

impl fmt::Display for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# yaml-language-server: $schema={SCHEMA_FILE}")?;
        writeln!(f, "# Editors check this file with that schema: ocis-sse config --schema > {SCHEMA_FILE}")?;
        let mut groups = Groups::default();
        SETTINGS.iter().try_for_each(|setting| {
            let indent = groups.enter(f, setting.key)?;
            let variables: Vec<_> = setting.all_variables().collect();
            let changes = if setting.reloadable { "; reloaded on SIGHUP" } else { "" };
            writeln!(f, "{indent}# {}.", setting.meaning)?;
            writeln!(f, "{indent}# {}{changes}", variables.join(", "))?;
            let name = name(setting.key);
            match setting.default {
                Some(default) => writeln!(f, "{indent}{name}: {}", Scalar::of(setting, default)),
                None => writeln!(f, "{indent}# required: {name}: {}", Scalar::of(setting, setting.example)),
            }
        })
    }
}

/// The groups that are open at the current line of the file.
#[derive(Default)]
struct Groups(Vec<&'static str>);

impl Groups {
    /// Opens the groups that `key` is in and that are not open yet. Returns the indentation.
    fn enter(&mut self, f: &mut fmt::Formatter<'_>, key: &'static str) -> Result<String, fmt::Error> {
        let mut groups: Vec<_> = key.split('.').collect();
        groups.pop();
        let open = self.0.iter().zip(&groups).take_while(|(open, group)| open == group).count();
        for (depth, group) in groups.iter().enumerate().skip(open) {
            writeln!(f, "{}{group}:", "  ".repeat(depth))?;
        }
        let depth = groups.len();
        self.0 = groups;
        Ok("  ".repeat(depth))
    }
}

fn name(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Escapes the characters that would end a comment, which the name of a file may contain.
fn on_one_line(source: &str) -> String {
    source.chars().map(|c| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// A YAML scalar: plain where that is unambiguous, otherwise in quotes.
struct Scalar<'a> {
    text: &'a str,
    /// Whether the text needs quotes because YAML would take it for a number, a boolean or null.
    in_quotes: bool,
}

impl<'a> Scalar<'a> {
    fn of(setting: &Setting, text: &'a str) -> Self {
        Self { text, in_quotes: is_text(setting.example) && !is_text(text) }
    }
}

/// Returns whether YAML takes a plain `text` for a string, not for a number, a boolean or null.
fn is_text(text: &str) -> bool {
    matches!(Node::parse(text), Ok(Node::Value(Value::String(..))))
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "./-_,:".contains(c);
        let text = self.text;
        if !self.in_quotes
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
            && !text.ends_with(':')
            && text.chars().all(plain)
        {
            f.write_str(text)
        } else {
            // A JSON string is a YAML string. YAML needs some more characters escaped.
            serde_json::Value::from(text).to_string().chars().try_for_each(|c| {
                if is_plain(c) { f.write_char(c) } else { write!(f, "\\u{:04x}", u32::from(c)) }
            })
        }
    }
}

/// Returns whether `c` may stand unescaped within quotes in YAML: it is neither a control character (YAML 1.2, section 5.1) nor one of the
/// line breaks of YAML 1.1, which become a space.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
