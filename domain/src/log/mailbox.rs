//! The mailbox of a user.

mod contents;

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError},
    time::Instant,
};

use self::contents::Contents;
use super::{Continuation, Item, Resumable, Stream, StreamId, Turn, TurnOutcome};
use crate::{
    bookmark::{RequestId, ResumePoint},
    identity::UserId,
    language::LanguagePreference,
    notification::EventId,
    sync::{Mutex, MutexGuard},
};

/// The mailbox of a user: the user's events in the log, and the user's open streams.
///
/// Each mailbox has its own lock, so that the connections of different users take events in parallel.
#[derive(Debug)]
pub struct Mailbox<F, C> {
    user: UserId,
    contents: Mutex<Contents<F, C>>,
}

/// The events that a stream has not taken yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// The number of events.
    pub events: usize,
    /// The bytes that they count for in the log.
    pub bytes: u64,
}

impl<F, C> Mailbox<F, C> {
    pub(super) fn new(user: UserId) -> Self {
        Self { user, contents: Mutex::new(Contents::default()) }
    }

    /// Returns the user of the mailbox.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Takes the next items of a stream at `now`, up to `limit` bytes or one larger event.
    ///
    /// Calls `write` for each item with the stream's language preference; `write` returns the encoded size in bytes. The outcome for a
    /// stream that was closed is [`TurnOutcome::End`].
    pub fn take(
        &self,
        id: StreamId,
        now: Instant,
        limit: usize,
        write: &mut dyn FnMut(&LanguagePreference, Item<'_, F>) -> usize,
    ) -> Turn {
        match self.lock().stream(id) {
            Some((stream, index)) => stream.take(now, index, limit, write),
            None => Turn { outcome: TurnOutcome::End, was_woken: false },
        }
    }

    /// Calls `visit` with the stream. Returns none if the stream was closed.
    pub fn with_stream<R>(&self, id: StreamId, visit: impl FnOnce(&mut Stream<C>) -> R) -> Option<R> {
        self.lock().stream(id).map(|(stream, _)| visit(stream))
    }

    /// Calls `visit` with each open stream and its lag.
    pub fn for_each_stream(&self, mut visit: impl FnMut(&mut Stream<C>, Lag)) {
        let mut contents = self.lock();
        let Contents { index, streams } = &mut *contents;
        for stream in streams.iter_mut().filter(|stream| stream.is_open()) {
            let lag = index.as_ref().zip(stream.position).map(|(index, position)| index.lag_after(position));
            visit(stream, lag.unwrap_or_default());
        }
    }

    /// Returns the state with which another process continues a stream. `latest` is the last event of the log. None if the stream has ended,
    /// or if it is not known yet where it starts.
    ///
    /// Data written after `confirmed_until` may not have arrived.
    #[must_use]
    pub fn continuation(
        &self,
        id: StreamId,
        latest: EventId,
        confirmed_until: Option<Instant>,
        now: Instant,
    ) -> Option<Continuation> {
        let mut contents = self.lock();
        let latest = contents.latest(latest);
        let confirmed = contents.confirmed_position(id, confirmed_until);
        let (stream, index) = contents.stream(id)?;
        stream.continuation(index, latest, confirmed, now)
    }

    /// Returns where a client continues whose older streams with the same `request` id are still open, for example because their connection
    /// is dead and this has not been noticed yet. Only streams older than `id` count.
    ///
    /// Data written after `confirmed_until` may not have arrived.
    #[must_use]
    pub fn resume_point(
        &self,
        id: StreamId,
        request: &RequestId,
        confirmed_until: Option<Instant>,
    ) -> Option<ResumePoint> {
        let contents = self.lock();
        let is_of_client = |stream: &&Stream<C>| {
            stream.id < id
                && stream.is_open()
                && stream.resumable().is_some_and(|resumable| resumable.request == *request)
        };
        let points = contents.streams.iter().filter(is_of_client).filter_map(|stream| {
            let position = contents.confirmed_position(stream.id, confirmed_until)?;
            let logged_out = stream.resumable().and_then(|resumable| resumable.logged_out);
            Some(ResumePoint { position, logged_out })
        });
        points.reduce(ResumePoint::latest)
    }

    /// Returns the streams opened before `time` whose client has opened a newer stream with the same request id.
    #[must_use]
    pub fn replaced_streams(&self, time: Instant) -> Vec<StreamId> {
        let contents = self.lock();
        let open = contents.streams.iter().filter(|stream| stream.is_open());
        let open: Vec<_> = open.filter_map(|stream| Some((stream.resumable()?, stream.id))).collect();
        // A stream of another process may be older than one with a lower id, which was opened here before the hand-over.
        let is_replaced = |&&(older, id): &&(&Resumable, StreamId)| {
            let is_newer = |&(newer, newer_id): &(&Resumable, StreamId)| {
                newer.request == older.request && (newer.opened, newer_id) > (older.opened, id)
            };
            older.opened < time && open.iter().any(is_newer)
        };
        open.iter().filter(is_replaced).map(|(_, id)| *id).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Contents<F, C>> {
        // No code panics between two changes that belong together, so the contents are consistent after a panic.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mailbox in a set that is keyed by user. A map would hold each user's id a second time.
#[derive(Debug)]
pub(super) struct ByUser<F, C>(pub(super) Arc<Mailbox<F, C>>);

impl<F, C> PartialEq for ByUser<F, C> {
    fn eq(&self, other: &Self) -> bool {
        self.0.user == other.0.user
    }
}

impl<F, C> Eq for ByUser<F, C> {}

impl<F, C> Hash for ByUser<F, C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.user.hash(state);
    }
}

impl<F, C> Borrow<UserId> for ByUser<F, C> {
    fn borrow(&self) -> &UserId {
        &self.0.user
    }
}
