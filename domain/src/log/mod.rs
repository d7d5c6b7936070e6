//! The log of recent events, and the streams that read it.
//!
//! An event is appended once, and each user it names finds it in a [`Mailbox`]. A stream is a position in the mailbox of its user: it takes
//! what comes after its position when its connection can be written to, and nobody waits for it. A client that returns, one that is new
//! and one that is slow differ in their positions alone. A stream whose position the log no longer reaches is told of a gap, and goes on
//! with what is held.
//!
//! What the log holds is bounded by age and bytes, and no user's events may take more than half of the bytes, but for
//! a single larger one. So the events that other users can
//! miss are held for as long as all of them together take less than the other half, whatever one user is sent.

mod append;
mod bounds;
mod entry;
mod index;
mod mailbox;
mod stream;
mod streams;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::{
    append::{Appended, Appending},
    entry::{Entry, NewEvent},
    mailbox::{Lag, Mailbox},
    stream::{Delivery, EndReason, Item, LATE_AFTER, Note, Resumable, Stream, StreamId, Turn, TurnOutcome},
};
use self::{
    bounds::{Held, Removing},
    index::Floor,
    mailbox::ByUser,
};
use crate::{
    bookmark::{Bookmark, RequestId},
    gap::GapReason,
    identity::{IssuedAt, UserId},
    language::LanguagePreference,
    notification::EventId,
    session::Session,
};

/// How far back the log reaches.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// An older event is removed. Zero keeps none but those that open streams have still to take.
    pub max_age: Duration,
    /// The oldest events are removed when all together take more memory than this, in bytes.
    pub max_bytes: usize,
}

/// How many streams may be open.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Of all users together.
    pub total: usize,
    /// Of one user.
    pub per_user: usize,
}

/// The limit that stands in the way of one more stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The number of all streams.
    Total,
    /// The number of the user's streams.
    PerUser,
}

/// What a mailbox takes, about: itself, its user's name, and room for a few events.
const MAILBOX_BYTES: usize = 300;
/// The part of the log's bytes that one user may take.
const SHARE_OF_USER: usize = 2;

/// The log of recent events, and the streams that read it. `F` are the encoded frames of an event, `C` is the connection of a stream.
///
/// It holds nothing of a user who has no stream open, and had no event lately.
#[derive(Debug)]
pub struct EventLog<F, C> {
    limits: LogLimits,
    stream_limits: StreamLimits,
    mailboxes: HashSet<ByUser<F, C>>,
    entries: BTreeMap<u64, Held<F, C>>,
    /// Those of the entries that are for everyone, the oldest first.
    for_everyone: VecDeque<u64>,
    /// What is being removed.
    removing: Option<Removing<F, C>>,
    appended: u64,
    bytes: usize,
    /// None until it is known after which event it is complete.
    extent: Option<Extent>,
    opened: u64,
    open: usize,
    /// Users with an open stream.
    users: usize,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Nothing after this is missing of any user whose mailbox does not say so …
    floor: Floor,
    /// … but the event that is being appended, of users without a mailbox.
    appending: Option<Floor>,
    /// The last event, or where the log starts.
    latest: EventId,
}

impl Extent {
    /// Nothing after this is missing of a user who comes back now and whose mailbox does not say so.
    fn floor(self) -> Floor {
        let mut floor = self.floor;
        if let Some(appending) = self.appending {
            floor.raise(appending);
        }
        floor
    }
}

/// A stream that is to be opened.
pub struct NewStream<C> {
    /// The connection that it is written to.
    pub connection: C,
    /// What is due when.
    pub session: Session,
    /// The id of the request that opens it, if its client has chosen one.
    pub request: Option<RequestId>,
    /// The languages that are preferred on it.
    pub preference: LanguagePreference,
    /// When the token that opens it was issued.
    pub issued_at: IssuedAt,
}

impl<F, C> EventLog<F, C> {
    /// An empty log that does not know yet where it starts. No stream is open.
    #[must_use]
    pub fn new(limits: LogLimits, stream_limits: StreamLimits) -> Self {
        Self {
            limits,
            stream_limits,
            mailboxes: HashSet::new(),
            entries: BTreeMap::new(),
            for_everyone: VecDeque::new(),
            removing: None,
            appended: 0,
            bytes: 0,
            extent: None,
            opened: 0,
            open: 0,
            users: 0,
        }
    }

    /// The last event, or where the log starts; none when that is not known yet.
    #[must_use]
    pub fn latest(&self) -> Option<EventId> {
        self.extent.map(|extent| extent.latest)
    }

    /// Open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open
    }

    /// Users with an open stream.
    #[must_use]
    pub fn connected_users(&self) -> usize {
        self.users
    }

    /// The number of the next stream.
    #[must_use]
    pub fn next_stream_number(&self) -> u64 {
        self.opened
    }

    /// Users with a mailbox: they have a stream, or may have missed something.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox<F, C>>> {
        self.mailboxes.iter().map(|ByUser(mailbox)| mailbox)
    }

    /// The mailbox of `user`, if there is one.
    #[must_use]
    pub fn mailbox(&self, user: &UserId) -> Option<&Arc<Mailbox<F, C>>> {
        self.mailboxes.get(user).map(|ByUser(mailbox)| mailbox)
    }

    /// The events that it holds, the newest first, each with when it was recorded.
    pub fn newest_first(&self) -> impl Iterator<Item = (&Arc<Entry<F>>, Instant)> {
        self.entries.values().rev().map(|held| (&held.entry, held.entry.recorded))
    }

    /// Whether an event is held for open streams alone.
    fn keeps_none(&self) -> bool {
        self.limits.max_age.is_zero()
    }

    fn add_mailbox(&mut self, user: UserId) -> Arc<Mailbox<F, C>> {
        let mailbox = Arc::new(Mailbox::new(user));
        self.mailboxes.insert(ByUser(Arc::clone(&mailbox)));
        self.catch_up(&mailbox);
        mailbox
    }

    /// What is appended from now on was published after `after`, and events before that may be lost: the log starts anew. Each stream that
    /// had come further, or elsewhere, is told of a gap; those that wait are woken.
    pub fn resync(&mut self, after: EventId, now: Instant, wake: &mut dyn FnMut(&C)) {
        let floor = Floor { after, reason: GapReason::Expired, recorded: None };
        self.extent = Some(Extent { floor, appending: None, latest: after });
        self.entries.clear();
        self.for_everyone.clear();
        self.removing = None;
        self.bytes = 0;
        for mailbox in self.mailboxes() {
            mailbox.lock().reset(floor, now, wake);
        }
    }
}

/// What a stream leaves behind when it ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// For a client that returns.
    pub bookmark: Option<Bookmark>,
    /// Whether its connection has to be woken.
    pub needs_wake: bool,
}

#[cfg(test)]
mod tests;
