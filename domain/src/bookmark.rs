//! Where streams stood when they ended, for clients that cannot say so themselves.
//!
//! The platform's web client cannot send `Last-Event-ID`, but each of its tabs sends the same `X-Request-ID` whenever it
//! connects. With the user it tells who returns.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{identity::UserId, notification::EventId};

/// The id that a client has given its requests: any text that is not empty.
///
/// A client chooses it freely. So it only ever selects among its own user's streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The longest id that is taken, in bytes. Clients send UUIDs of 36.
    pub const MAX_BYTES: usize = 200;

    /// Checks that `text` can be the id of a request.
    ///
    /// # Errors
    ///
    /// It is empty or longer than [`RequestId::MAX_BYTES`].
    pub fn try_new(text: &str) -> Result<Self, InvalidRequestId> {
        if (1..=Self::MAX_BYTES).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRequestId)
        }
    }

    /// The id as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is empty or longer than [`RequestId::MAX_BYTES`] is no request's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id has between 1 and {max} bytes", max = RequestId::MAX_BYTES)]
pub struct InvalidRequestId;

/// Where a stream stood when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Whose stream it was.
    pub user: UserId,
    /// The id of the request that had opened it.
    pub request: RequestId,
    /// The last event that its client is certain to have.
    pub position: EventId,
}

/// What ended streams have left behind, for a while.
#[derive(Debug)]
pub struct Bookmarks {
    window: Duration,
    most: usize,
    positions: HashMap<(UserId, RequestId), Left>,
    /// In the order in which they were left; one that was left again or taken up since no longer counts.
    left: VecDeque<(Instant, UserId, RequestId)>,
}

#[derive(Debug)]
struct Left {
    position: EventId,
    at: Instant,
}

impl Bookmarks {
    /// Keeps at most `most` of them, each for `window`; zero keeps none.
    #[must_use]
    pub fn new(window: Duration, most: usize) -> Self {
        Self { window, most, positions: HashMap::new(), left: VecDeque::new() }
    }

    /// Remembers at `now` that a stream had everything up to `position`.
    pub fn leave(&mut self, user: &UserId, request: &RequestId, position: EventId, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        let key = (user.clone(), request.clone());
        self.left.push_back((now, user.clone(), request.clone()));
        self.positions.insert(key, Left { position, at: now });
        self.forget(now);
    }

    /// The position of the stream that the same client had before, once.
    pub fn take(&mut self, user: &UserId, request: &RequestId, now: Instant) -> Option<EventId> {
        self.forget(now);
        self.positions.remove(&(user.clone(), request.clone())).map(|bookmark| bookmark.position)
    }

    /// Forgets those whose time is over at `now`.
    pub fn forget(&mut self, now: Instant) {
        while let Some((left, ..)) = self.left.front()
            && (self.left.len() > self.most || now.saturating_duration_since(*left) >= self.window)
        {
            let Some((left, user, request)) = self.left.pop_front() else { return };
            let key = (user, request);
            if self.positions.get(&key).is_some_and(|bookmark| bookmark.at == left) {
                self.positions.remove(&key);
            }
        }
        if self.left.capacity() > 4 * (self.left.len() + 16) {
            self.left.shrink_to(2 * self.left.len());
            self.positions.shrink_to(2 * self.positions.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Incarnation;

    const WINDOW: Duration = Duration::from_mins(2);

    fn id(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation::of(1), sequence }
    }

    fn user(name: &str) -> UserId {
        UserId::try_new(name).expect("a user id")
    }

    fn request(text: &str) -> RequestId {
        RequestId::try_new(text).expect("a request id")
    }

    #[test]
    fn the_same_user_with_the_same_request_id_finds_it_once() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, 10);
        bookmarks.leave(&user("a"), &request("tab"), id(5), now);
        assert_eq!(bookmarks.take(&user("a"), &request("other tab"), now), None);
        assert_eq!(
            bookmarks.take(&user("b"), &request("tab"), now),
            None,
            "another user's is nobody's business"
        );
        assert_eq!(bookmarks.take(&user("a"), &request("tab"), now), Some(id(5)));
        assert_eq!(bookmarks.take(&user("a"), &request("tab"), now), None);
    }

    #[test]
    fn it_stays_for_the_window() {
        let start = Instant::now();
        let check = |seconds: u64, expected: Option<EventId>| {
            let mut bookmarks = Bookmarks::new(WINDOW, 10);
            bookmarks.leave(&user("a"), &request("tab"), id(5), start);
            let now = start + Duration::from_secs(seconds);
            assert_eq!(bookmarks.take(&user("a"), &request("tab"), now), expected, "{seconds} s");
        };
        check(119, Some(id(5)));
        check(120, None);
    }

    #[test]
    fn leaving_again_counts_from_then() {
        let start = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, 10);
        bookmarks.leave(&user("a"), &request("tab"), id(5), start);
        bookmarks.leave(&user("a"), &request("tab"), id(9), start + Duration::from_mins(1));
        let now = start + Duration::from_secs(150);
        assert_eq!(bookmarks.take(&user("a"), &request("tab"), now), Some(id(9)));
    }

    #[test]
    fn their_number_is_bounded_and_the_oldest_go_first() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, 2);
        for n in 1..=3 {
            bookmarks.leave(&user("a"), &request(&n.to_string()), id(n), now + Duration::from_secs(n));
        }
        let later = now + Duration::from_secs(4);
        let taken = [1, 2, 3].map(|n: u64| bookmarks.take(&user("a"), &request(&n.to_string()), later));
        assert_eq!(taken, [None, Some(id(2)), Some(id(3))]);
    }

    #[test]
    fn without_a_window_there_are_none_and_what_they_took_is_given_back() {
        let now = Instant::now();
        let mut none = Bookmarks::new(Duration::ZERO, 10);
        none.leave(&user("a"), &request("tab"), id(5), now);
        assert!(none.positions.is_empty() && none.left.is_empty());

        let mut many = Bookmarks::new(WINDOW, 100_000);
        for n in 0..10_000 {
            many.leave(&user(&n.to_string()), &request("tab"), id(n), now);
        }
        many.forget(now + WINDOW);
        assert!(many.positions.is_empty() && many.positions.capacity() <= 64 && many.left.capacity() <= 64);
    }

    #[test]
    fn a_request_id_has_bounds() {
        assert!(RequestId::try_new("").is_err());
        assert!(RequestId::try_new(&"x".repeat(200)).is_ok());
        assert!(RequestId::try_new(&"x".repeat(201)).is_err());
    }
}
