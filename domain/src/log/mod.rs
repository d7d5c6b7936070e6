//! The log of recent events, and the streams that read it.
//!
//! An event is appended once. Each of its recipients has a [`Mailbox`]: the user's events, and the user's open streams. A stream is a
//! position in the mailbox of its user. When its connection can be written to, it takes the events after its position; nothing waits for a
//! slow connection. Clients that are new, that return and that are slow differ only in their positions. A stream whose position the log no
//! longer reaches gets a gap, and continues with the events that are still held.
//!
//! The log is limited by age and bytes. The events that are held for one user, counted with all their recipients, take at most half of the
//! bytes, except that a single larger event is kept. An event for everyone counts with the users who had a mailbox when it was appended.
//! So whatever one user gets, alone or always with the same others, the events of everyone else are held for as long as all of them, with
//! the mailboxes, take less than the other half.

mod append;
mod entry;
mod index;
mod mailbox;
mod retention;
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
    stream::{
        Continuation, Delivery, EndReason, Item, LATE_AFTER, LateState, Note, Resumable, ResumableState,
        Stream, StreamId, Turn, TurnOutcome,
    },
};
use self::{
    index::Floor,
    mailbox::ByUser,
    retention::{Eviction, RetainedEntry},
};
use crate::{
    bookmark::{Bookmark, RequestId},
    gap::GapReason,
    identity::{IssuedAt, SessionId, UserId},
    language::LanguagePreference,
    notification::EventId,
    session::Session,
};

/// The limits of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// The maximum age of an event. With zero there is no history: events are held only until the open streams have taken them.
    pub max_age: Duration,
    /// The maximum memory of all events, in bytes. The oldest events are evicted first.
    pub max_bytes: usize,
}

/// The limits of the number of open streams.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// The maximum for all users together.
    pub total: usize,
    /// The maximum for each user.
    pub per_user: usize,
}

/// The limit that prevents one more stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The limit of all streams.
    Total,
    /// The limit of the user's streams.
    PerUser,
}

/// The approximate memory of a mailbox, in bytes: its fields, its user's id and room for a few events.
const MAILBOX_BYTES: usize = 300;
/// The events that are held for one user take at most the log's bytes divided by this.
const USER_SHARE_DIVISOR: usize = 2;

/// The log of recent events, and the streams that read it. `F` holds the encoded frames of an event, `C` is the connection of a stream.
///
/// The log holds nothing for a user without an open stream and without a recent event.
#[derive(Debug)]
pub struct EventLog<F, C> {
    limits: LogLimits,
    stream_limits: StreamLimits,
    mailboxes: HashSet<ByUser<F, C>>,
    /// By the number of the entry.
    entries: BTreeMap<u64, RetainedEntry<F, C>>,
    /// The numbers of the entries for everyone, the oldest first.
    for_everyone: VecDeque<u64>,
    eviction: Option<Eviction<F, C>>,
    /// The number of entries that were ever appended.
    appended: u64,
    /// The bytes of all entries. The one that is being appended counts when all its recipients have it.
    bytes: usize,
    /// None until it is known after which event the log is complete.
    extent: Option<Extent>,
    /// The number of streams that were ever opened.
    opened_streams: u64,
    open_streams: usize,
    connected_users: usize,
}

/// The range of events in the log.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// The floor of every user without a mailbox, not counting the event that is being appended.
    floor: Floor,
    /// The event that is being appended, if a user without a mailbox misses it.
    appending: Option<Floor>,
    /// The last event, or the position at which the log starts.
    latest: EventId,
}

impl Extent {
    /// Returns the floor of a user without a mailbox.
    fn floor(self) -> Floor {
        let mut floor = self.floor;
        if let Some(appending) = self.appending {
            floor.raise(appending);
        }
        floor
    }
}

/// A stream to open.
pub struct NewStream<C> {
    /// The connection that the stream is written to.
    pub connection: C,
    /// The timers of the stream.
    pub session: Session,
    /// The id of the request that opens the stream, if its client has sent one.
    pub request: Option<RequestId>,
    /// The language preference of the stream.
    pub preference: LanguagePreference,
    /// When the token of the request was issued.
    pub issued_at: IssuedAt,
    /// The session at the identity provider. None if it is unknown.
    pub session_id: Option<Box<SessionId>>,
}

impl<F, C> EventLog<F, C> {
    /// Creates an empty log without streams. It does not know where it starts before [`EventLog::resync`].
    #[must_use]
    pub fn new(limits: LogLimits, stream_limits: StreamLimits) -> Self {
        Self {
            limits,
            stream_limits,
            mailboxes: HashSet::new(),
            entries: BTreeMap::new(),
            for_everyone: VecDeque::new(),
            eviction: None,
            appended: 0,
            bytes: 0,
            extent: None,
            opened_streams: 0,
            open_streams: 0,
            connected_users: 0,
        }
    }

    /// Returns the last event, or the position at which the log starts. None if that is not known yet.
    #[must_use]
    pub fn latest(&self) -> Option<EventId> {
        self.extent.map(|extent| extent.latest)
    }

    /// Returns the number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open_streams
    }

    /// Returns the number of users with an open stream.
    #[must_use]
    pub fn connected_users(&self) -> usize {
        self.connected_users
    }

    /// Returns the number that the next stream will have.
    #[must_use]
    pub fn next_stream_number(&self) -> u64 {
        self.opened_streams
    }

    /// Returns the mailboxes of all users who have a stream, or had an event lately.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox<F, C>>> {
        self.mailboxes.iter().map(|ByUser(mailbox)| mailbox)
    }

    /// Returns the mailbox of `user`.
    #[must_use]
    pub fn mailbox(&self, user: &UserId) -> Option<&Arc<Mailbox<F, C>>> {
        self.mailboxes.get(user).map(|ByUser(mailbox)| mailbox)
    }

    /// Returns the events of the log, the newest first, each with the time at which it was recorded.
    pub fn newest_first(&self) -> impl Iterator<Item = (&Arc<Entry<F>>, Instant)> {
        self.entries.values().rev().map(|retained| (&retained.entry, retained.entry.recorded))
    }

    /// Returns whether events are held only for open streams.
    fn is_history_off(&self) -> bool {
        self.limits.max_age.is_zero()
    }

    fn add_mailbox(&mut self, user: UserId) -> Arc<Mailbox<F, C>> {
        let mailbox = Arc::new(Mailbox::new(user));
        self.mailboxes.insert(ByUser(Arc::clone(&mailbox)));
        self.add_events_for_everyone(&mailbox);
        mailbox
    }

    /// Restarts the log empty at the position `after`, because the event bus may have lost events before it.
    ///
    /// The events appended from now on were published after `after`. Each stream that has not taken everything up to `after`, or was past
    /// it, gets a gap. Calls `wake` for each connection that waits for an event, and `abandoned` for each event whose last reader loses it.
    pub fn resync(
        &mut self,
        after: EventId,
        now: Instant,
        wake: &mut dyn FnMut(&C),
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) {
        let floor = Floor { after, reason: GapReason::Expired, recorded: None };
        self.extent = Some(Extent { floor, appending: None, latest: after });
        self.entries.clear();
        self.for_everyone.clear();
        self.eviction = None;
        self.bytes = 0;
        for mailbox in self.mailboxes() {
            mailbox.lock().reset(floor, now, wake, abandoned);
        }
    }
}

/// The result of ending a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// The position of the client, if it is recognized by its request id.
    pub bookmark: Option<Bookmark>,
    /// Whether the connection has to be woken.
    pub needs_wake: bool,
}

#[cfg(test)]
mod tests;
