//! A user's mailbox: the events of the log that are for this user, and the user's open streams.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError},
    time::Instant,
};

use super::{
    Entry, Next, Resumable, Stream, StreamId, Then, Turn,
    index::{Floor, Index},
    stream::Progress,
};
use crate::{
    bookmark::{RequestId, ResumePoint},
    gap::{Gap, GapReason},
    identity::UserId,
    language::Wish,
    notification::EventId,
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

#[derive(Debug)]
pub(super) struct Contents<F, C> {
    /// None while nothing is held for the user and every stream has taken everything.
    index: Option<Box<Index<F>>>,
    /// In the order of their ids.
    streams: Box<[Stream<C>]>,
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
        Self { user, contents: Mutex::new(Contents { index: None, streams: Box::default() }) }
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
        write: &mut dyn FnMut(&Wish, Next<'_, F>) -> usize,
    ) -> Turn {
        let mut contents = self.lock();
        let Contents { index, streams } = &mut *contents;
        match find(streams, id) {
            Some(place) => streams[place].take(now, index.as_deref(), limit, write),
            None => Turn { next: Then::End, was_woken: false },
        }
    }

    /// Visits the stream, unless it has been closed.
    pub fn with_stream<R>(&self, id: StreamId, visit: impl FnOnce(&mut Stream<C>) -> R) -> Option<R> {
        let mut contents = self.lock();
        let place = find(&contents.streams, id)?;
        Some(visit(&mut contents.streams[place]))
    }

    /// Visits each open stream, with what it has still to take.
    pub fn each_stream(&self, mut visit: impl FnMut(&mut Stream<C>, Lag)) {
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
    pub fn replaced(&self, time: Instant) -> Vec<StreamId> {
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

fn find<C>(streams: &[Stream<C>], id: StreamId) -> Option<usize> {
    streams.binary_search_by_key(&id, Stream::id).ok()
}

impl<F, C> Contents<F, C> {
    pub(super) fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    pub(super) fn open_streams(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_open()).count()
    }

    /// Whether nothing is lost with it: there is no stream, and no event of its user was ever removed, as far as is known.
    pub(super) fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.index.is_none()
    }

    /// For so many events there is room.
    #[cfg(test)]
    pub(super) fn index_room(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.room())
    }

    pub(super) fn open(&mut self, stream: Stream<C>) {
        let others = std::mem::take(&mut self.streams);
        // Mostly it stays the only one.
        self.streams = others.into_iter().chain([stream]).collect();
    }

    /// Takes a stream away.
    pub(super) fn close(&mut self, id: StreamId) -> Option<Stream<C>> {
        let place = find(&self.streams, id)?;
        let mut streams = std::mem::take(&mut self.streams).into_vec();
        let stream = streams.remove(place);
        self.streams = streams.into();
        Some(stream)
    }

    pub(super) fn stream(&mut self, id: StreamId) -> Option<(&mut Stream<C>, Option<&Index<F>>)> {
        let place = find(&self.streams, id)?;
        Some((&mut self.streams[place], self.index.as_deref()))
    }

    /// The last event, of which `latest` is the last that was appended for everybody: a later one may already be there.
    pub(super) fn latest(&self, latest: EventId) -> EventId {
        let newest = self.index.as_ref().and_then(|index| index.newest());
        newest.map_or(latest, |newest| latest.max(newest.notification.id))
    }

    /// The event up to which events for the user may be missing, when `floor` is that of the log.
    fn floor(&self, floor: Floor) -> Floor {
        if let Some(index) = &self.index {
            return index.floor;
        }
        // Without an index each stream has taken everything, so nothing was for this user behind any position.
        let positions = self.streams.iter().filter_map(Stream::position);
        let known = positions.filter(|position| position.incarnation == floor.after.incarnation).min();
        known.filter(|known| floor.after.follows(*known)).map_or(floor, |after| Floor { after, ..floor })
    }

    fn index(&mut self, floor: Floor) -> &mut Index<F> {
        // None of the user's own events was removed.
        let floor = Floor { recorded: None, ..self.floor(floor) };
        self.index.get_or_insert_with(|| Box::new(Index::new(floor)))
    }

    /// Adds the newest event. False when it was added already because the user is named twice.
    pub(super) fn add(&mut self, entry: &Arc<Entry<F>>, floor: Floor) -> bool {
        let index = self.index(floor);
        let is_new = index.newest().is_none_or(|newest| newest.number != entry.number);
        if is_new {
            index.push(Arc::clone(entry));
        }
        is_new
    }

    /// Adds the newest event. Returns how many open streams are to take it, and wakes those that wait; none when it was added already.
    pub(super) fn append(
        &mut self,
        entry: &Arc<Entry<F>>,
        now: Instant,
        floor: Floor,
        wake: &mut dyn FnMut(&C),
    ) -> Option<usize> {
        if !self.add(entry, floor) {
            return None;
        }
        let mut readers = 0;
        for stream in self.streams.iter_mut().filter(|stream| stream.is_open() && stream.position.is_some()) {
            entry.add_reader();
            readers += 1;
            stream.session.write(now);
            if stream.wakes() {
                wake(&stream.connection);
            }
        }
        Some(readers)
    }

    /// Removes the oldest events until the rest count for `share` bytes at most, or only one is left.
    pub(super) fn keep_within(&mut self, share: u64) -> impl Iterator<Item = Arc<Entry<F>>> {
        std::iter::from_fn(move || {
            let index = self.index.as_mut()?;
            if index.bytes() > share && index.has_several() { index.pop(GapReason::Limit) } else { None }
        })
    }

    /// Removes an event, which is the oldest if it is there at all.
    pub(super) fn remove(&mut self, number: u64, reason: GapReason) {
        if let Some(index) = &mut self.index
            && index.oldest().is_some_and(|oldest| oldest.number == number)
        {
            index.pop(reason);
        }
    }

    /// Removes the events that every stream has taken.
    pub(super) fn remove_taken(&mut self) -> impl Iterator<Item = Arc<Entry<F>>> {
        std::iter::from_fn(|| {
            let index = self.index.as_mut()?;
            let id = index.oldest()?.notification.id;
            let is_awaited = self.streams.iter().any(|stream| stream.needs(id));
            if is_awaited { None } else { index.pop(GapReason::Expired) }
        })
    }

    /// Forgets which events were removed if that was before `time`, and no stream has missed them. Returns up to where they were.
    pub(super) fn tidy(&mut self, time: Option<Instant>) -> Option<Floor> {
        let streams = &self.streams;
        let index = self.index.take_if(|index| {
            index.is_empty()
                && index.floor.recorded.is_none_or(|recorded| time.is_some_and(|time| recorded <= time))
                && streams
                    .iter()
                    .all(|stream| stream.position.is_some_and(|it| index.floor.gap_after(it).is_none()))
        })?;
        Some(index.floor)
    }

    /// Nothing before `floor` is there any more: a stream that has not come so far is told. Those that wait are woken.
    pub(super) fn reset(&mut self, floor: Floor, now: Instant, wake: &mut dyn FnMut(&C)) {
        self.index = Some(Box::new(Index::new(floor)));
        for stream in self.streams.iter_mut().filter(|stream| stream.position.is_some()) {
            stream.reset(floor);
            stream.session.write(now);
            if stream.wakes() {
                wake(&stream.connection);
            }
        }
    }

    /// Starts a stream after the event `after`, when `latest` is the last event of all. `gap` is what its client is told first. True when
    /// its connection has to be woken.
    pub(super) fn start(
        &mut self,
        id: StreamId,
        after: EventId,
        mut gap: Option<Gap>,
        floor: Floor,
        latest: EventId,
    ) -> bool {
        let (floor, latest) = (self.floor(floor), self.latest(latest));
        let Some(place) = find(&self.streams, id) else { return false };
        let mut start = after;
        if let Some(reason) = floor.gap_after(after) {
            gap = gap.or(Some(Gap { last_event_id: Some(after.to_string()), reason }));
            start = if reason == GapReason::Unknown { latest } else { floor.after };
        }
        let missed = self.index.as_ref().is_some_and(|index| index.after(start).next().is_some());
        let progress = if missed || gap.is_some() {
            Some(Progress { gap, live_after: Some(latest), ..Progress::default() })
        } else {
            // An id that is ahead of the log stays: what comes up to it is not new to the client.
            start = start.max(latest);
            None
        };
        let stream = &mut self.streams[place];
        stream.start(after.min(start), start, progress);
        stream.wakes()
    }

    /// The last event for this user before `time`, or the event up to which events may be missing; with a reason when events since `time`
    /// are not held any more. `latest` is the last event of all: without an index none of them was for this user.
    pub(super) fn before(&self, time: Instant, latest: EventId) -> (EventId, Option<GapReason>) {
        match &self.index {
            Some(index) => index.before(time),
            None => (latest, None),
        }
    }

    /// Where a stream starts that was opened when `position` was the last event of all; with a reason when events for this user since then are
    /// not held any more.
    pub(super) fn since(&self, position: EventId, floor: Floor) -> (EventId, Option<GapReason>) {
        let was_removed = self.index.as_ref().is_some_and(|index| index.floor.recorded.is_some());
        let floor = self.floor(floor);
        match floor.gap_after(position) {
            None => (position, None),
            Some(reason) if was_removed || reason == GapReason::Unknown => (floor.after, Some(reason)),
            // It was for others, for whoever has a stream has a mailbox.
            Some(_) => (floor.after, None),
        }
    }

    /// The last event up to which the client of the stream certainly has everything, when what was written since `written` may not have
    /// arrived. None when it is not known where the stream starts.
    pub(super) fn confirmed_position(&self, id: StreamId, written: Option<Instant>) -> Option<EventId> {
        let stream = &self.streams[find(&self.streams, id)?];
        let resumable = stream.resumable.as_ref()?;
        let start = resumable.start_after?;
        let Some(position) = stream.position else { return Some(start) };
        let Some(written) = written else { return Some(start) };
        if stream.progress.as_ref().is_some_and(|progress| progress.gap.is_some()) {
            return Some(start);
        }
        // What was taken late may not have arrived, although it was recorded long ago.
        let unconfirmed = resumable.late.as_ref().and_then(|late| late.unconfirmed_after(written));
        let position = unconfirmed.map_or(position, |after| after.min(position));
        if start.follows(position) {
            return Some(start);
        }
        let Some(index) = &self.index else { return Some(position) };
        let (confirmed, lost) = index.before(written);
        if lost.is_some() || start.follows(confirmed) {
            return Some(start);
        }
        let is_all = index.newest().is_none_or(|newest| newest.recorded < written);
        Some(if is_all { position } else { confirmed.min(position) })
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
