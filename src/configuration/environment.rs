//! The environment as a layer of the configuration.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use figment::{Figment, Source};

use super::{SETTINGS, bounded_file, layer::Layer, mistakes::Mistake, settings::Setting};

/// What is wrong with a value that is not a text.
const NO_TEXT: &str = "is no UTF-8";
/// What a variable's name has behind it when its value is in a file, as secrets of Docker and Kubernetes are.
const FILE_SUFFIX: &str = "_FILE";
/// A file with one value is not larger than this, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// What the names of this service's own variables begin with.
const OWN_VARIABLES: &str = "SSE_";
/// So many characters are wrong, missing, too many or exchanged in a name that is meant to be another.
const MAX_MISSPELLING: usize = 2;

/// The variables that are set, as they were when it was made.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        // None of the names that count is anything but UTF-8.
        Self(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect(),
        )
    }

    /// The path in a variable, if there is one.
    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.0.get(name).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// A variable's value, if it is set.
    ///
    /// # Errors
    ///
    /// What is wrong with it: it is no UTF-8.
    pub(super) fn text(&self, name: &str) -> Option<Result<&str, &'static str>> {
        Some(self.0.get(name)?.to_str().ok_or(NO_TEXT))
    }

    /// The names of all variables that are not empty, but for those of other services.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.0.iter().filter(|(name, value)| !value.is_empty() && !is_service_link(name, value));
        own.map(|(name, _)| name.as_str())
    }

    /// The variables that mean nothing, but are named nearly like one of this service.
    pub(super) fn misspelled(&self) -> Vec<Mistake> {
        let variables = SETTINGS.iter().flat_map(Setting::all_variables);
        let known: Vec<_> = variables
            .filter(|name| name.starts_with(OWN_VARIABLES))
            .flat_map(|name| [format!("{name}{FILE_SUFFIX}"), name])
            .collect();
        let own = self.0.iter().filter(|(name, value)| {
            name.starts_with(OWN_VARIABLES) && !known.contains(name) && !is_service_link(name, value)
        });
        let misspelled = own.map(|(name, _)| name).filter_map(|name| {
            let distance = |meant: &String| strsim::osa_distance(name, meant);
            let meant = known.iter().min_by_key(|meant| distance(meant))?;
            (distance(meant) <= MAX_MISSPELLING).then(|| Mistake {
                place: name.clone(),
                value: None,
                wrong: "is no setting".into(),
                example: Some(meant.clone()),
            })
        });
        misspelled.collect()
    }

    /// Puts the variable that counts for each setting upon `layers`, each as a layer of its own, so that a value knows where it is from.
    /// Beside them are the settings whose variable cannot be read, and why.
    pub(super) fn add_to(&self, layers: Figment) -> (Figment, BTreeMap<&'static str, Mistake>) {
        let mut unreadable = BTreeMap::new();
        let layers = SETTINGS.iter().fold(layers, |layers, setting| match self.read(setting) {
            None => layers,
            Some(Ok((source, value))) => {
                layers.merge(Layer { setting, value: value.into(), source: Some(Source::Custom(source)) })
            }
            Some(Err(mistake)) => {
                unreadable.insert(setting.key, mistake);
                layers
            }
        });
        (layers, unreadable)
    }

    /// The value of the variable that counts for `setting`, with its source; none if no variable is set.
    fn read(&self, setting: &Setting) -> Option<Result<(String, String), Mistake>> {
        let in_files = |name: String| [(format!("{name}{FILE_SUFFIX}"), true), (name, false)];
        let variables = setting.all_variables().flat_map(in_files);
        let (name, in_file) = variables.filter(|(name, _)| self.0.contains_key(name)).last()?;
        let mistake = |value, wrong| Mistake { place: name.clone(), value, wrong, example: None };
        if in_file {
            let path = PathBuf::from(self.0.get(&name)?);
            Some(match content(&path) {
                Ok(value) => Ok((format!("{name} ({})", path.display()), value)),
                Err(wrong) => Err(mistake(Some(path.display().to_string()), wrong)),
            })
        } else {
            Some(match self.text(&name)? {
                Ok(value) => Ok((name, value.to_owned())),
                Err(wrong) => Err(mistake(None, wrong.to_owned())),
            })
        }
    }
}

/// Whether Kubernetes or Docker has set the variable for another service, whose name may begin as those of ours: beside one of the name
/// `sse-http` they set `SSE_HTTP_PORT=tcp://10.0.0.1:80` and `SSE_HTTP_SERVICE_HOST`.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_address =
        value.to_str().is_some_and(|text| text.starts_with("tcp://") || text.starts_with("udp://"));
    is_address || ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part))
}

/// The value in the file at `path`: all of it but the line breaks at its end.
fn content(path: &Path) -> Result<String, String> {
    if path.as_os_str().is_empty() {
        return Err("names no file".into());
    }
    let bytes = bounded_file::read(path, MAX_FILE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("is a file whose content {NO_TEXT}"))?;
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
