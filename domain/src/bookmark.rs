//! Bookmarks: the positions of ended streams, for clients that cannot name their last event.
//!
//! The platform's web client cannot send `Last-Event-ID`, but each of its tabs sends the same `X-Request-ID` whenever it connects. That id
//! and the user identify the client.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{capacity::reduced_capacity, identity::UserId, notification::EventId};

/// The id that a client sends with its requests: any text that is not empty.
///
/// Clients choose it freely, so it only selects among the streams of the same user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The maximum length of an id, in bytes. Clients send UUIDs of 36 bytes.
    pub const MAX_BYTES: usize = 200;

    /// Creates a request id from `text`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is empty or longer than [`RequestId::MAX_BYTES`].
    pub fn try_new(text: &str) -> Result<Self, InvalidRequestId> {
        if (1..=Self::MAX_BYTES).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRequestId)
        }
    }

    /// Returns the id as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for a text that is empty or longer than [`RequestId::MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id has between 1 and {max} bytes", max = RequestId::MAX_BYTES)]
pub struct InvalidRequestId;

/// The position of a client whose stream has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// The user of the stream.
    pub user: UserId,
    /// The id of the request that opened the stream.
    pub request: RequestId,
    /// Where the client's next stream continues.
    pub point: ResumePoint,
}

/// Where a client continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last event that the client has certainly received.
    pub position: EventId,
    /// The last logout that has already ended a stream of the client. It ends no other.
    pub logged_out: Option<EventId>,
}

impl ResumePoint {
    /// Combines two points of the same client into the later one.
    ///
    /// The positions of a later incarnation are later: after a position in an earlier one no event can be replayed.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        Self {
            position: self.position.max(other.position),
            logged_out: self.logged_out.max(other.logged_out),
        }
    }
}

/// The bookmarks of ended streams. Each is kept for a limited time.
#[derive(Debug)]
pub struct Bookmarks {
    window: Duration,
    limits: BookmarkLimits,
    users: HashMap<UserId, HashMap<RequestId, StoredBookmark>>,
    /// The keys of all bookmarks by their number, the oldest first.
    order: BTreeMap<u64, (UserId, RequestId)>,
    /// The number of the next bookmark.
    next_number: u64,
}

/// The limits of the number of bookmarks. Beyond a limit the oldest bookmark is removed: of the same user, or of all users.
#[derive(Clone, Copy, Debug)]
pub struct BookmarkLimits {
    /// The maximum for all users together.
    pub total: usize,
    /// The maximum for each user.
    pub per_user: usize,
}

/// A bookmark without its keys.
#[derive(Debug)]
struct StoredBookmark {
    point: ResumePoint,
    stored_at: Instant,
    /// The key in `order`.
    number: u64,
}

impl Bookmarks {
    /// Creates an empty collection that keeps each bookmark for `window`. With a window of zero it keeps none.
    #[must_use]
    pub fn new(window: Duration, limits: BookmarkLimits) -> Self {
        Self { window, limits, users: HashMap::new(), order: BTreeMap::new(), next_number: 0 }
    }

    /// Sets the limits that hold from now on. Bookmarks of a user beyond the new limit are removed when the user's next one is inserted.
    pub fn set_limits(&mut self, limits: BookmarkLimits) {
        self.limits = limits;
    }

    /// Inserts a bookmark at `now`. If the client has one already, the later position counts, in whatever order instances publish them.
    pub fn insert(&mut self, bookmark: Bookmark, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        self.remove_expired(now);
        let Bookmark { user, request, point } = bookmark;
        let known = self.remove(&user, &request);
        let point = known.map_or(point, |known| known.latest(point));
        self.make_room(&user);
        let number = self.next_number;
        self.next_number += 1;
        self.order.insert(number, (user.clone(), request.clone()));
        self.users.entry(user).or_default().insert(request, StoredBookmark { point, stored_at: now, number });
    }

    /// Removes the bookmark of a client and returns where the client continues.
    pub fn take(&mut self, user: &UserId, request: &RequestId, now: Instant) -> Option<ResumePoint> {
        self.remove_expired(now);
        self.remove(user, request)
    }

    /// Returns all bookmarks that are kept at `now`, the oldest first.
    pub fn all(&mut self, now: Instant) -> Vec<Bookmark> {
        self.remove_expired(now);
        let point = |user, request| self.users.get(user)?.get(request).map(|stored| stored.point);
        let bookmarks = self.order.values().filter_map(|(user, request)| {
            let point = point(user, request)?;
            Some(Bookmark { user: user.clone(), request: request.clone(), point })
        });
        bookmarks.collect()
    }

    /// Removes the bookmarks whose time is over at `now`.
    pub fn remove_expired(&mut self, now: Instant) {
        while let Some((_, (user, request))) = self.order.first_key_value()
            && let Some(oldest) = self.users.get(user).and_then(|stored| stored.get(request))
            && now.saturating_duration_since(oldest.stored_at) >= self.window
        {
            self.remove_oldest();
        }
        if let Some(capacity) = reduced_capacity(self.users.capacity(), self.users.len()) {
            self.users.shrink_to(capacity);
        }
    }

    /// Makes room for one more bookmark of `user` within the limits.
    fn make_room(&mut self, user: &UserId) {
        while let Some(own) = self.users.get(user)
            && own.len() >= self.limits.per_user
            && let Some((request, _)) = own.iter().min_by_key(|(_, stored)| stored.number)
        {
            let request = request.clone();
            self.remove(user, &request);
        }
        while self.order.len() >= self.limits.total.max(1) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, (user, request))) = self.order.pop_first() {
            self.remove(&user, &request);
        }
    }

    fn remove(&mut self, user: &UserId, request: &RequestId) -> Option<ResumePoint> {
        let own = self.users.get_mut(user)?;
        let removed = own.remove(request)?;
        if own.is_empty() {
            self.users.remove(user);
        }
        self.order.remove(&removed.number);
        Some(removed.point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Incarnation;

    const WINDOW: Duration = Duration::from_mins(2);
    const LIMITS: BookmarkLimits = BookmarkLimits { total: 10, per_user: 10 };

    fn id(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation::of(1), sequence }
    }

    fn user(name: &str) -> UserId {
        UserId::try_new(name).expect("a user id")
    }

    fn request(text: &str) -> RequestId {
        RequestId::try_new(text).expect("a request id")
    }

    impl Bookmarks {
        fn insert_at(&mut self, name: &str, tab: &str, position: EventId, now: Instant) {
            let point = ResumePoint { position, logged_out: None };
            self.insert(Bookmark { user: user(name), request: request(tab), point }, now);
        }

        fn take_of(&mut self, name: &str, tab: &str, now: Instant) -> Option<EventId> {
            self.take(&user(name), &request(tab), now).map(|point| point.position)
        }
    }

    #[test]
    fn bookmark_is_taken_once_by_the_same_client() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
        bookmarks.insert_at("a", "tab", id(5), now);
        assert_eq!(bookmarks.take_of("a", "other tab", now), None);
        assert_eq!(bookmarks.take_of("b", "tab", now), None, "the bookmark of another user");
        assert_eq!(bookmarks.take_of("a", "tab", now), Some(id(5)));
        assert_eq!(bookmarks.take_of("a", "tab", now), None);
    }

    #[test]
    fn bookmark_is_kept_for_the_window() {
        let start = Instant::now();
        let check = |seconds: u64, expected: Option<EventId>| {
            let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
            bookmarks.insert_at("a", "tab", id(5), start);
            let now = start + Duration::from_secs(seconds);
            assert_eq!(bookmarks.all(now).len(), usize::from(expected.is_some()), "{seconds} s");
            assert_eq!(bookmarks.take_of("a", "tab", now), expected, "{seconds} s");
        };
        check(119, Some(id(5)));
        check(120, None);
    }

    #[test]
    fn newer_bookmark_restarts_the_window() {
        let start = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
        bookmarks.insert_at("a", "tab", id(5), start);
        bookmarks.insert_at("a", "tab", id(9), start + Duration::from_mins(1));
        let now = start + Duration::from_secs(150);
        assert_eq!(bookmarks.take_of("a", "tab", now), Some(id(9)));
    }

    #[test]
    fn latest_position_wins_in_any_order() {
        let in_second = |sequence| EventId { incarnation: Incarnation::of(2), sequence };
        let positions = [id(5), id(9), in_second(1), in_second(3)];
        let now = Instant::now();
        for first in positions {
            for second in positions {
                let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
                bookmarks.insert_at("a", "tab", first, now);
                bookmarks.insert_at("a", "tab", second, now);
                assert_eq!(bookmarks.all(now).len(), 1);
                assert_eq!(bookmarks.take_of("a", "tab", now), Some(first.max(second)));
            }
        }
    }

    #[test]
    fn total_limit_removes_the_oldest_bookmarks() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 2, per_user: 10 });
        for n in 1..=3 {
            bookmarks.insert_at("a", &n.to_string(), id(n), now + Duration::from_secs(n));
        }
        let later = now + Duration::from_secs(4);
        let taken = [1, 2, 3].map(|n: u64| bookmarks.take_of("a", &n.to_string(), later));
        assert_eq!(taken, [None, Some(id(2)), Some(id(3))]);
    }

    #[test]
    fn user_limit_removes_only_the_users_oldest_bookmarks() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 10, per_user: 3 });
        bookmarks.insert_at("b", "tab", id(1), now);
        for n in 1..=100 {
            bookmarks.insert_at("a", &n.to_string(), id(n), now);
        }
        assert_eq!(bookmarks.take_of("b", "tab", now), Some(id(1)));
        let kept: Vec<_> = bookmarks.all(now).into_iter().map(|bookmark| bookmark.point.position).collect();
        assert_eq!(kept, [id(98), id(99), id(100)]);
    }

    #[test]
    fn lower_limits_apply_to_the_next_insert() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
        for sequence in 1..=4 {
            bookmarks.insert_at("a", &sequence.to_string(), id(sequence), now);
        }
        bookmarks.set_limits(BookmarkLimits { per_user: 2, ..LIMITS });
        bookmarks.insert_at("b", "1", id(1), now);
        bookmarks.insert_at("a", "5", id(5), now);
        let kept = ["1", "2", "3", "4", "5"].map(|tab| bookmarks.take_of("a", tab, now).is_some());
        assert_eq!(kept, [false, false, false, true, true]);
        assert!(bookmarks.take_of("b", "1", now).is_some());
    }

    #[test]
    fn tab_that_reconnects_keeps_one_bookmark() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 2, per_user: 10 });
        bookmarks.insert_at("b", "tab", id(1), now);
        for n in 1..=100 {
            bookmarks.insert_at("a", "tab", id(n), now);
            if n % 2 == 0 {
                bookmarks.take_of("a", "tab", now);
            }
            assert!(bookmarks.order.len() <= 2);
        }
        assert_eq!(bookmarks.take_of("b", "tab", now), Some(id(1)));
    }

    #[test]
    fn expired_bookmarks_free_their_memory() {
        let now = Instant::now();
        let mut none = Bookmarks::new(Duration::ZERO, LIMITS);
        none.insert_at("a", "tab", id(5), now);
        assert!(none.users.is_empty() && none.order.is_empty());

        let mut many = Bookmarks::new(WINDOW, BookmarkLimits { total: 100_000, per_user: 10 });
        for n in 0..10_000 {
            many.insert_at(&n.to_string(), "tab", id(n), now);
        }
        many.remove_expired(now + WINDOW);
        assert!(many.users.is_empty() && many.users.capacity() <= 64 && many.order.is_empty());
    }

    #[test]
    fn request_id_has_a_length_limit() {
        assert!(RequestId::try_new("").is_err());
        assert!(RequestId::try_new(&"x".repeat(200)).is_ok());
        assert!(RequestId::try_new(&"x".repeat(201)).is_err());
    }
}
