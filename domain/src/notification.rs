//! What happened, for whom, and by which id a client names it.

use std::{fmt, num::NonZeroU64, str::FromStr};

use crate::{content::Content, identity::UserId};

/// Which making of a bus's stream an event belongs to.
///
/// Sequences start anew when a stream is deleted and made again. The incarnation tells the two apart: on every instance
/// and after every restart it is the same number for the same stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// The one of this number. Zero, which would be a stream made in 1970, is taken for one: so an id that may be missing needs no
    /// more place than one that may not, and each stream has such.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        match NonZeroU64::new(number) {
            Some(number) => Self(number),
            None => Self(NonZeroU64::MIN),
        }
    }
}

/// The id of an event, as a client gets it in the `id` field and gives it back in `Last-Event-ID`.
///
/// It is printed as the incarnation in hexadecimal, a hyphen and the sequence: `19ab4cf02d1-5123`. By construction it has
/// no character that the WHATWG event stream format forbids in an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Which making of the stream.
    pub incarnation: Incarnation,
    /// The event's position in that stream, from 1.
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.incarnation.0, self.sequence)
    }
}

impl EventId {
    /// Whether this event comes after `other` in the same stream; ids of two makings of a stream have no order.
    #[must_use]
    pub fn follows(self, other: Self) -> bool {
        self.incarnation == other.incarnation && self.sequence > other.sequence
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    /// Reads what [`EventId`] prints, and nothing that merely resembles it: an id has one spelling.
    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (incarnation, sequence) = text.split_once('-').ok_or(InvalidEventId)?;
        let incarnation = u64::from_str_radix(incarnation, 16).map_err(|_| InvalidEventId)?;
        let sequence = sequence.parse().map_err(|_| InvalidEventId)?;
        let id = Self { incarnation: Incarnation::of(incarnation), sequence };
        if id.to_string() == text { Ok(id) } else { Err(InvalidEventId) }
    }
}

/// A text that is no event's id; not one of ours, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no id that an event of this service has")]
pub struct InvalidEventId;

/// What kind of event it is: the `event` field of the event stream.
///
/// It has no line break, which would end the field and let a publisher's text add fields of its own, and no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(Box<str>);

impl EventType {
    /// Checks that `text` fits into one line of an event stream (WHATWG HTML, 9.2.5).
    ///
    /// # Errors
    ///
    /// It contains CR, LF or NUL.
    pub fn try_new(text: &str) -> Result<Self, InvalidEventType> {
        if text.contains(['\r', '\n', '\0']) { Err(InvalidEventType) } else { Ok(Self(text.into())) }
    }

    /// The type as it is written on the stream.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that contains CR, LF or NUL cannot be an event's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event type contains a line break or NUL")]
pub struct InvalidEventType;

/// The type of the event that tells a user's clients that the user has logged out.
const BACKCHANNEL_LOGOUT: &str = "backchannel-logout";

/// The users whose streams get an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// These users. A user who is named twice gets it once.
    Users(Vec<UserId>),
    /// Every user, connected or not.
    Everyone,
}

impl FromIterator<UserId> for Recipients {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        Self::Users(users.into_iter().collect())
    }
}

/// Something that happened, and whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names it, on every instance.
    pub id: EventId,
    /// Whose streams get it.
    pub recipients: Recipients,
    /// Which kind of event it is.
    pub event_type: EventType,
    /// What the client reads.
    pub content: Content,
}

impl Notification {
    /// Whether it says that its recipients have logged out.
    #[must_use]
    pub fn is_logout(&self) -> bool {
        self.event_type.as_str() == BACKCHANNEL_LOGOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
