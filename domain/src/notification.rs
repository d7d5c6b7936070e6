//! Events and their ids.

use std::{fmt, num::NonZeroU64, str::FromStr};

use crate::{
    content::Content,
    identity::{SessionId, UserId},
};

/// The incarnation of the NATS stream that an event belongs to.
///
/// Sequences restart when a NATS stream is deleted and recreated; the incarnation distinguishes the two streams. It is the same number on
/// every instance and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// Creates the incarnation with this number. Zero, which would be a stream created in 1970, counts as one: without a zero, an optional
    /// id takes no more memory than an id, and each open stream has an optional id.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        match NonZeroU64::new(number) {
            Some(number) => Self(number),
            None => Self(NonZeroU64::MIN),
        }
    }
}

/// The id of an event. A client receives it in the `id` field and sends it back in `Last-Event-ID`.
///
/// Its text is the incarnation in hexadecimal, a hyphen and the sequence: `19ab4cf02d1-5123`. It has no character that the WHATWG event
/// stream format forbids in an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The incarnation of the NATS stream.
    pub incarnation: Incarnation,
    /// The sequence of the event in that stream, from 1.
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.incarnation.0, self.sequence)
    }
}

impl EventId {
    /// Returns whether this event comes after `other` in the same incarnation. Ids of different incarnations have no order.
    #[must_use]
    pub fn follows(self, other: Self) -> bool {
        self.incarnation == other.incarnation && self.sequence > other.sequence
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    /// Parses the text that [`EventId`] prints. Other spellings of the same numbers are errors.
    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (incarnation, sequence) = text.split_once('-').ok_or(InvalidEventId)?;
        let incarnation = u64::from_str_radix(incarnation, 16).map_err(|_| InvalidEventId)?;
        let sequence = sequence.parse().map_err(|_| InvalidEventId)?;
        let id = Self { incarnation: Incarnation::of(incarnation), sequence };
        if id.to_string() == text { Ok(id) } else { Err(InvalidEventId) }
    }
}

/// The error for a text that is not an event id of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event id of this service")]
pub struct InvalidEventId;

/// The type of an event: the `event` field of the event stream.
///
/// It has no line break, which would end the field and let a publisher inject other fields, and no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(Box<str>);

impl EventType {
    /// Creates an event type from `text`, which has to fit into one line of an event stream (WHATWG HTML, 9.2.5).
    ///
    /// # Errors
    ///
    /// Returns an error if the text contains CR, LF or NUL.
    pub fn try_new(text: &str) -> Result<Self, InvalidEventType> {
        if text.contains(['\r', '\n', '\0']) { Err(InvalidEventType) } else { Ok(Self(text.into())) }
    }

    /// Returns the type as it is written to the stream.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for a text that contains CR, LF or NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event type contains a line break or NUL")]
pub struct InvalidEventType;

/// The type of the event with which the platform logs out a user's clients.
const BACKCHANNEL_LOGOUT: &str = "backchannel-logout";

/// A logout at the identity provider, of one session or of all sessions of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logout<'a> {
    session_id: Option<&'a SessionId>,
}

impl Logout<'_> {
    /// Returns whether the logout ends a stream that was opened in this session. If either session is unknown, it does, because otherwise a
    /// stream could outlive its session.
    #[must_use]
    pub fn ends(self, session_id: Option<&SessionId>) -> bool {
        self.session_id.zip(session_id).is_none_or(|(ended, known)| ended == known)
    }
}

/// The users who receive an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// These users. A user who is named twice receives the event once.
    Users(Vec<UserId>),
    /// Every user, connected or not.
    Everyone,
}

impl FromIterator<UserId> for Recipients {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        Self::Users(users.into_iter().collect())
    }
}

/// An event, with its recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The id, which is the same on every instance.
    pub id: EventId,
    /// The users who receive it.
    pub recipients: Recipients,
    /// The type, by which clients distinguish events.
    pub event_type: EventType,
    /// The text and its translations.
    pub content: Content,
    /// The session at the identity provider that a logout has ended. None if it has ended all sessions of its recipients, and in other
    /// events. Boxed, because it is rare.
    pub session_id: Option<Box<SessionId>>,
}

impl Notification {
    /// Returns the logout that the event announces to its recipients. None for other events.
    #[must_use]
    pub fn logout(&self) -> Option<Logout<'_>> {
        let is_logout = self.event_type.as_str() == BACKCHANNEL_LOGOUT;
        is_logout.then_some(Logout { session_id: self.session_id.as_deref() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logout_ends_its_session_and_unknown_ones() {
        let check = |event_type: &str, ended: Option<&str>, known: Option<&str>, expected: Option<bool>| {
            let session = |text: Option<&str>| text.map(|text| SessionId::of(text).expect("a session id"));
            let notification = Notification {
                id: EventId { incarnation: Incarnation::of(1), sequence: 1 },
                recipients: Recipients::Everyone,
                event_type: EventType::try_new(event_type).expect("an event type"),
                content: "x".into(),
                session_id: session(ended).map(Box::new),
            };
            let ends = notification.logout().map(|logout| logout.ends(session(known).as_ref()));
            assert_eq!(ends, expected, "{event_type} of {ended:?} in {known:?}");
        };
        check("backchannel-logout", None, None, Some(true));
        check("backchannel-logout", None, Some("1"), Some(true));
        check("backchannel-logout", Some("1"), None, Some(true));
        check("backchannel-logout", Some("1"), Some("1"), Some(true));
        check("backchannel-logout", Some("1"), Some("2"), Some(false));
        check("item-renamed", Some("1"), Some("1"), None);
    }

    #[test]
    fn event_type_is_one_line() {
        let check = |text: &str, expected: bool| {
            assert_eq!(EventType::try_new(text).is_ok(), expected, "{text:?}");
        };
        check("userlog-notification", true);
        check("", true);
        check(": with colon", true);
        check("a\nid: 7", false);
        check("a\rdata: x", false);
        check("a\0", false);
    }

    #[test]
    fn event_id_is_short_and_printable() {
        let id = EventId { incarnation: Incarnation::of(0x0019_ab4c_f02d), sequence: 5123 };
        assert_eq!(id.to_string(), "19ab4cf02d-5123");
    }

    #[test]
    fn event_id_has_one_spelling() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            let expected = expected.map(|(incarnation, sequence)| EventId {
                incarnation: Incarnation::of(incarnation),
                sequence,
            });
            assert_eq!(text.parse().ok(), expected, "{text:?}");
        };
        check("19ab4cf02d-5123", Some((0x0019_ab4c_f02d, 5123)));
        check("1-0", Some((1, 0)));
        check("ffffffffffffffff-18446744073709551615", Some((u64::MAX, u64::MAX)));
        check("10000000000000000-1", None);
        check("1-18446744073709551616", None);
        for other in [
            "", "-", "7", "0-0", "1-", "-1", "+1-1", "1-+1", "01-1", "1-01", "A-1", "1-1-1", " 1-1", "1-1 ",
            "g-1", "é-1",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn only_ids_of_one_incarnation_are_ordered() {
        let id = |incarnation, sequence| EventId { incarnation: Incarnation::of(incarnation), sequence };
        assert!(id(1, 2).follows(id(1, 1)));
        assert!(!id(1, 1).follows(id(1, 1)));
        assert!(!id(2, 2).follows(id(1, 1)) && !id(1, 1).follows(id(2, 2)));
    }
}
