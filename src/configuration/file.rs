//! The defaults and the file upon them.

use std::path::{Path, PathBuf};

use figment::{Figment, Source, value::Value};

use super::{
    SETTINGS, bounded_file,
    environment::Environment,
    expansion::expanded,
    layer::Layer,
    mistakes::{Mistake, Mistakes},
    product,
    settings::Setting,
    yaml::Node,
};

/// The name of the file in its directory.
const FILE_NAME: &str = "sse.yaml";
/// Maximum size of the file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Further names of settings, as OpenCloud has them.
const OTHER_KEYS: &[(&str, &str)] = &[("loglevel", "log.level")];

/// The defaults with the file's values upon them, and what is wrong with the file as such.
pub(super) fn layers(path: Option<&Path>, environment: &Environment) -> (Figment, Mistakes) {
    let defaults = product::add_to(defaults(), environment, path);
    let Some(path) = path else { return (defaults, Mistakes::default()) };
    let mut file = Contents { path, environment, values: Vec::new(), mistakes: Vec::new() };
    match read(path) {
        Ok(nodes) => file.take(nodes, ""),
        Err(wrong) => file.mistakes.push(Mistake {
            place: path.display().to_string(),
            value: None,
            wrong,
            example: None,
        }),
    }
    let Contents { values, mistakes, .. } = file;
    let layers = values.into_iter().fold(defaults, |layers, (setting, value)| {
        layers.merge(Layer { setting, value, source: Some(Source::File(path.to_owned())) })
    });
    (layers, Mistakes(mistakes))
}

/// What holds when nobody says otherwise.
fn defaults() -> Figment {
    let defaults = SETTINGS.iter().filter_map(|setting| Some((setting, setting.default?)));
    defaults.fold(Figment::new(), |layers, (setting, default)| {
        layers.merge(Layer { setting, value: default.into(), source: None })
    })
}

/// The file in the directory that the environment names, else in the first usual one that has it.
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
    let text = String::from_utf8(bytes).map_err(|_| "is no UTF-8")?;
    match Node::parse(&text)? {
        Node::Group(nodes) => Ok(nodes),
        Node::Value(Value::Empty(..)) => Ok(Vec::new()),
        Node::Value(_) => Err("has no keys with values, as in `log: {level: info}`".into()),
    }
}

/// What a file says.
struct Contents<'a> {
    path: &'a Path,
    environment: &'a Environment,
    values: Vec<(&'static Setting, Value)>,
    mistakes: Vec<Mistake>,
}

impl Contents<'_> {
    /// Takes the values of the group `group`, with their variables expanded. Keys that mean nothing are mistakes.
    fn take(&mut self, mut nodes: Vec<(String, Node)>, group: &str) {
        nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut previous = None;
        for (name, node) in nodes {
            let key = if group.is_empty() { name.clone() } else { format!("{group}.{name}") };
            if previous.as_ref() == Some(&name) {
                self.note(&key, "stands twice, and only one could count".into(), None);
            }
            self.take_key(&key, &name, node);
            previous = Some(name);
        }
    }

    fn take_key(&mut self, key: &str, name: &str, node: Node) {
        let meant = OTHER_KEYS.iter().find(|(other, _)| *other == key).map_or(key, |(_, meant)| meant);
        let setting = SETTINGS.iter().find(|setting| setting.key == meant);
        let is_group = SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
        match (setting, node) {
            _ if name.contains('.') => {
                self.note(key, "is one key with a dot; a group's settings stand below it".into(), None);
            }
            (_, Node::Group(nodes)) if is_group => self.take(nodes, key),
            // Nothing is said, as in a file with comments in place of values.
            (setting, Node::Value(Value::Empty(..))) if is_group || setting.is_some() => {}
            _ if is_group => self.note(key, "is a group of settings, not a value".into(), None),
            (Some(_), Node::Group(_)) => {
                self.note(key, "is a group, but a value is wanted".into(), None);
            }
            (Some(setting), Node::Value(value)) => self.take_value(key, setting, value),
            (None, _) => self.note(key, "is no setting".into(), closest(key)),
        }
    }

    fn take_value(&mut self, key: &str, setting: &'static Setting, value: Value) {
        if key != setting.key && self.values.iter().any(|(other, _)| other.key == setting.key) {
            self.note(key, format!("is {}, which stands in the file as well", setting.key), None);
        }
        match expanded(value, self.environment) {
            Ok(value) => self.values.push((setting, value)),
            Err(_) if setting.secret => self.note(key, "names a variable that is not set".into(), None),
            Err(wrong) => self.note(key, wrong, None),
        }
    }

    fn note(&mut self, key: &str, wrong: String, example: Option<String>) {
        let place = format!("{}, {key}", self.path.display());
        self.mistakes.push(Mistake { place, value: None, wrong, example });
    }
}

/// The setting or the group that was probably meant.
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
