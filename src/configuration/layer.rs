//! A layer of the configuration with the value of one setting. Layers of single values record the source of each value.

use figment::{
    Error, Metadata, Profile, Provider, Source,
    value::{Dict, Map, Value},
};

use super::settings::Setting;

/// One value of one setting.
pub(super) struct Layer {
    pub(super) setting: &'static Setting,
    pub(super) value: Value,
    /// The source of the value. None for a default.
    pub(super) source: Option<Source>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        match &self.source {
            Some(source) => Metadata::from("setting", source.clone()),
            None => Metadata::named("default"),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(nested(self.setting.key, self.value.clone())))
    }
}

/// Nests `value` in the groups of `key`.
fn nested(key: &str, value: Value) -> Dict {
    match key.split_once('.') {
        Some((group, rest)) => Dict::from([(group.into(), nested(rest, value).into())]),
        None => Dict::from([(key.into(), value)]),
    }
}
