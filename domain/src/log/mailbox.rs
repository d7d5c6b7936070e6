//! A user's mailbox: the events of the log that are for this user, and the user's open streams.

mod contents;

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError},
    time::Instant,
};

use self::contents::Contents;
use super::{Item, Resumable, Stream, StreamId, Turn, TurnOutcome};
use crate::{
    bookmark::{RequestId, ResumePoint},
    identity::UserId,
    language::LanguagePreference,
    sync::{Mutex, MutexGuard},
};

/// A user's mailbox: the events of the log that are for this user, and the user's open streams.
///
/// It has a lock of its own, so that connections of different users take what is next at the same time.
#[derive(Debug)]
pub struct Mailbox<F, C> {
    user: UserId,
    contents: Mutex<Contents<F, C>>,
}

/// What a stream has still to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events.
    pub events: usize,
    /// Bytes that they count for in the log.
    pub bytes: u64,
}

impl<F, C> Mailbox<F, C> {
    pub(super) fn new(user: UserId) -> Self {
        Self { user, contents: Mutex::new(Contents::default()) }
    }

    /// Whose mailbox it is.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Takes what is next for a stream at `now`, up to `limit` bytes or one larger event. `write` is called for each with the languages that are
    /// preferred, and returns its size in bytes. A stream that is not there any more has ended.
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

    /// Visits the stream, unless it has been closed.
    pub fn with_stream<R>(&self, id: StreamId, visit: impl FnOnce(&mut Stream<C>) -> R) -> Option<R> {
        self.lock().stream(id).map(|(stream, _)| visit(stream))
    }

    /// Visits each open stream, with what it has still to take.
    pub fn for_each_stream(&self, mut visit: impl FnMut(&mut Stream<C>, Lag)) {
        let mut contents = self.lock();
        let Contents { index, streams } = &mut *contents;
        for stream in streams.iter_mut().filter(|stream| stream.is_open()) {
            let lag = index.as_ref().zip(stream.position).map(|(index, position)| {
                let (events, bytes) = index.amount_after(position);
                Lag { events, bytes }
            });
            visit(stream, lag.unwrap_or_default());
        }
    }

    /// From where a client goes on that has opened another stream before `id` with the same `request`, and it is still open, as when its
    /// connection is dead. What was written since `written` may not have arrived.
    #[must_use]
    pub fn resume_point(
        &self,
        id: StreamId,
        request: &RequestId,
        written: Option<Instant>,
    ) -> Option<ResumePoint> {
        let contents = self.lock();
        let of_client = |stream: &&Stream<C>| {
            stream.id < id
                && stream.is_open()
                && stream.resumable.as_ref().is_some_and(|it| it.request == *request)
        };
        let points = contents.streams.iter().filter(of_client).filter_map(|stream| {
            let position = contents.confirmed_position(stream.id, written)?;
            let logged_out = stream.resumable.as_ref().and_then(|resumable| resumable.logged_out);
            Some(ResumePoint { position, logged_out })
        });
        points.reduce(ResumePoint::latest)
    }

    /// The streams that were opened before `time` and whose client has opened a newer one since, with the same request id.
    #[must_use]
    pub fn replaced_streams(&self, time: Instant) -> Vec<StreamId> {
        let contents = self.lock();
        let open: Vec<_> = contents.streams.iter().filter(|stream| stream.is_open()).collect();
        let is_replaced = |place: usize| {
            let Some(resumable) = &open[place].resumable else { return false };
            let is_same = |newer: &Resumable| newer.request == resumable.request;
            let newer = open[place + 1..].iter().filter_map(|newer| newer.resumable.as_deref());
            resumable.opened < time && newer.into_iter().any(is_same)
        };
        (0..open.len()).filter(|place| is_replaced(*place)).map(|place| open[place].id).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Contents<F, C>> {
        // No panic leaves it half changed that another thread could meet.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mailbox that is found by its user.
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
