//! What the platform's services put on the bus: a go-micro envelope around an event in JSON, with base64 inside base64.

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

/// Reads a message of the bus; `None` is another service's. Its type is looked at first: what stands behind another's is not
/// looked at, not even whether it is whole.
///
/// # Errors
///
/// It is no envelope; or it is for us, and does not hold what an event for us must hold.
pub fn read(message: &[u8], id: EventId) -> Result<Option<Event>, Unreadable> {
    let Some(Envelope { kind, trace_parent, payload }) = Envelope::for_us(message)? else { return Ok(None) };
    match kind {
        Kind::SendSse => {
            let (notification, passed_over) = send_sse::read(&payload, id)?;
            Ok(Some(Event::Notification { notification, trace_parent, passed_over }))
        }
        Kind::UserFeatureChanged => user_feature_changed::read(&go_json::text(&payload)),
        Kind::UserDeleted => user_deleted::read(&go_json::text(&payload)).map(Some),
    }
}

/// An event for us.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Something to tell people.
    Notification {
        /// What that is.
        notification: Notification,
        /// The trace that its publisher has begun, empty for none.
        trace_parent: Box<str>,
        /// What could not be read of it.
        passed_over: PassedOver,
    },
    /// Something has changed for a user.
    UserChanged {
        /// Who that is.
        user: UserId,
        /// What has changed, as far as it matters here. One that cannot be read does not stand in the way of another.
        changes: Vec<Result<UserChange, Unreadable>>,
    },
}

/// How many values of a notification could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Translations, and the language of the message.
    pub translations: usize,
    /// Items of the list of users that are not the id of a user.
    pub users: usize,
}

/// What has changed for a user.
#[derive(Debug, PartialEq, Eq)]
pub enum UserChange {
    /// The account was disabled or deleted, or enabled again.
    Account {
        /// Whether it can be used from now on.
        is_enabled: bool,
    },
    /// The user has chosen a language; none takes the choice back.
    Language(Option<LanguageTag>),
}

/// Why a message cannot be read. What it contains stays out of it: it may be private.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Nothing is known of it, not even its type.
    #[error("it is no go-micro envelope")]
    Envelope(#[source] InvalidJson),
    /// What is in the envelope is not what its type says.
    #[error("the payload is no event of its type")]
    Payload(#[source] InvalidJson),
    /// What is in the envelope is not written as it has to be.
    #[error("the payload is no base64")]
    PayloadBase64(#[source] InvalidBase64),
    /// What people are to be told cannot be read, and comes in no other language.
    #[error("the message is no base64")]
    MessageBase64(#[source] InvalidBase64),
    /// Nobody can be meant.
    #[error("the user has no usable id")]
    User(#[source] InvalidUserId),
    /// It is no tag of a language (RFC 5646).
    #[error("the language that a user has chosen is none")]
    Language(#[source] InvalidLanguageTag),
    /// It is not even a text.
    #[error("the language that a user has chosen is no text")]
    NoText,
    /// The account may be enabled or not.
    #[error("whether the account is enabled is neither `true` nor `false`")]
    AccountEnabled,
    /// It has a line break, for example.
    #[error("the event type cannot be written on a stream")]
    EventType(#[source] InvalidEventType),
}

#[cfg(test)]
mod tests;
