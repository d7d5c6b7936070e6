//! Where streams stood when they ended, for clients that cannot say so themselves.
//!
//! The platform's web client cannot send `Last-Event-ID`, but each of its tabs sends the same `X-Request-ID` whenever it
//! connects. With the user it tells who returns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{capacity::reduced_capacity, identity::UserId, notification::EventId};

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
    /// From where its client goes on.
    pub point: ResumePoint,
}

/// From where a client goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last event that it is certain to have.
    pub position: EventId,
    /// A logout up to this event has already ended a stream of the client, and ends no other.
    pub logged_out: Option<EventId>,
}

impl ResumePoint {
    /// What both know: a client loses nothing that it has had.
    ///
    /// A stream of NATS that was made later has the later positions, because nothing can be given after a position in the earlier one.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        Self {
            position: self.position.max(other.position),
            logged_out: self.logged_out.max(other.logged_out),
        }
    }
}

/// The bookmarks of ended streams, each kept for a while.
#[derive(Debug)]
pub struct Bookmarks {
    window: Duration,
    limits: BookmarkLimits,
    users: HashMap<UserId, HashMap<RequestId, Left>>,
    /// Whose they are, in the order in which they were left.
    order: BTreeMap<u64, (UserId, RequestId)>,
    /// The number of the next one.
    next: u64,
}

/// How many bookmarks are kept. When one is too many, the oldest goes: the user's own, when that user has too many.
#[derive(Clone, Copy, Debug)]
pub struct BookmarkLimits {
    /// Of all users.
    pub total: usize,
    /// Of one user.
    pub per_user: usize,
}

#[derive(Debug)]
struct Left {
    point: ResumePoint,
    at: Instant,
    /// Its place in the order.
    number: u64,
}

impl Bookmarks {
    /// Keeps no more than `limits`, each for `window`; zero keeps none.
    #[must_use]
    pub fn new(window: Duration, limits: BookmarkLimits) -> Self {
        Self { window, limits, users: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// Remembers at `now` that a client has everything up to the bookmark's position.
    ///
    /// Of several bookmarks of one client the latest counts, in whatever order they are heard.
    pub fn insert(&mut self, bookmark: Bookmark, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        self.remove_expired(now);
        let Bookmark { user, request, point } = bookmark;
        let known = self.remove(&user, &request);
        let point = known.map_or(point, |known| known.latest(point));
        self.make_room(&user);
        let number = self.next;
        self.next += 1;
        self.order.insert(number, (user.clone(), request.clone()));
        self.users.entry(user).or_default().insert(request, Left { point, at: now, number });
    }

    /// From where the same client goes on, once.
    pub fn take(&mut self, user: &UserId, request: &RequestId, now: Instant) -> Option<ResumePoint> {
        self.remove_expired(now);
        self.remove(user, request)
    }

    /// All bookmarks that are kept at `now`, those that were left first before the others.
    pub fn all(&mut self, now: Instant) -> Vec<Bookmark> {
        self.remove_expired(now);
        let point = |user, request| self.users.get(user)?.get(request).map(|left| left.point);
        let bookmarks = self.order.values().filter_map(|(user, request)| {
            let point = point(user, request)?;
            Some(Bookmark { user: user.clone(), request: request.clone(), point })
        });
        bookmarks.collect()
    }

    /// Forgets those whose time is over at `now`.
    pub fn remove_expired(&mut self, now: Instant) {
        while let Some((_, (user, request))) = self.order.first_key_value()
            && let Some(left) = self.users.get(user).and_then(|lefts| lefts.get(request))
            && now.saturating_duration_since(left.at) >= self.window
        {
            self.forget_oldest();
        }
        if let Some(capacity) = reduced_capacity(self.users.capacity(), self.users.len()) {
            self.users.shrink_to(capacity);
        }
    }

    /// Makes room for one more bookmark of `user`.
    fn make_room(&mut self, user: &UserId) {
        let own = self.users.get(user).filter(|lefts| lefts.len() >= self.limits.per_user);
        let oldest = own.and_then(|lefts| lefts.iter().min_by_key(|(_, left)| left.number));
        if let Some(request) = oldest.map(|(request, _)| request.clone()) {
            self.remove(user, &request);
        }
        while self.order.len() >= self.limits.total.max(1) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, (user, request))) = self.order.pop_first() {
            self.remove(&user, &request);
        }
    }

    fn remove(&mut self, user: &UserId, request: &RequestId) -> Option<ResumePoint> {
        let lefts = self.users.get_mut(user)?;
        let left = lefts.remove(request)?;
        if lefts.is_empty() {
            self.users.remove(user);
        }
        self.order.remove(&left.number);
        Some(left.point)
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
        fn leave_at(&mut self, name: &str, tab: &str, position: EventId, now: Instant) {
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
        bookmarks.leave_at("a", "tab", id(5), now);
        assert_eq!(bookmarks.take_of("a", "other tab", now), None);
        assert_eq!(bookmarks.take_of("b", "tab", now), None, "another user's is nobody's business");
        assert_eq!(bookmarks.take_of("a", "tab", now), Some(id(5)));
        assert_eq!(bookmarks.take_of("a", "tab", now), None);
    }

    #[test]
    fn bookmark_is_kept_for_the_window() {
        let start = Instant::now();
        let check = |seconds: u64, expected: Option<EventId>| {
            let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
            bookmarks.leave_at("a", "tab", id(5), start);
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
        bookmarks.leave_at("a", "tab", id(5), start);
        bookmarks.leave_at("a", "tab", id(9), start + Duration::from_mins(1));
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
                bookmarks.leave_at("a", "tab", first, now);
                bookmarks.leave_at("a", "tab", second, now);
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
            bookmarks.leave_at("a", &n.to_string(), id(n), now + Duration::from_secs(n));
        }
        let later = now + Duration::from_secs(4);
        let taken = [1, 2, 3].map(|n: u64| bookmarks.take_of("a", &n.to_string(), later));
        assert_eq!(taken, [None, Some(id(2)), Some(id(3))]);
    }

    #[test]
    fn user_limit_removes_only_the_users_oldest_bookmarks() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 10, per_user: 3 });
        bookmarks.leave_at("b", "tab", id(1), now);
        for n in 1..=100 {
            bookmarks.leave_at("a", &n.to_string(), id(n), now);
        }
        assert_eq!(bookmarks.take_of("b", "tab", now), Some(id(1)));
        let kept: Vec<_> = bookmarks.all(now).into_iter().map(|bookmark| bookmark.point.position).collect();
        assert_eq!(kept, [id(98), id(99), id(100)]);
    }

    #[test]
    fn tab_that_reconnects_keeps_one_bookmark() {
        let now = Instant::now();
        let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 2, per_user: 10 });
        bookmarks.leave_at("b", "tab", id(1), now);
        for n in 1..=100 {
            bookmarks.leave_at("a", "tab", id(n), now);
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
        none.leave_at("a", "tab", id(5), now);
        assert!(none.users.is_empty() && none.order.is_empty());

        let mut many = Bookmarks::new(WINDOW, BookmarkLimits { total: 100_000, per_user: 10 });
        for n in 0..10_000 {
            many.leave_at(&n.to_string(), "tab", id(n), now);
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
