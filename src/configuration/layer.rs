//! A value of one setting as a layer of the configuration, so that it knows where it is from.

use figment::{
    Error, Metadata, Profile, Provider, Source,
    value::{Dict, Map, Value},
};

use super::settings::Setting;

/// One value of one setting.
pub(super) struct Layer {
    pub(super) setting: &'static Setting,
    pub(super) value: Value,
    /// Where it is from; none for a default.
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

/// `value` below the groups that `key` names.
fn nested(key: &str, value: Value) -> Dict {
    match key.split_once('.') {
        Some((group, rest)) => Dict::from([(group.into(), nested(rest, value).into())]),
        None => Dict::from([(key.into(), value)]),
    }
}
