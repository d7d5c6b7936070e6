//! What cannot be read without harm to what stands beside it.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Something that may be missing, or unreadable, without harm to what stands beside it.
#[derive(Default)]
pub(super) enum Lenient<T> {
    #[default]
    Missing,
    Known(T),
    Unreadable,
}

impl<T> Lenient<T> {
    /// What it is, when that is known.
    pub(super) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing | Self::Unreadable => None,
        }
    }

    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'a>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        Ok(match serde_json::from_str(raw.get()) {
            Ok(None) => Self::Missing,
            Ok(Some(value)) => Self::Known(value),
            Err(_) => Self::Unreadable,
        })
    }
}
