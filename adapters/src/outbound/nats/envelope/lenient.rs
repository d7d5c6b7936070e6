//! Values whose errors do not affect other values.

use std::mem;

use serde::{Deserialize, Deserializer};

use super::{InvalidJson, go_json::Unmarshal};

/// A value that may be missing or unreadable. The object or list that contains it can still be read.
#[derive(Default)]
pub(super) enum Lenient<T> {
    #[default]
    Missing,
    Known(T),
    Unreadable(InvalidJson),
}

impl<T> Lenient<T> {
    /// Returns the value if it is readable.
    pub(super) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

/// With serde, an unreadable value is an error of the whole object.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Known)
    }
}

impl<'a, T: Unmarshal<'a> + Default> Unmarshal<'a> for Lenient<T> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        let mut value = match mem::take(self) {
            Self::Known(value) => value,
            Self::Missing | Self::Unreadable(_) => T::default(),
        };
        *self = match value.unmarshal(json) {
            Ok(()) => Self::Known(value),
            Err(error) => Self::Unreadable(error),
        };
        Ok(())
    }
}
