//! The defaults and the file upon them.

use std::path::{Path, PathBuf};

use figment::{
    Error, Figment, Metadata, Profile, Provider, Source,
    providers::{Format as _, Yaml},
    value::{Dict, Map, Value},
};

use super::{
    SETTINGS,
    environment::{Environment, nested},
    mistakes::{Mistake, Mistakes},
};

/// The name of the file in its directory.
const FILE_NAME: &str = "sse.yaml";

/// The defaults with the file's values upon them, and what is wrong with the file as such.
pub(super) fn layers(named: Option<PathBuf>, environment: &Environment) -> (Figment, Mistakes) {
    let defaults = Figment::from(Defaults);
    let Some(path) = named.or_else(|| find(environment)) else { return (defaults, Mistakes::default()) };
    match read(&path) {
        Ok(values) => {
            let mut mistakes = Mistakes::default();
            let values = values_of(values, "", environment, &path, &mut mistakes);
            (defaults.merge(File { path, values }), mistakes)
        }
        Err(wrong) => {
            let place = path.display().to_string();
            (defaults, Mistakes(vec![Mistake { place, value: None, wrong, example: None }]))
        }
    }
}

/// The file in the directory that the environment names, else in the first usual one that has it.
fn find(environment: &Environment) -> Option<PathBuf> {
    let named = environment.get("OC_CONFIG_DIR").or_else(|| environment.get("OCIS_CONFIG_DIR"));
    let directories = if let Some(directory) = named {
        vec![PathBuf::from(directory)]
    } else {
        let home = environment.get("HOME").map(|home| Path::new(home).join(".ocis/config"));
        home.into_iter().chain([PathBuf::from("/etc/ocis")]).collect()
    };
    directories
        .into_iter()
        .map(|directory| directory.join(FILE_NAME))
        .find(|path| path.try_exists().unwrap_or(true))
}

fn read(path: &Path) -> Result<Dict, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    // In two steps: what the first says is about the form alone and quotes no value, which may be a secret.
    match Yaml::from_str(&text).map_err(|error| format!("is no valid YAML: {error}"))? {
        Value::Dict(_, values) => Ok(values),
        Value::Empty(..) => Ok(Dict::new()),
        _ => Err("has no keys with values, as in `log: {level: info}`".into()),
    }
}

/// The values of the group `group` with their variables expanded, without the keys that mean nothing, which are mistakes.
fn values_of(
    values: Dict,
    group: &str,
    environment: &Environment,
    path: &Path,
    mistakes: &mut Mistakes,
) -> Dict {
    let mut known = Dict::new();
    for (name, value) in values {
        let key = if group.is_empty() { name.clone() } else { format!("{group}.{name}") };
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let (is_setting, secret) = (setting.is_some(), setting.is_some_and(|setting| setting.secret));
        let is_group = SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
        let mut mistake = |wrong: String, example: Option<String>| {
            let place = format!("{}, {key}", path.display());
            mistakes.0.push(Mistake { place, value: None, wrong, example });
        };
        match value {
            _ if name.contains('.') => {
                mistake("is one key with a dot; a group's settings stand below it".into(), None);
            }
            Value::Dict(_, values) if is_group => {
                let values = values_of(values, &key, environment, path, mistakes);
                known.insert(name, values.into());
            }
            // Nothing is said, as in a file with comments in place of values.
            Value::Empty(..) if is_group || is_setting => {}
            _ if is_group => mistake("is a group of settings, not a value".into(), None),
            value if is_setting => match expanded(value, environment) {
                Ok(value) => drop(known.insert(name, value)),
                Err(_) if secret => mistake("names a variable that is not set".into(), None),
                Err(variable) => mistake(format!("names the variable {variable}, which is not set"), None),
            },
            _ => mistake("is no setting".into(), closest(&key)),
        }
    }
    known
}

/// Replaces each `${NAME}` in texts, also within a list. The error is the name of a variable that is not set.
fn expanded(value: Value, environment: &Environment) -> Result<Value, String> {
    match value {
        Value::String(tag, text) => {
            let mut result = String::new();
            let mut rest = text.as_str();
            while let Some((before, name, after)) = rest
                .split_once("${")
                .and_then(|(before, after)| after.split_once('}').map(|(name, after)| (before, name, after)))
            {
                result += before;
                result += environment.get(name).ok_or(name)?;
                rest = after;
            }
            Ok(Value::String(tag, result + rest))
        }
        Value::Array(tag, values) => {
            let values = values.into_iter().map(|value| expanded(value, environment));
            Ok(Value::Array(tag, values.collect::<Result<_, _>>()?))
        }
        value => Ok(value),
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

/// What holds when nobody says otherwise.
struct Defaults;

impl Provider for Defaults {
    fn metadata(&self) -> Metadata {
        Metadata::named("default")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let defaults = SETTINGS.iter().filter_map(|setting| Some((setting.key, setting.default?)));
        let layers = defaults.fold(Figment::new(), |layers, (key, default)| {
            layers.merge(figment::providers::Serialized::defaults(nested(key, default.into())))
        });
        layers.data()
    }
}

/// What the file says.
struct File {
    path: PathBuf,
    values: Dict,
}

impl Provider for File {
    fn metadata(&self) -> Metadata {
        Metadata::from("file", Source::File(self.path.clone()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
