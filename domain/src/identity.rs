//! The identity of a user.

use std::{fmt, time::Duration};

/// The user of a token, and the times between which the token is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user whom the token names.
    pub user: UserId,
    /// When the token was issued.
    pub issued_at: IssuedAt,
    /// When the token expires, leeway included, as the time since 1970 (RFC 7519, 2, `NumericDate`).
    pub expires_at: Duration,
    /// The session at the identity provider in which the user has signed in. None if it is unknown, as it always is by a token of the
    /// platform. Boxed, because each open stream has the field.
    pub session_id: Option<Box<SessionId>>,
}

/// The second in which a token was issued (RFC 7519, 4.1.6, `iat`).
///
/// It takes four bytes only, because each open stream has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IssuedAt(u32);

impl IssuedAt {
    /// The time of a token without `iat`. Such a token counts as older than any other.
    pub const UNKNOWN: Self = Self(0);

    /// Creates the time of issue from the time since 1970, rounded down to the second. A time after 2106 counts as 2106.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Self(u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
    }

    /// Returns the time since 1970.
    #[must_use]
    pub fn unix_time(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

/// The id of a user in tokens and events: reva's opaque id, any text that is not empty.
///
/// Each clone allocates: most ids are never cloned, and without a reference count each takes 16 bytes less.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// The maximum length of an id, in bytes. The platform's ids are UUIDs of 36 bytes.
    pub const MAX_BYTES: usize = 512;

    /// Creates a user id from `text`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is empty or longer than [`UserId::MAX_BYTES`].
    pub fn try_new(text: &str) -> Result<Self, InvalidUserId> {
        match text.len() {
            0 => Err(InvalidUserId::Empty),
            1..=Self::MAX_BYTES => Ok(Self(text.into())),
            bytes => Err(InvalidUserId::TooLong { bytes }),
        }
    }

    /// Returns the id as it is written in tokens and events.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not a user id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserId {
    /// The text is empty.
    #[error("a user id is empty")]
    Empty,
    /// The text is longer than [`UserId::MAX_BYTES`].
    #[error("a user id has {bytes} bytes, more than {max}", max = UserId::MAX_BYTES)]
    TooLong {
        /// The length of the text, in bytes.
        bytes: usize,
    },
}

/// The id of a session at the identity provider (the claim `sid` of its tokens).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// The maximum length of an id, in bytes. Most identity providers have UUIDs of 36 bytes.
    pub const MAX_BYTES: usize = 256;

    /// Creates a session id from `text`. Returns none if the text is empty or longer than [`SessionId::MAX_BYTES`], because then the session
    /// is unknown.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&text.len()).then(|| Self(text.into()))
    }

    /// Returns the id as the identity provider writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_issue_is_rounded_down() {
        let check = |time: Duration, seconds: u64| {
            assert_eq!(IssuedAt::new(time).unix_time(), Duration::from_secs(seconds));
        };
        check(Duration::ZERO, 0);
        check(Duration::from_millis(1_795_450_249_999), 1_795_450_249);
        check(Duration::MAX, u32::MAX.into());
        assert_eq!(IssuedAt::new(Duration::ZERO), IssuedAt::UNKNOWN);
    }

    #[test]
    fn user_id_is_any_text_up_to_the_limit() {
        let check = |text: &str, expected: Result<(), InvalidUserId>| {
            let made = UserId::try_new(text);
            assert_eq!(made.clone().map(drop), expected);
            if let Ok(user) = made {
                assert_eq!(user.as_str(), text);
                assert_eq!((user.to_string(), format!("{user:?}")), (text.to_owned(), format!("{text:?}")));
            }
        };
        check("4c510ada-c86b-4815-8820-42cdf82c3d51", Ok(()));
        check("müller@example.org, second floor\n", Ok(()));
        check(&"u".repeat(UserId::MAX_BYTES), Ok(()));
        check("", Err(InvalidUserId::Empty));
        check(&"u".repeat(513), Err(InvalidUserId::TooLong { bytes: 513 }));
    }

    #[test]
    fn session_id_is_any_text_up_to_the_limit() {
        let check = |text: &str, is_known: bool| {
            assert_eq!(SessionId::of(text).map(|id| id.as_str().to_owned()), is_known.then(|| text.into()));
        };
        check("0b4a4c92-7e0a-4f5b-9a55-6a1f6f0d5a2e", true);
        check("any text\n", true);
        check(&"s".repeat(SessionId::MAX_BYTES), true);
        check("", false);
        check(&"s".repeat(257), false);
    }
}
