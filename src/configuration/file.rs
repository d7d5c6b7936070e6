//! The configuration file, the layer above the defaults.

use std::path::{Path, PathBuf};

use figment::{Figment, Source, value::Value};

use super::{
    SETTINGS, bounded_file,
    environment::Environment,
    errors::{ConfigError, ConfigErrors, Suggestion},
    expansion::expand,
    layer::Layer,
    product,
    settings::Setting,
    yaml::Node,
};

/// The name of the file in its directory.
const FILE_NAME: &str = "sse.yaml";
/// Maximum size of the file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Aliases of keys, used by OpenCloud.
pub(super) const KEY_ALIASES: &[(&str, &str)] = &[("loglevel", "log.level")];
/// Keys of the built-in service that have no effect here. JetStream needs no name of a cluster.
pub(super) const IGNORED_KEYS: &[&str] = &["events.cluster"];

/// Returns the layers of the defaults and of the file, and the errors of the file that concern no value.
pub(super) fn layers(path: Option<&Path>, environment: &Environment) -> (Figment, ConfigErrors) {
    let defaults = product::add_to(defaults(), environment, path);
    let Some(path) = path else { return (defaults, ConfigErrors::default()) };
    let mut file = Contents { path, environment, values: Vec::new(), errors: Vec::new() };
    match read(path) {
        Ok(nodes) => file.take(nodes, ""),
        Err(problem) => file.errors.push(ConfigError {
            location: path.display().to_string(),
            value: None,
            problem,
            suggestion: None,
        }),
    }
    let Contents { values, errors, .. } = file;
    let layers = values.into_iter().fold(defaults, |layers, (setting, value)| {
        layers.merge(Layer { setting, value, source: Some(Source::File(path.to_owned())) })
    });
    (layers, ConfigErrors(errors))
}

/// Returns the layer of the defaults.
fn defaults() -> Figment {
    let defaults = SETTINGS.iter().filter_map(|setting| Some((setting, setting.default?)));
    defaults.fold(Figment::new(), |layers, (setting, default)| {
        layers.merge(Layer { setting, value: default.into(), source: None })
    })
}

/// Returns the path of the file: in the directory that the environment sets, otherwise in the first default directory that has the file.
pub(super) fn find(environment: &Environment) -> Option<PathBuf> {
    let named = environment.path("OC_CONFIG_DIR").or_else(|| environment.path("OCIS_CONFIG_DIR"));
    let directories = match named {
        Some(directory) => vec![directory.to_owned()],
        None => product::directories(environment),
    };
    directories
        .into_iter()
        .map(|directory| directory.join(FILE_NAME))
        .find(|path| path.try_exists().unwrap_or(true))
}

fn read(path: &Path) -> Result<Vec<(String, Node)>, String> {
    let bytes = bounded_file::read(path, MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    match Node::parse(&text)? {
        Node::Group(nodes) => Ok(nodes),
        Node::Value(Value::Empty(..)) => Ok(Vec::new()),
        Node::Value(_) => Err("has no keys with values such as `log: {level: info}`".into()),
    }
}

/// The values and errors of a file.
struct Contents<'a> {
    path: &'a Path,
    environment: &'a Environment,
    values: Vec<(&'static Setting, Value)>,
    errors: Vec<ConfigError>,
}

impl Contents<'_> {
    /// Takes the values of the group `group`, with their variables expanded. Unknown keys are errors.
    fn take(&mut self, mut nodes: Vec<(String, Node)>, group: &str) {
        nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut previous = None;
        for (name, node) in nodes {
            let key = if group.is_empty() { name.clone() } else { format!("{group}.{name}") };
            if previous.as_ref() == Some(&name) {
                self.note(&key, "is set twice".into(), None);
            }
            self.take_key(&key, &name, node);
            previous = Some(name);
        }
    }

    fn take_key(&mut self, key: &str, name: &str, node: Node) {
        let meant = KEY_ALIASES.iter().find(|(other, _)| *other == key).map_or(key, |(_, meant)| meant);
        let setting = SETTINGS.iter().find(|setting| setting.key == meant);
        let is_group = SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
        match (setting, node) {
            _ if name.contains('.') => {
                self.note(
                    key,
                    "is a key with a dot; write the name of the group, and the setting below it".into(),
                    None,
                );
            }
            _ if IGNORED_KEYS.contains(&key) => {}
            (_, Node::Group(nodes)) if is_group => self.take(nodes, key),
            // An empty value counts as not set: all values of the group may be commented out.
            (setting, Node::Value(Value::Empty(..))) if is_group || setting.is_some() => {}
            _ if is_group => self.note(key, "must be a group of settings, not a value".into(), None),
            (Some(_), Node::Group(_)) => {
                self.note(key, "must be a value, not a group".into(), None);
            }
            (Some(setting), Node::Value(value)) => self.take_value(key, setting, value),
            (None, _) => self.note(key, "is not a setting".into(), closest(key).map(Suggestion::Exact)),
        }
    }

    fn take_value(&mut self, key: &str, setting: &'static Setting, value: Value) {
        if key != setting.key && self.values.iter().any(|(other, _)| other.key == setting.key) {
            self.note(key, format!("is another name of {}, which is set as well", setting.key), None);
        }
        match expand(value, self.environment) {
            Ok(value) => self.values.push((setting, value)),
            Err(_) if setting.secret => self.note(key, "refers to a variable that is not set".into(), None),
            Err(problem) => self.note(key, problem, None),
        }
    }

    fn note(&mut self, key: &str, problem: String, suggestion: Option<Suggestion>) {
        let location = format!("{}, {key}", self.path.display());
        self.errors.push(ConfigError { location, value: None, problem, suggestion });
    }
}

/// Returns the setting or group with the most similar key, if it is similar enough.
fn closest(key: &str) -> Option<String> {
    SETTINGS
        .iter()
        .flat_map(|setting| {
            setting.key.match_indices('.').map(|(end, _)| &setting.key[..end]).chain([setting.key])
        })
        .map(|meant| (strsim::jaro_winkler(key, meant), meant))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(similarity, _)| *similarity > 0.8)
        .map(|(_, meant)| meant.to_owned())
}
