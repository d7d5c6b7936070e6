//! The messages of the platform's services: an event in JSON, as base64 in the JSON envelope of go-micro.

mod bytes;
mod go_json;
mod go_micro;
mod lenient;
mod send_sse;
mod user_deleted;
mod user_feature_changed;

use domain::{
    identity::{InvalidUserId, UserId},
    language::{InvalidLanguageTag, LanguageTag},
    notification::{EventId, InvalidEventType, Notification},
};

use self::{
    go_json::Text,
    go_micro::{Envelope, Kind},
};
use super::invalid::{InvalidBase64, InvalidJson};

/// Decodes a message. Returns none if it is for other services. Reading stops at the type of such a message, so the rest of it may be
/// invalid.
///
/// # Errors
///
/// Returns [`Unreadable`] if the message is not an envelope, or is for this service and cannot be decoded.
pub fn read(message: &[u8], id: EventId) -> Result<Option<Event>, Unreadable> {
    let Some(Envelope { kind, trace_parent, payload }) = Envelope::read(message)? else { return Ok(None) };
    match kind {
        Kind::SendSse => {
            let (notification, skipped) = send_sse::read(&payload, id)?;
            Ok(Some(Event::Notification { notification, trace_parent, skipped }))
        }
        Kind::UserFeatureChanged => user_feature_changed::read(&go_json::text(&payload)),
        Kind::UserDeleted => user_deleted::read(&go_json::text(&payload)).map(Some),
    }
}

/// An event for this service.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// An event for users.
    Notification {
        /// The event, with its recipients.
        notification: Notification,
        /// The trace of the publisher (W3C Trace Context, `traceparent`). Empty if there is none.
        trace_parent: Box<str>,
        /// The parts of the event that were unreadable.
        skipped: Skipped,
    },
    /// The account or the language of a user has changed.
    UserChanged {
        /// The user whose account or language has changed.
        user: UserId,
        /// The changes that concern this service. An unreadable change does not affect the others.
        changes: Vec<Result<UserChange, Unreadable>>,
    },
}

/// The numbers of values of a notification that were unreadable and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Translations, the message itself and its language.
    pub translations: usize,
    /// Recipients that are not the id of a user.
    pub users: usize,
}

/// A change for a user.
#[derive(Debug, PartialEq, Eq)]
pub enum UserChange {
    /// The account was disabled or deleted, or enabled again.
    Account {
        /// Whether the account is enabled now.
        is_enabled: bool,
    },
    /// The user has chosen a language, or has withdrawn the choice.
    Language(Option<LanguageTag>),
}

/// The error of a message that cannot be decoded. It quotes nothing of the message, which may be private.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The message is not an envelope with a type.
    #[error("not a go-micro envelope")]
    Envelope(#[source] InvalidJson),
    /// The payload is missing, or is not JSON of the structure that the type requires.
    #[error("the payload does not match the event type")]
    Payload(#[source] InvalidJson),
    /// The payload is not base64.
    #[error("the payload is not base64")]
    PayloadBase64(#[source] InvalidBase64),
    /// The text for users is not base64, and there is no translation.
    #[error("the message is not base64")]
    MessageBase64(#[source] InvalidBase64),
    /// The id of the user is missing or invalid.
    #[error("invalid user id")]
    User(#[source] InvalidUserId),
    /// The chosen language is not a language tag (RFC 5646).
    #[error("the chosen language is not a language tag")]
    Language(#[source] InvalidLanguageTag),
    /// The chosen language is not a string.
    #[error("the chosen language is not a string")]
    LanguageType,
    /// The state of the account is unknown.
    #[error("`accountEnabled` is neither `true` nor `false`")]
    AccountEnabled,
    /// The event type cannot be written to a stream. It contains a line break, for example.
    #[error("invalid event type")]
    EventType(#[source] InvalidEventType),
}

#[cfg(test)]
mod tests;
