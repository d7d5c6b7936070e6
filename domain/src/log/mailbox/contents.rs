//! What is in a mailbox: the events that are for its user, and the user's streams.

use std::{sync::Arc, time::Instant};

use crate::{
    gap::{Gap, GapReason},
    log::{
        Entry, Stream, StreamId,
        index::{Floor, Index},
        stream::Progress,
    },
    notification::EventId,
};

/// What is in a mailbox.
#[derive(Debug)]
pub(in crate::log) struct Contents<F, C> {
    /// None while nothing is held for the user and every stream has taken everything.
    pub(super) index: Option<Box<Index<F>>>,
    /// In the order of their ids.
    pub(super) streams: Box<[Stream<C>]>,
}

impl<F, C> Default for Contents<F, C> {
    fn default() -> Self {
        Self { index: None, streams: Box::default() }
    }
}

impl<F, C> Contents<F, C> {
    pub(in crate::log) fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    pub(in crate::log) fn open_streams(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_open()).count()
    }

    /// Whether nothing is lost with it: there is no stream, and no event of its user was ever removed, as far as is known.
    pub(in crate::log) fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.index.is_none()
    }

    /// For so many events there is room.
    #[cfg(test)]
    pub(in crate::log) fn index_room(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.room())
    }

    pub(in crate::log) fn open(&mut self, stream: Stream<C>) {
        let others = std::mem::take(&mut self.streams);
        // Mostly it stays the only one.
        self.streams = others.into_iter().chain([stream]).collect();
    }

    /// Takes a stream away.
    pub(in crate::log) fn close(&mut self, id: StreamId) -> Option<Stream<C>> {
        let place = find(&self.streams, id)?;
        let mut streams = std::mem::take(&mut self.streams).into_vec();
        let stream = streams.remove(place);
        self.streams = streams.into();
        Some(stream)
    }

    pub(in crate::log) fn stream(&mut self, id: StreamId) -> Option<(&mut Stream<C>, Option<&Index<F>>)> {
        let place = find(&self.streams, id)?;
        Some((&mut self.streams[place], self.index.as_deref()))
    }

    /// The last event, of which `latest` is the last that was appended for everybody: a later one may already be there.
    pub(in crate::log) fn latest(&self, latest: EventId) -> EventId {
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
    pub(in crate::log) fn add(&mut self, entry: &Arc<Entry<F>>, floor: Floor) -> bool {
        let index = self.index(floor);
        let is_new = index.newest().is_none_or(|newest| newest.number != entry.number);
        if is_new {
            index.push(Arc::clone(entry));
        }
        is_new
    }

    /// Adds the newest event. Returns how many open streams are to take it, and wakes those that wait; none when it was added already.
    pub(in crate::log) fn append(
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
            stream.session.record_write(now);
            if stream.wake_if_waiting() {
                wake(&stream.connection);
            }
        }
        Some(readers)
    }

    /// Removes the oldest events until the rest count for `share` bytes at most, or only one is left.
    pub(in crate::log) fn keep_within(&mut self, share: u64) -> impl Iterator<Item = Arc<Entry<F>>> {
        std::iter::from_fn(move || {
            let index = self.index.as_mut()?;
            if index.bytes() > share && index.has_several() { index.pop(GapReason::Limit) } else { None }
        })
    }

    /// Removes an event, which is the oldest if it is there at all.
    pub(in crate::log) fn remove(&mut self, number: u64, reason: GapReason) {
        if let Some(index) = &mut self.index
            && index.oldest().is_some_and(|oldest| oldest.number == number)
        {
            index.pop(reason);
        }
    }

    /// Removes the events that every stream has taken.
    pub(in crate::log) fn remove_taken(&mut self) -> impl Iterator<Item = Arc<Entry<F>>> {
        std::iter::from_fn(|| {
            let index = self.index.as_mut()?;
            let id = index.oldest()?.notification.id;
            let is_awaited = self.streams.iter().any(|stream| stream.needs(id));
            if is_awaited { None } else { index.pop(GapReason::Expired) }
        })
    }

    /// Forgets which events were removed if that was before `time`, and no stream has missed them. Returns up to where they were.
    pub(in crate::log) fn prune(&mut self, time: Option<Instant>) -> Option<Floor> {
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
    pub(in crate::log) fn reset(&mut self, floor: Floor, now: Instant, wake: &mut dyn FnMut(&C)) {
        self.index = Some(Box::new(Index::new(floor)));
        for stream in self.streams.iter_mut().filter(|stream| stream.position.is_some()) {
            stream.reset(floor);
            stream.session.record_write(now);
            if stream.wake_if_waiting() {
                wake(&stream.connection);
            }
        }
    }

    /// Starts a stream after the event `after`, when `latest` is the last event of all. `gap` is what its client is told first. True when
    /// its connection has to be woken.
    pub(in crate::log) fn start(
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
        stream.wake_if_waiting()
    }

    /// The last event for this user before `time`, or the event up to which events may be missing; with a reason when events since `time`
    /// are not held any more. `latest` is the last event of all: without an index none of them was for this user.
    pub(in crate::log) fn position_before(
        &self,
        time: Instant,
        latest: EventId,
    ) -> (EventId, Option<GapReason>) {
        match &self.index {
            Some(index) => index.position_before(time),
            None => (latest, None),
        }
    }

    /// Where a stream starts that was opened when `position` was the last event of all; with a reason when events for this user since then are
    /// not held any more.
    pub(in crate::log) fn start_position(
        &self,
        position: EventId,
        floor: Floor,
    ) -> (EventId, Option<GapReason>) {
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
    pub(in crate::log) fn confirmed_position(
        &self,
        id: StreamId,
        written: Option<Instant>,
    ) -> Option<EventId> {
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
        let (confirmed, lost) = index.position_before(written);
        if lost.is_some() || start.follows(confirmed) {
            return Some(start);
        }
        let is_all = index.newest().is_none_or(|newest| newest.recorded < written);
        Some(if is_all { position } else { confirmed.min(position) })
    }
}

fn find<C>(streams: &[Stream<C>], id: StreamId) -> Option<usize> {
    streams.binary_search_by_key(&id, Stream::id).ok()
}
