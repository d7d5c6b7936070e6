//! Bookmarks: the positions of ended streams, for clients that cannot name their last event.
//!
//! The platform's web client cannot send `Last-Event-ID`, but each of its tabs sends the same `X-Request-ID` whenever it connects. That id
//! and the user identify the client.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::{capacity::reduced_capacity, identity::UserId, notification::EventId};

/// The id that a client sends with its requests: any text that is not empty.
///
/// Clients choose it freely, so it only selects among the streams of the same user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Box<str>);

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
mod tests;
