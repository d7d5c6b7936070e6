//! The environment as a layer of the configuration.

use std::collections::BTreeMap;

use figment::{
    Error, Figment, Metadata, Profile, Provider, Source,
    value::{Dict, Map, Value},
};

use super::{SETTINGS, settings::Setting};

/// The variables that are set, as they were when it was made.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// That of this process. A variable that is no Unicode is left out.
    #[must_use]
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(unicode).collect())
    }

    /// A variable's value; an empty one counts as not set, as on the platform.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Puts every variable that is set upon `layers`, each as a layer of its own, so that a value knows where it is from.
    pub(super) fn add_to(&self, layers: Figment) -> Figment {
        SETTINGS
            .iter()
            .flat_map(|setting| setting.all_variables().map(move |name| (setting, name)))
            .filter_map(|(setting, name)| {
                let value = self.get(&name)?.to_owned();
                Some(Variable { setting, name, value })
            })
            .fold(layers, Figment::merge)
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}

/// One variable that is set.
struct Variable {
    setting: &'static Setting,
    name: String,
    value: String,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::from("environment", Source::Custom(self.name.clone()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(nested(self.setting.key, Value::from(self.value.clone()))))
    }
}

/// `value` below the groups that `key` names.
pub(super) fn nested(key: &str, value: Value) -> Dict {
    match key.split_once('.') {
        Some((group, rest)) => Dict::from([(group.into(), nested(rest, value).into())]),
        None => Dict::from([(key.into(), value)]),
    }
}
