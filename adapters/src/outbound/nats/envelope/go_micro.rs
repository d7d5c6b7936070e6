//! The envelope of go-micro.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

use super::{
    InvalidJson, Text, Unreadable,
    bytes::Bytes,
    go_json::{self, Object, Unmarshal},
    lenient::Lenient,
    send_sse, user_deleted, user_feature_changed,
};

/// An envelope for this service.
pub(super) struct Envelope {
    pub(super) kind: Kind,
    pub(super) trace_parent: Box<str>,
    pub(super) payload: Vec<u8>,
}

/// The type of an event for this service.
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

impl Envelope {
    /// Reads an envelope. Returns none if it is for other services. Reading stops at the type of such an envelope, because its payload may
    /// be large.
    ///
    /// # Errors
    ///
    /// Returns [`Unreadable`] if the message is not an envelope, or is for this service and has no readable payload.
    pub(super) fn read(message: &[u8]) -> Result<Option<Self>, Unreadable> {
        let mut is_relevant = true;
        let mut json = serde_json::Deserializer::from_slice(message);
        let envelope = EnvelopeVisitor { is_relevant: &mut is_relevant }.deserialize(&mut json);
        if !is_relevant {
            return Ok(None);
        }
        match envelope.and_then(|envelope| json.end().map(|()| envelope)) {
            Ok(envelope) => Ok(Some(envelope)),
            Err(_) => Members::envelope(&go_json::text(message)),
        }
    }
}

/// Reads an envelope as go-micro writes it. Stops with an error, and clears `is_relevant`, at the type of an event for other services.
struct EnvelopeVisitor<'s> {
    is_relevant: &'s mut bool,
}

/// The fields that go-micro writes. Any other field is an error, because it may be one of these in another case.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Field {
    #[serde(rename = "ID")]
    Id,
    Topic,
    Timestamp,
    Metadata,
    Payload,
}

impl<'de> DeserializeSeed<'de> for EnvelopeVisitor<'_> {
    type Value = Envelope;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let (mut metadata, mut payload) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Metadata if metadata.is_some() => return Err(de::Error::duplicate_field("Metadata")),
                Field::Metadata => {
                    let Object(Metadata { event_type, trace_parent }) = map.next_value()?;
                    let Some(kind) = Kind::of(&event_type) else {
                        *self.is_relevant = false;
                        return Err(de::Error::custom("for other services"));
                    };
                    metadata = Some((kind, trace_parent));
                }
                Field::Payload => payload = Some(map.next_value()?),
                Field::Id | Field::Topic | Field::Timestamp => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (kind, trace_parent) = metadata.ok_or_else(|| de::Error::missing_field("Metadata"))?;
        match payload {
            Some(Bytes::Known(payload)) => Ok(Envelope { kind, trace_parent: trace_parent.into(), payload }),
            _ => Err(de::Error::missing_field("Payload")),
        }
    }
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, rename = "eventtype")]
    event_type: Cow<'a, str>,
    #[serde(borrow, rename = "traceparent", default)]
    trace_parent: Cow<'a, str>,
}

/// The members of an envelope of any type, read as Go reads them.
#[derive(Default)]
struct Members<'a> {
    metadata: BTreeMap<Text<'a>, Lenient<Text<'a>>>,
    payload: Lenient<Bytes>,
}

impl<'a> Unmarshal<'a> for Members<'a> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        let members: &mut [(_, &mut dyn Unmarshal<'a>)] =
            &mut [("Metadata", &mut self.metadata), ("Payload", &mut self.payload)];
        go_json::read_object(json, members)
    }
}

impl Members<'_> {
    /// Reads an envelope that is not written as go-micro writes it. Returns none if it is for other services.
    fn envelope(message: &str) -> Result<Option<Envelope>, Unreadable> {
        let envelope: Members = go_json::read(message).map_err(Unreadable::Envelope)?;
        let Some(event_type) = envelope.metadata("eventtype") else {
            return Err(Unreadable::Envelope(InvalidJson::Member("Metadata.eventtype")));
        };
        let Some(kind) = Kind::of(event_type) else { return Ok(None) };
        let trace_parent = envelope.metadata("traceparent").unwrap_or_default().into();
        let payload = match envelope.payload {
            Lenient::Known(Bytes::Known(payload)) => payload,
            Lenient::Known(Bytes::Invalid(error)) => return Err(Unreadable::PayloadBase64(error)),
            Lenient::Known(Bytes::Missing) | Lenient::Missing => {
                return Err(Unreadable::Payload(InvalidJson::Member("Payload")));
            }
            Lenient::Unreadable(error) => return Err(Unreadable::Payload(error)),
        };
        Ok(Some(Envelope { kind, trace_parent, payload }))
    }

    fn metadata(&self, name: &'static str) -> Option<&str> {
        Some(&self.metadata.get(&Text(name.into()))?.known()?.0)
    }
}
