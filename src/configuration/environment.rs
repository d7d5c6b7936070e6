//! The environment variables, a layer of the configuration.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use figment::{Figment, Source};

use super::{
    SETTINGS, bounded_file,
    errors::{ConfigError, Suggestion},
    layer::Layer,
    settings::Setting,
};

/// The problem of a value that is not UTF-8.
const NOT_UTF_8: &str = "is not UTF-8";
/// Suffix of a variable whose value is in a file, such as a secret of Docker or Kubernetes.
const FILE_SUFFIX: &str = "_FILE";
/// Maximum size of a file with one value, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// Prefix of this service's own variables.
const OWN_PREFIX: &str = "SSE_";
/// Maximum edit distance between a misspelled name and the name that was meant.
const MAX_MISSPELLING: usize = 2;

/// A snapshot of the environment variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Returns the environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        // The names of all settings are UTF-8, so that other names can be left out.
        Self(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect(),
        )
    }

    /// Returns the path in a variable, if it is set and not empty.
    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.0.get(name).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// Returns the value of a variable, if it is set.
    ///
    /// # Errors
    ///
    /// Returns the problem of a value that is not UTF-8.
    pub(super) fn text(&self, name: &str) -> Option<Result<&str, &'static str>> {
        Some(self.0.get(name)?.to_str().ok_or(NOT_UTF_8))
    }

    /// Returns the names of all variables that are not empty, without those that Kubernetes or Docker sets for other services.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.0.iter().filter(|(name, value)| !value.is_empty() && !is_service_link(name, value));
        own.map(|(name, _)| name.as_str())
    }

    /// Returns an error for each unknown variable whose name is close to that of a setting.
    pub(super) fn misspelled(&self) -> Vec<ConfigError> {
        let variables = SETTINGS.iter().flat_map(Setting::all_variables);
        let known: Vec<_> = variables
            .filter(|name| name.starts_with(OWN_PREFIX))
            .flat_map(|name| [format!("{name}{FILE_SUFFIX}"), name])
            .collect();
        let own = self.0.iter().filter(|(name, value)| {
            name.starts_with(OWN_PREFIX) && !known.contains(name) && !is_service_link(name, value)
        });
        let misspelled = own.map(|(name, _)| name).filter_map(|name| {
            let distance = |meant: &String| strsim::osa_distance(name, meant);
            let meant = known.iter().min_by_key(|meant| distance(meant))?;
            (distance(meant) <= MAX_MISSPELLING).then(|| ConfigError {
                location: name.clone(),
                value: None,
                problem: "is not a setting".into(),
                suggestion: Some(Suggestion::Exact(meant.clone())),
            })
        });
        misspelled.collect()
    }

    /// Adds the variable that applies to each setting to `layers`, each as a layer of its own, so that the source of a value is known. Also
    /// returns the errors of the variables that cannot be read, by the keys of their settings.
    pub(super) fn add_to(&self, layers: Figment) -> (Figment, BTreeMap<&'static str, ConfigError>) {
        let mut unreadable = BTreeMap::new();
        let layers = SETTINGS.iter().fold(layers, |layers, setting| match self.read(setting) {
            None => layers,
            Some(Ok((source, value))) => {
                layers.merge(Layer { setting, value: value.into(), source: Some(Source::Custom(source)) })
            }
            Some(Err(error)) => {
                unreadable.insert(setting.key, error);
                layers
            }
        });
        (layers, unreadable)
    }

    /// Returns the source and the value of the variable that applies to `setting`. None if no variable is set.
    fn read(&self, setting: &Setting) -> Option<Result<(String, String), ConfigError>> {
        let in_files = |name: String| [(format!("{name}{FILE_SUFFIX}"), true), (name, false)];
        let variables = setting.all_variables().flat_map(in_files);
        let (name, in_file) = variables.filter(|(name, _)| self.0.contains_key(name)).last()?;
        let error = |value, problem| ConfigError { location: name.clone(), value, problem, suggestion: None };
        if in_file {
            let path = PathBuf::from(self.0.get(&name)?);
            Some(match content(&path) {
                Ok(value) => Ok((format!("{name} ({})", path.display()), value)),
                Err(problem) => Err(error(Some(path.display().to_string()), problem)),
            })
        } else {
            Some(match self.text(&name)? {
                Ok(value) => Ok((name, value.to_owned())),
                Err(problem) => Err(error(None, problem.to_owned())),
            })
        }
    }
}

/// Returns whether Kubernetes or Docker has set the variable for another service. For a service `sse-http` they set
/// `SSE_HTTP_PORT=tcp://10.0.0.1:80` and `SSE_HTTP_SERVICE_HOST`, which look like variables of this service.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_address =
        value.to_str().is_some_and(|text| text.starts_with("tcp://") || text.starts_with("udp://"));
    is_address || ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part))
}

/// Returns the value in the file at `path`: its content without the line breaks at the end.
fn content(path: &Path) -> Result<String, String> {
    if path.as_os_str().is_empty() {
        return Err("is not the name of a file".into());
    }
    let bytes = bounded_file::read(path, MAX_FILE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("is a file whose content {NOT_UTF_8}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("is an empty file".into()),
        value => Ok(value.to_owned()),
    }
}

impl<'a, V: Into<OsString>> FromIterator<(&'a str, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}
