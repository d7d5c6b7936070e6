//! The envelope of go-micro, read as far as it is for us.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Text, Unreadable, send_sse, user_deleted, user_feature_changed};

/// An envelope for us.
pub(super) struct Envelope<'a> {
    pub(super) kind: Kind,
    pub(super) trace_parent: Cow<'a, str>,
    payload: &'a RawValue,
}

/// What is in an envelope for us.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    SendSse,
    UserFeatureChanged,
    UserDeleted,
}

impl Kind {
    fn of(event_type: &str) -> Option<Self> {
        match event_type {
            send_sse::TYPE => Some(Self::SendSse),
            user_feature_changed::TYPE => Some(Self::UserFeatureChanged),
            user_deleted::TYPE | user_deleted::SOFT_TYPE => Some(Self::UserDeleted),
            _ => None,
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads an envelope; none when its type is not for us. Then what stands behind its type, which may be large, is not looked at.
    pub(super) fn for_us(message: &'a [u8]) -> Result<Option<Self>, serde_json::Error> {
        let mut is_for_us = true;
        let mut json = serde_json::Deserializer::from_slice(message);
        let read = ForUs { is_for_us: &mut is_for_us }.deserialize(&mut json);
        if !is_for_us {
            return Ok(None);
        }
        let envelope = read?;
        json.end()?;
        Ok(Some(envelope))
    }

    /// What is in it.
    ///
    /// # Errors
    ///
    /// It is no text, or no base64.
    pub(super) fn payload(&self) -> Result<Vec<u8>, Unreadable> {
        let text = self.payload.get();
        // Base64 needs no escapes in JSON, so mostly there are none.
        let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        if let Some(payload) = plain.and_then(|text| STANDARD.decode(text).ok()) {
            return Ok(payload);
        }
        let payload: Text = serde_json::from_str(text).map_err(|error| Unreadable::Payload(error.into()))?;
        STANDARD.decode(payload.0.as_bytes()).map_err(|error| Unreadable::PayloadBase64(error.into()))
    }
}

/// Reads an envelope up to where it is known not to be for us.
struct ForUs<'s> {
    is_for_us: &'s mut bool,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Field {
    Metadata,
    Payload,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for ForUs<'_> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ForUs<'_> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let (mut metadata, mut payload) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Metadata => {
                    let Metadata { event_type, trace_parent } = map.next_value()?;
                    let Some(kind) = Kind::of(&event_type) else {
                        *self.is_for_us = false;
                        return Err(de::Error::custom("another service's"));
                    };
                    metadata = Some((kind, trace_parent));
                }
                Field::Payload => payload = Some(map.next_value()?),
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (kind, trace_parent) = metadata.ok_or_else(|| de::Error::missing_field("Metadata"))?;
        let payload = payload.ok_or_else(|| de::Error::missing_field("Payload"))?;
        Ok(Envelope { kind, trace_parent, payload })
    }
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, rename = "eventtype")]
    event_type: Cow<'a, str>,
    #[serde(borrow, rename = "traceparent", default)]
    trace_parent: Cow<'a, str>,
}
