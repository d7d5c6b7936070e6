//! The contents of a mailbox.

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

/// The contents of a mailbox: the events of its user, and the user's streams.
#[derive(Debug)]
pub(in crate::log) struct Contents<F, C> {
    /// The events. None while the log holds none for the user and every stream has taken everything.
    pub(super) index: Option<Box<Index<F>>>,
    /// The streams in the order of their ids.
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

    /// Returns whether the mailbox can be removed: it has no stream, no event, and no knowledge of evicted events.
    pub(in crate::log) fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.index.is_none()
    }

    #[cfg(test)]
    pub(in crate::log) fn index_capacity(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.capacity())
    }

    pub(in crate::log) fn open(&mut self, stream: Stream<C>) {
        let others = std::mem::take(&mut self.streams);
        // A boxed slice has no spare capacity: most users have one stream only.
        self.streams = others.into_iter().chain([stream]).collect();
    }

    /// Removes a stream.
    pub(in crate::log) fn close(&mut self, id: StreamId) -> Option<Stream<C>> {
        let position = find(&self.streams, id)?;
        let mut streams = std::mem::take(&mut self.streams).into_vec();
        let stream = streams.remove(position);
        self.streams = streams.into();
        Some(stream)
    }

    pub(in crate::log) fn stream(&mut self, id: StreamId) -> Option<(&mut Stream<C>, Option<&Index<F>>)> {
        let position = find(&self.streams, id)?;
        Some((&mut self.streams[position], self.index.as_deref()))
    }

    /// Returns the last event, where `latest` is the last event that was appended completely. The mailbox may already have the event that
    /// is being appended.
    pub(in crate::log) fn latest(&self, latest: EventId) -> EventId {
        let newest = self.index.as_ref().and_then(|index| index.newest());
        newest.map_or(latest, |newest| latest.max(newest.notification.id))
    }

    /// Returns the floor of the user's events, where `log_floor` is the floor of users without a mailbox.
    fn floor(&self, log_floor: Floor) -> Floor {
        if let Some(index) = &self.index {
            return index.floor;
        }
        // Without an index each stream has taken everything. So the user had no event after the position of any stream.
        let positions = self.streams.iter().filter_map(Stream::position);
        let known = positions.filter(|position| position.incarnation == log_floor.after.incarnation).min();
        let known = known.filter(|known| log_floor.after.follows(*known));
        known.map_or(log_floor, |after| Floor { after, ..log_floor })
    }

    fn index(&mut self, log_floor: Floor) -> &mut Index<F> {
        // None of the user's own events was removed.
        let floor = Floor { recorded: None, ..self.floor(log_floor) };
        self.index.get_or_insert_with(|| Box::new(Index::new(floor)))
    }

    /// Adds the newest event. Returns false if the mailbox has it already, because the event names the user twice.
    pub(in crate::log) fn add(&mut self, entry: &Arc<Entry<F>>, log_floor: Floor) -> bool {
        let index = self.index(log_floor);
        let is_new = index.newest().is_none_or(|newest| newest.number != entry.number);
        if is_new {
            index.push(Arc::clone(entry));
        }
        is_new
    }

    /// Adds the newest event and calls `wake` for each connection that waits for one. Returns how many open streams have to take the event,
    /// or none if the mailbox has it already.
    pub(in crate::log) fn append(
        &mut self,
        entry: &Arc<Entry<F>>,
        now: Instant,
        log_floor: Floor,
        wake: &mut dyn FnMut(&C),
    ) -> Option<usize> {
        if !self.add(entry, log_floor) {
            return None;
        }
        let (id, mut readers) = (entry.notification.id, 0);
        for stream in self.streams.iter_mut().filter(|stream| stream.is_open() && stream.is_before(id)) {
            entry.add_reader();
            readers += 1;
            stream.session.record_write(now);
            if stream.wake_if_waiting() {
                wake(&stream.connection);
            }
        }
        Some(readers)
    }

    /// Removes the oldest events until the others take at most `limit` bytes, or only one is left. Calls `abandoned` for each event whose
    /// last reader loses it.
    pub(in crate::log) fn evict_beyond(
        &mut self,
        limit: u64,
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) -> impl Iterator<Item = Arc<Entry<F>>> {
        std::iter::from_fn(move || {
            let index = self.index.as_ref()?;
            let is_too_large = index.bytes() > limit && index.len() > 1;
            is_too_large.then(|| self.evict_oldest(GapReason::Limit, abandoned))?
        })
    }

    /// Removes the oldest event if it has this `number`. The mailbox may have removed the event already. Calls `abandoned` if the event's
    /// last reader loses it.
    pub(in crate::log) fn evict(
        &mut self,
        number: u64,
        reason: GapReason,
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) {
        let oldest = self.index.as_ref().and_then(|index| index.oldest());
        if oldest.is_some_and(|oldest| oldest.number == number) {
            self.evict_oldest(reason, abandoned);
        }
    }

    /// Removes the oldest event. The streams that have not taken it are no longer its readers.
    fn evict_oldest(
        &mut self,
        reason: GapReason,
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) -> Option<Arc<Entry<F>>> {
        let entry = self.index.as_mut()?.pop(reason)?;
        for stream in &self.streams {
            if stream.reads(entry.notification.id) && entry.remove_reader() {
                abandoned(&entry);
            }
        }
        Some(entry)
    }

    /// Removes the oldest events that no stream has to take any more. Calls `abandoned` for each event whose last reader has ended before
    /// it.
    pub(in crate::log) fn remove_taken(
        &mut self,
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) -> impl Iterator<Item = Arc<Entry<F>>> {
        std::iter::from_fn(|| {
            let id = self.index.as_ref()?.oldest()?.notification.id;
            let is_needed = self.streams.iter().any(|stream| stream.needs(id));
            (!is_needed).then(|| self.evict_oldest(GapReason::Expired, abandoned))?
        })
    }

    /// Removes an empty index if the last event was removed before `time` and no stream has missed it. Returns the floor of the index.
    pub(in crate::log) fn prune(&mut self, time: Option<Instant>) -> Option<Floor> {
        let streams = &self.streams;
        let index = self.index.take_if(|index| {
            let has_missed_nothing = |stream: &Stream<C>| {
                stream.position.is_some_and(|position| index.floor.gap_after(position).is_none())
            };
            index.is_empty()
                && index.floor.recorded.is_none_or(|recorded| time.is_some_and(|time| recorded <= time))
                && streams.iter().all(has_missed_nothing)
        })?;
        Some(index.floor)
    }

    /// Removes all events: the log restarts at `floor`. Calls `wake` for each connection that waits, because its stream may have a gap, and
    /// `abandoned` for each event whose last reader loses it.
    pub(in crate::log) fn reset(
        &mut self,
        floor: Floor,
        now: Instant,
        wake: &mut dyn FnMut(&C),
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) {
        while self.evict_oldest(floor.reason, abandoned).is_some() {}
        self.index = Some(Box::new(Index::new(floor)));
        for stream in self.streams.iter_mut().filter(|stream| stream.position.is_some()) {
            stream.reset(floor);
            stream.session.record_write(now);
            if stream.wake_if_waiting() {
                wake(&stream.connection);
            }
        }
    }

    /// Starts a stream after the event `after`, where `latest` is the last event of the log. Its client gets `gap` first. Returns
    /// whether the connection has to be woken.
    pub(in crate::log) fn start(
        &mut self,
        id: StreamId,
        after: EventId,
        gap: Option<Gap>,
        log_floor: Floor,
        latest: EventId,
    ) -> bool {
        let Some(position) = find(&self.streams, id) else { return false };
        let (start, progress) = self.start_after(after, gap, log_floor, latest);
        let stream = &mut self.streams[position];
        stream.start(after.min(start), start, progress);
        stream.wake_if_waiting()
    }

    /// Continues a stream of another process after the event `after`. Otherwise like [`Contents::start`].
    pub(in crate::log) fn continue_after(
        &mut self,
        id: StreamId,
        after: EventId,
        gap: Option<Gap>,
        log_floor: Floor,
        latest: EventId,
    ) -> bool {
        let Some(position) = find(&self.streams, id) else { return false };
        let (start, progress) = self.start_after(after, gap, log_floor, latest);
        let stream = &mut self.streams[position];
        stream.continue_after(start, progress);
        stream.wake_if_waiting()
    }

    /// Returns the position of a stream that starts after the event `after`, and its progress if it has missed something.
    fn start_after(
        &self,
        after: EventId,
        mut gap: Option<Gap>,
        log_floor: Floor,
        latest: EventId,
    ) -> (EventId, Option<Progress>) {
        let (floor, latest) = (self.floor(log_floor), self.latest(latest));
        let mut start = after;
        if let Some(reason) = floor.gap_after(after) {
            gap = gap.or(Some(Gap { last_event_id: Some(after.to_string()), reason }));
            start = if reason == GapReason::Unknown { latest } else { floor.after };
        }
        let has_missed = self.index.as_ref().is_some_and(|index| index.after(start).next().is_some());
        if has_missed || gap.is_some() {
            return (start, Some(Progress { gap, live_after: Some(latest), ..Progress::default() }));
        }
        // An id that is ahead of the log stays: its client already has the events up to it.
        (start.max(latest), None)
    }

    /// Returns the position after which the user's events since `time` follow, and the reason if some of them have been removed. `latest`
    /// is the last event of the log.
    pub(in crate::log) fn position_before(
        &self,
        time: Instant,
        latest: EventId,
    ) -> (EventId, Option<GapReason>) {
        match &self.index {
            Some(index) => index.position_before(time),
            // Without an index the user had no event lately.
            None => (latest, None),
        }
    }

    /// Returns where a stream starts that was opened when `position` was the last event of the log, and the reason if events for the user
    /// since then have been removed.
    pub(in crate::log) fn start_position(
        &self,
        position: EventId,
        log_floor: Floor,
    ) -> (EventId, Option<GapReason>) {
        let has_removed = self.index.as_ref().is_some_and(|index| index.floor.recorded.is_some());
        let floor = self.floor(log_floor);
        match floor.gap_after(position) {
            None => (position, None),
            Some(reason) if has_removed || reason == GapReason::Unknown => (floor.after, Some(reason)),
            // The removed events were for others: a user with a stream has a mailbox, and this one has removed none.
            Some(_) => (floor.after, None),
        }
    }

    /// Returns the last event up to which the client has certainly received everything. What was written after `confirmed_until` may not
    /// have arrived. None if it is not known where the stream starts.
    pub(in crate::log) fn confirmed_position(
        &self,
        id: StreamId,
        confirmed_until: Option<Instant>,
    ) -> Option<EventId> {
        let stream = &self.streams[find(&self.streams, id)?];
        let resumable = stream.resumable()?;
        let start = resumable.start_after?;
        let Some(position) = stream.position else { return Some(start) };
        let Some(confirmed_until) = confirmed_until else { return Some(start) };
        if stream.progress.as_ref().is_some_and(|progress| progress.gap.is_some()) {
            return Some(start);
        }
        // An event that was taken late may not have arrived, although it was recorded long ago.
        let unconfirmed = resumable.late.as_ref().and_then(|late| late.unconfirmed_after(confirmed_until));
        let position = unconfirmed.map_or(position, |after| after.min(position));
        if start.follows(position) {
            return Some(start);
        }
        let Some(index) = &self.index else { return Some(position) };
        let (confirmed, gap) = index.position_before(confirmed_until);
        if gap.is_some() || start.follows(confirmed) {
            return Some(start);
        }
        let is_all_confirmed = index.newest().is_none_or(|newest| newest.recorded < confirmed_until);
        Some(if is_all_confirmed { position } else { confirmed.min(position) })
    }
}

/// Returns where in `streams` the stream is.
fn find<C>(streams: &[Stream<C>], id: StreamId) -> Option<usize> {
    streams.binary_search_by_key(&id, Stream::id).ok()
}
